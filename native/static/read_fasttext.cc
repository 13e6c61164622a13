// fastText's .bin, versions 11 and 12, and the form before them, which has no magic number.
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "static/read_vectors.h"

namespace embedcore {

namespace {

constexpr int32_t kMagic = 793712314;
constexpr int64_t kRowsBetweenLooks = 65536;
constexpr int32_t kSupervised = 3;

class Reader {
 public:
  Reader(std::string_view bytes, const char* path) : bytes_(bytes), path_(path) {}
  template <typename Value>
  Value read(const char* what) {
    Value value;
    need(sizeof value, what);
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::string_view read_word() {
    const size_t end = bytes_.substr(at_).find('\0');
    if (end == std::string_view::npos) fail(Code::kInvalidFile, "%s ends within its words", path_);
    const std::string_view word = bytes_.substr(at_, end);
    at_ += end + 1;
    return word;
  }
  void skip(size_t bytes, const char* what) {
    need(bytes, what);
    at_ += bytes;
  }
  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }

 private:
  void need(size_t bytes, const char* what) const {
    if (left() < bytes) fail(Code::kInvalidFile, "%s ends within its %s", path_, what);
  }
  const std::string_view bytes_;
  const char* const path_;
  size_t at_ = 0;
};

// The matrix that comes next: mapped, where it lies.
RowBlock read_matrix(Reader& from, bool has_flag, const std::shared_ptr<const MappedFile>& file, int64_t rows,
                     int64_t width, const char* what) {
  const char* path = file->path().c_str();
  if (has_flag && from.read<uint8_t>(what) != 0)
    fail(Code::kUnsupportedModel, "%s has a quantised %s, which is not supported; use the .bin before `quantize`", path,
         what);
  const auto m = from.read<int64_t>(what), n = from.read<int64_t>(what);
  if (n != width || m != rows)
    fail(Code::kInvalidFile, "%s: expected %lld x %lld values in its %s but it says %lld x %lld", path,
         static_cast<long long>(rows), static_cast<long long>(width), what, static_cast<long long>(m),
         static_cast<long long>(n));
  if (static_cast<size_t>(rows) > from.left() / (static_cast<size_t>(width) * sizeof(float)))
    fail(Code::kInvalidFile, "%s ends within its %s", path, what);
  const size_t begin = from.at();
  from.skip(static_cast<size_t>(rows * width) * sizeof(float), what);
  return RowBlock::mapped(file, begin, rows, width);
}

void check_finite(const RowBlock& rows, const char* path, const char* what, const KeepReading& keep_reading) {
  std::vector<float> values(static_cast<size_t>(rows.width()));
  for (int64_t i = 0; i < rows.rows(); ++i) {
    rows.copy(i, values.data());
    for (const float value : values)
      if (!std::isfinite(value))
        fail(Code::kNonFinite, "%s: row %lld of its %s has a value that is not finite", path, static_cast<long long>(i),
             what);
    if (i % kRowsBetweenLooks == 0) keep_reading();
  }
}

}  // namespace

void read_fasttext(const ReadVectorsOptions& options, const std::shared_ptr<const MappedFile>& file, WordVectors& to,
                   const KeepReading& keep_reading) {
  const char* path = options.path.c_str();
  Reader from(file->text(), path);
  const char* header = "header";
  int32_t first = from.read<int32_t>(header), second = from.read<int32_t>(header);
  const bool is_new = first == kMagic;
  if (is_new) {
    if (second != 11 && second != 12)
      fail(Code::kUnsupportedModel, "%s is of version %d of fastText's files; 11 and 12 are supported", path, second);
    first = from.read<int32_t>(header);
    second = from.read<int32_t>(header);
  }
  to.dimension = first;
  FastTextSettings& settings = to.settings;
  settings.window = second;
  for (int32_t* field : {&settings.epochs, &settings.min_count, &settings.negative, &settings.word_ngrams,
                         &settings.loss, &settings.model})
    *field = from.read<int32_t>(header);
  const auto buckets = from.read<int32_t>(header), min_n = from.read<int32_t>(header),
             max_n = from.read<int32_t>(header);
  settings.rate_update = from.read<int32_t>(header);
  settings.sample = from.read<double>(header);
  if (to.dimension < 1 || to.dimension > (1 << 20) || buckets < 0 || min_n < 0 || max_n < 0 || settings.model < 1 ||
      settings.model > 3)
    fail(Code::kInvalidFile, "%s is not a file of fastText: %lld dimensions, %d buckets, n-grams of %d to %d, model %d",
         path, static_cast<long long>(to.dimension), buckets, min_n, max_n, settings.model);
  if (settings.model == kSupervised)
    fail(Code::kUnsupportedModel, "%s is a classifier of fastText; models of words (skipgram, cbow) are supported",
         path);
  to.rule = {min_n, max_n, buckets};

  const char* dictionary = "dictionary";
  const auto size = from.read<int32_t>(dictionary), words = from.read<int32_t>(dictionary),
             labels = from.read<int32_t>(dictionary);
  to.tokens = from.read<int64_t>(dictionary);
  const int64_t pruned = is_new ? from.read<int64_t>(dictionary) : 0;
  if (labels != 0 || size != words || words < 1 || pruned > 0)
    fail(words < 1 || size < words ? Code::kInvalidFile : Code::kUnsupportedModel,
         "%s: expected words alone but its dictionary has %d entries, %d words, %d labels, %lld pruned n-grams", path,
         size, words, labels, static_cast<long long>(pruned));
  if (static_cast<size_t>(words) > from.left() / 10)
    fail(Code::kInvalidFile, "%s says that it has %d words but has %zu bytes", path, words, file->size());
  // Rows go by the number of a word, so none may be left out here.
  if (options.bad_words == BadWords::kSkip)
    fail(Code::kInvalidOption, "Expected invalidUtf8 'error' or 'replace' for a .bin of fastText but received 'skip'");
  if (options.limit > 0) fail(Code::kInvalidOption, "Expected no limit for a .bin of fastText, whose words go by rows");
  WordIntake intake(options, to);
  to.words.reserve(words);
  for (int64_t i = 0; i < words; ++i) {
    const std::string_view word = from.read_word();
    const bool is_new_word = intake.take(word, i + 1);
    if (!is_new_word) {
      if (options.bad_words != BadWords::kReplace)
        fail(Code::kInvalidFile, "%s has the word %s twice", path, quote(word).c_str());
      // Two words that differ in ill-formed bytes alone: the later one is kept under another name.
      to.raw_words.emplace(to.words.add("\xef\xbf\xbd" + std::to_string(i + 1)), word);
      --to.duplicates;
      ++to.repaired;
    }
    to.counts.push_back(from.read<int64_t>(dictionary));
    from.read<int8_t>(dictionary);
    if (i % kRowsBetweenLooks == 0) keep_reading();
  }
  to.inputs = read_matrix(from, is_new, file, static_cast<int64_t>(words) + buckets, to.dimension, "input matrix");
  to.outputs = read_matrix(from, is_new, file, words, to.dimension, "output matrix");
  if (from.left() != 0) fail(Code::kInvalidFile, "%s goes on for %zu bytes after its matrices", path, from.left());
  check_finite(to.inputs, path, "input matrix", keep_reading);
  check_finite(to.outputs, path, "output matrix", keep_reading);
}

}  // namespace embedcore
