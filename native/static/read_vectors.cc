#include "static/read_vectors.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/utf8.h"

namespace embedcore {

namespace {

constexpr int32_t kFastTextMagic = 793712314;

bool well_formed(std::string_view word) {
  while (!word.empty()) {
    const size_t length = utf8_length(word);
    if (length == 0) return false;
    word.remove_prefix(length);
  }
  return true;
}

std::string repaired(std::string_view word) {
  std::string text;
  while (!word.empty()) {
    const size_t length = utf8_length(word);
    if (length == 0)
      append_utf8(text, 0xfffd);
    else
      text.append(word.substr(0, length));
    word.remove_prefix(std::max<size_t>(length, 1));
  }
  return text;
}

}  // namespace

bool WordIntake::take(std::string_view word, int64_t entry) {
  const std::string_view raw = word;
  std::string made;
  bool was_repaired = false;
  if (!well_formed(word)) {
    if (options_.bad_words == BadWords::kRefuse)
      fail(Code::kInvalidFile,
           "%s: word %lld, %s, is not UTF-8; with invalidUtf8 'replace' or 'skip' such words are kept or left out",
           options_.path.c_str(), static_cast<long long>(entry), quote(word).c_str());
    if (options_.bad_words == BadWords::kSkip) {
      ++to_.skipped;
      return false;
    }
    made = repaired(word);
    word = made;
    was_repaired = true;
  }
  if (word.empty())
    fail(Code::kInvalidFile, "%s: entry %lld has an empty word", options_.path.c_str(), static_cast<long long>(entry));
  const int64_t before = to_.words.size();
  if (to_.words.add(word) < before) {
    ++to_.duplicates;
    return false;
  }
  if (was_repaired) {
    to_.raw_words.emplace(before, raw);
    ++to_.repaired;
  }
  return true;
}

VectorFormat detect_format(const MappedFile& file) {
  const std::string_view text = file.text();
  int32_t magic = 0;
  if (text.size() >= sizeof magic) std::memcpy(&magic, text.data(), sizeof magic);
  if (magic == kFastTextMagic) return VectorFormat::kFastText;
  int64_t words = 0, dimension = 0;
  size_t after = 0;
  if (parse_header(text, words, dimension, after)) {
    const std::string_view rest = text.substr(after), line = rest.substr(0, rest.find('\n'));
    std::string_view word;
    std::vector<float> values(static_cast<size_t>(std::min<int64_t>(dimension, static_cast<int64_t>(line.size()))));
    const bool fits = static_cast<int64_t>(values.size()) == dimension;
    return words == 0 || (fits && parse_line(line, dimension, word, values.data())) ? VectorFormat::kText
                                                                                    : VectorFormat::kBinary;
  }
  // Files of fastText before 2017 begin with a small number in binary.
  if (magic > 0 && magic < (1 << 16) && text.size() > 3 && text[3] == 0 && text[2] == 0) return VectorFormat::kFastText;
  return VectorFormat::kGlove;
}

std::shared_ptr<WordVectors> read_vectors(const ReadVectorsOptions& options, const KeepReading& keep_reading) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(options.path);
  if (file->size() == 0) fail(Code::kInvalidFile, "%s is empty", options.path.c_str());
  auto vectors = std::make_shared<WordVectors>();
  const VectorFormat format = options.format == VectorFormat::kAuto ? detect_format(*file) : options.format;
  switch (format) {
    case VectorFormat::kBinary:
      vectors->format = "word2vec-binary";
      read_binary_vectors(options, file, *vectors, keep_reading);
      break;
    case VectorFormat::kFastText:
      vectors->format = "fasttext";
      read_fasttext(options, file, *vectors, keep_reading);
      break;
    default:
      vectors->format = format == VectorFormat::kGlove ? "glove" : "word2vec";
      read_text_vectors(options, file, format != VectorFormat::kGlove, *vectors, keep_reading);
  }
  return vectors;
}

}  // namespace embedcore
