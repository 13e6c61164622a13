// word2vec binary: the line `words D`, then for each word its bytes, a blank, D float32, and a line feed that some
// writers leave out.
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "static/read_vectors.h"

namespace embedcore {

namespace {
constexpr int64_t kWordsBetweenLooks = 4096;
constexpr size_t kLongestWord = 1 << 16;
}  // namespace

void read_binary_vectors(const ReadVectorsOptions& options, const std::shared_ptr<const MappedFile>& file,
                         WordVectors& to, const KeepReading& keep_reading) {
  const char* path = options.path.c_str();
  const std::string_view text = file->text();
  int64_t said = 0;
  size_t at = 0;
  if (!parse_header(text, said, to.dimension, at))
    fail(Code::kInvalidFile, "%s: expected a first line with the number of words and of dimensions but found %s", path,
         quote(text.substr(0, text.find('\n'))).c_str());
  if (to.dimension > static_cast<int64_t>(text.size()) ||
      said > static_cast<int64_t>(text.size()) / (to.dimension * 4 + 1))
    fail(Code::kInvalidFile, "%s says that it has %lld words of %lld dimensions but has %zu bytes", path,
         static_cast<long long>(said), static_cast<long long>(to.dimension), file->size());
  const bool limited = options.limit > 0 && options.limit < said;
  const int64_t wanted = limited ? options.limit : said;
  const size_t bytes = static_cast<size_t>(to.dimension) * sizeof(float);
  std::vector<size_t> offsets;
  offsets.reserve(static_cast<size_t>(wanted));
  to.words.reserve(wanted);
  WordIntake intake(options, to);
  std::vector<float> values(static_cast<size_t>(to.dimension));
  for (int64_t entry = 1; entry <= wanted; ++entry) {
    while (at < text.size() && text[at] == '\n') ++at;
    const size_t blank = text.substr(at, kLongestWord).find(' ');
    if (blank == std::string_view::npos || text.size() - at - blank - 1 < bytes)
      fail(Code::kInvalidFile, "%s ends within word %lld of %lld", path, static_cast<long long>(entry),
           static_cast<long long>(said));
    const std::string_view word = text.substr(at, blank);
    at += blank + 1;
    std::memcpy(values.data(), text.data() + at, bytes);
    for (const float value : values)
      if (!std::isfinite(value))
        fail(Code::kNonFinite, "%s: the vector of %s, word %lld, has a value that is not finite", path,
             quote(word).c_str(), static_cast<long long>(entry));
    if (intake.take(word, entry)) offsets.push_back(at);
    at += bytes;
    if (entry % kWordsBetweenLooks == 0) keep_reading();
  }
  while (at < text.size() && text[at] == '\n') ++at;
  if (!limited && at != text.size())
    fail(Code::kInvalidFile, "%s says that it has %lld words but goes on for %zu bytes after them", path,
         static_cast<long long>(said), text.size() - at);
  to.inputs = RowBlock::mapped(file, std::move(offsets), to.dimension);
}

}  // namespace embedcore
