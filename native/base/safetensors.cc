#include "base/safetensors.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/error.h"
#include "base/json.h"

namespace embedcore {

namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // as the format's own readers
constexpr size_t kPrefix = 8;                 // the header's length, uint64

struct Entry {
  TensorView view;
  uint64_t begin = 0, end = 0;
};

const Json& need(const Json& tensor, const std::string& where, const std::string& name, const char* key) {
  const Json* field = tensor.find(key);
  if (!field) fail(Code::kInvalidFile, "%s: tensor %s lacks \"%s\"", where.c_str(), quote(name).c_str(), key);
  return *field;
}

// A count that a header states: a whole number, not negative.
uint64_t count(const Json& value, const std::string& where, const std::string& name, const char* what) {
  if (!value.is_integer() || value.as_int() < 0)
    fail(Code::kInvalidFile, "%s: tensor %s: %s must be a whole number from 0, got %s", where.c_str(),
         quote(name).c_str(), what, value.describe().c_str());
  return static_cast<uint64_t>(value.as_int());
}

// Bytes of a tensor of this shape. No product is made that could overflow.
uint64_t byte_size(const TensorView& view, const std::string& where) {
  int64_t elements = 1;
  for (const int64_t dimension : view.shape)
    if (__builtin_mul_overflow(elements, dimension, &elements))
      fail(Code::kInvalidFile, "%s: tensor %s: the shape %s has more elements than 2^63", where.c_str(),
           quote(view.name).c_str(), shape_string(view.shape).c_str());
  uint64_t bits = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(elements), static_cast<uint64_t>(dtype_bits(view.dtype)), &bits))
    fail(Code::kInvalidFile, "%s: tensor %s: the shape %s of %s is larger than any file", where.c_str(),
         quote(view.name).c_str(), shape_string(view.shape).c_str(), safetensors_name(view.dtype));
  if (bits % 8 != 0)
    fail(Code::kInvalidFile, "%s: tensor %s: the shape %s of %s does not fill whole bytes", where.c_str(),
         quote(view.name).c_str(), shape_string(view.shape).c_str(), safetensors_name(view.dtype));
  return bits / 8;
}

Entry read_entry(const std::string& name, const Json& tensor, const std::string& where,
                 std::span<const std::byte> data) {
  if (!tensor.is_object())
    fail(Code::kInvalidFile, "%s: tensor %s must be an object, got %s", where.c_str(), quote(name).c_str(),
         tensor.describe().c_str());
  Entry entry;
  entry.view.name = name;

  const Json& dtype = need(tensor, where, name, "dtype");
  const auto known = dtype.is_string() ? dtype_from_safetensors(dtype.as_string()) : std::nullopt;
  if (!known)
    fail(Code::kInvalidFile, "%s: tensor %s: unknown dtype %s", where.c_str(), quote(name).c_str(),
         dtype.describe().c_str());
  entry.view.dtype = *known;

  const Json& shape = need(tensor, where, name, "shape");
  if (!shape.is_array())
    fail(Code::kInvalidFile, "%s: tensor %s: \"shape\" must be an array, got %s", where.c_str(), quote(name).c_str(),
         shape.describe().c_str());
  for (const Json& dimension : shape.as_array())
    entry.view.shape.push_back(static_cast<int64_t>(count(dimension, where, name, "a dimension")));

  const Json& offsets = need(tensor, where, name, "data_offsets");
  if (!offsets.is_array() || offsets.as_array().size() != 2)
    fail(Code::kInvalidFile, "%s: tensor %s: \"data_offsets\" must be two numbers, got %s", where.c_str(),
         quote(name).c_str(), offsets.describe().c_str());
  entry.begin = count(offsets.as_array()[0], where, name, "an offset");
  entry.end = count(offsets.as_array()[1], where, name, "an offset");
  const auto begin = static_cast<unsigned long long>(entry.begin), end = static_cast<unsigned long long>(entry.end);
  if (begin > end)
    fail(Code::kInvalidFile, "%s: tensor %s: data_offsets [%llu, %llu] end before they begin", where.c_str(),
         quote(name).c_str(), begin, end);
  if (end > data.size())
    fail(Code::kInvalidFile,
         "%s: tensor %s: data_offsets [%llu, %llu] reach beyond the file's %zu bytes of data (is the file truncated?)",
         where.c_str(), quote(name).c_str(), begin, end, data.size());

  const uint64_t bytes = byte_size(entry.view, where);
  if (bytes != entry.end - entry.begin)
    fail(Code::kInvalidFile,
         "%s: tensor %s: the shape %s of %s takes %llu bytes, but data_offsets [%llu, %llu] hold %llu", where.c_str(),
         quote(name).c_str(), shape_string(entry.view.shape).c_str(), safetensors_name(entry.view.dtype),
         static_cast<unsigned long long>(bytes), begin, end, end - begin);
  entry.view.data = data.data() + entry.begin;
  entry.view.bytes = static_cast<size_t>(bytes);
  return entry;
}

}  // namespace

int64_t TensorView::elements() const {
  int64_t product = 1;
  for (const int64_t dimension : shape) product *= dimension;
  return product;
}

std::string shape_string(const std::vector<int64_t>& shape) {
  constexpr size_t kShown = 16;
  std::string text = "[";
  for (size_t i = 0; i < std::min(shape.size(), kShown); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() > kShown ? ", ...]" : "]");
}

std::shared_ptr<const SafeTensors> SafeTensors::open(const std::string& path) {
  std::shared_ptr<SafeTensors> result(new SafeTensors);
  result->path_ = path;
  result->file_ = MappedFile::open(path);
  result->read(result->file_->bytes());
  return result;
}

std::shared_ptr<const SafeTensors> SafeTensors::parse(std::span<const std::byte> bytes, const std::string& where) {
  std::shared_ptr<SafeTensors> result(new SafeTensors);
  result->path_ = where;
  result->read(bytes);
  return result;
}

void SafeTensors::read(std::span<const std::byte> bytes) {
  const std::string& where = path_;
  if (bytes.size() < kPrefix)
    fail(Code::kInvalidFile, "%s: %zu bytes are too few for a safetensors file, which begins with a length of 8 bytes",
         where.c_str(), bytes.size());
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kPrefix);
  const auto shown = static_cast<unsigned long long>(length);
  if (length > kMaxHeader)
    fail(Code::kInvalidFile, "%s: a header of %llu bytes is implausible (at most %llu); this is not a safetensors file",
         where.c_str(), shown, static_cast<unsigned long long>(kMaxHeader));
  if (length > bytes.size() - kPrefix)
    fail(Code::kInvalidFile,
         "%s: the header of %llu bytes reaches beyond the file's end (%zu bytes; is the file truncated?)",
         where.c_str(), shown, bytes.size());
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kPrefix, static_cast<size_t>(length));
  if (!text.starts_with('{')) fail(Code::kInvalidFile, "%s: the header must begin with \"{\"", where.c_str());
  const std::span<const std::byte> data = bytes.subspan(kPrefix + static_cast<size_t>(length));

  const Json header = Json::parse(text, where + " (header)");
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.as_object()) {
    if (name != "__metadata__") {
      entries.push_back(read_entry(name, value, where, data));
      continue;
    }
    if (!value.is_object())
      fail(Code::kInvalidFile, "%s: \"__metadata__\" must be an object of strings, got %s", where.c_str(),
           value.describe().c_str());
    for (const auto& [key, entry] : value.as_object()) {
      if (!entry.is_string())
        fail(Code::kInvalidFile, "%s: \"__metadata__\": %s must be a string, got %s", where.c_str(), quote(key).c_str(),
             entry.describe().c_str());
    }
  }

  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.view.name) < std::tie(b.begin, b.end, b.view.name);
  });
  uint64_t expected = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != expected)
      fail(Code::kInvalidFile,
           "%s: tensor %s begins at byte %llu of the data, but the tensors before it end at %llu: %s", where.c_str(),
           quote(entry.view.name).c_str(), static_cast<unsigned long long>(entry.begin),
           static_cast<unsigned long long>(expected), entry.begin < expected ? "they overlap" : "there is a gap");
    expected = entry.end;
  }
  if (expected != data.size())
    fail(Code::kInvalidFile, "%s: the tensors take %llu bytes, but the file has %zu bytes of data", where.c_str(),
         static_cast<unsigned long long>(expected), data.size());

  tensors_.reserve(entries.size());
  for (Entry& entry : entries) tensors_.push_back(std::move(entry.view));
  by_name_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) by_name_.emplace(tensors_[i].name, i);
}

const TensorView* SafeTensors::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace embedcore
