// Text: a line `word v1 ... vD`, in word2vec's and fastText's files after a line `words D`.
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "static/read_vectors.h"

namespace embedcore {

namespace {

constexpr int64_t kLinesBetweenLooks = 4096;

bool is_blank(char byte) { return byte == ' ' || byte == '\t' || byte == '\r'; }

std::string_view without_end_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// Cuts the last field off `text`, and the blanks before it.
std::string_view cut_last_field(std::string_view& text) {
  size_t begin = text.size();
  while (begin > 0 && !is_blank(text[begin - 1])) --begin;
  const std::string_view field = text.substr(begin);
  text = without_end_blanks(text.substr(0, begin));
  return field;
}

bool parse_float(std::string_view field, float& value) {
  if (!field.empty() && field.front() == '+') field.remove_prefix(1);
  double wide = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), wide);
  // Numbers below the smallest double are 0 in any float.
  if (error == std::errc::result_out_of_range && end == field.data() + field.size()) {
    value = 0.0f;
    return field.find("e-") != std::string_view::npos || field.find("E-") != std::string_view::npos;
  }
  value = static_cast<float>(wide);
  return error == std::errc() && end == field.data() + field.size() && !field.empty();
}

bool parse_count(std::string_view field, int64_t& value) {
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  return error == std::errc() && end == field.data() + field.size() && value >= 0;
}

int64_t count_numbers(std::string_view line) {
  int64_t count = 0;
  line = without_end_blanks(line);
  while (!line.empty()) {
    float value = 0;
    const std::string_view field = cut_last_field(line);
    if (line.empty() || !parse_float(field, value)) break;  // the first field is the word, whatever it is
    ++count;
  }
  return count;
}

}  // namespace

bool parse_header(std::string_view text, int64_t& words, int64_t& dimension, size_t& after) {
  const size_t end = text.substr(0, 64).find('\n');
  if (end == std::string_view::npos) return false;
  std::string_view line = without_end_blanks(text.substr(0, end));
  const std::string_view second = cut_last_field(line);
  after = end + 1;
  return parse_count(line, words) && parse_count(second, dimension) && dimension > 0;
}

bool parse_line(std::string_view line, int64_t dimension, std::string_view& word, float* values) {
  line = without_end_blanks(line);
  for (int64_t d = dimension; d-- > 0;)
    if (line.empty() || !parse_float(cut_last_field(line), values[d])) return false;
  word = line;
  return true;
}

void read_text_vectors(const ReadVectorsOptions& options, const std::shared_ptr<const MappedFile>& file,
                       bool with_header, WordVectors& to, const KeepReading& keep_reading) {
  const char* path = options.path.c_str();
  std::string_view text = file->text();
  int64_t said = -1;
  if (with_header) {
    size_t after = 0;
    if (!parse_header(text, said, to.dimension, after))
      fail(Code::kInvalidFile, "%s: expected a first line with the number of words and of dimensions but found %s",
           path, quote(text.substr(0, text.find('\n'))).c_str());
    text.remove_prefix(after);
  } else {
    to.dimension = count_numbers(text.substr(0, text.find('\n')));
    if (to.dimension == 0)
      fail(Code::kInvalidFile, "%s: expected a word and numbers in the first line but found %s", path,
           quote(text.substr(0, text.find('\n'))).c_str());
  }
  // No line is shorter than a digit and a blank for each dimension.
  const int64_t most = static_cast<int64_t>(text.size()) / (2 * to.dimension) + 1;
  if (said > most)
    fail(Code::kInvalidFile, "%s says that it has %lld words of %lld dimensions but has %zu bytes", path,
         static_cast<long long>(said), static_cast<long long>(to.dimension), file->size());
  int64_t lines = said;
  if (said < 0) {
    lines = 0;
    for (const char byte : text) lines += byte == '\n';
    lines += !text.empty() && text.back() != '\n';
  }
  const bool limited = options.limit > 0 && options.limit < lines;
  const int64_t wanted = limited ? options.limit : lines;
  RowBlock rows = RowBlock::zeros(wanted, to.dimension);
  to.words.reserve(wanted);
  WordIntake intake(options, to);
  std::vector<float> values(static_cast<size_t>(to.dimension));
  int64_t entry = 0;
  while (entry < wanted && !text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++entry;
    std::string_view word;
    if (!parse_line(line, to.dimension, word, values.data()))
      fail(Code::kInvalidFile, "%s: expected a word and %lld numbers for entry %lld but found %s", path,
           static_cast<long long>(to.dimension), static_cast<long long>(entry), quote(line).c_str());
    for (const float value : values)
      if (!std::isfinite(value))
        fail(Code::kNonFinite, "%s: the vector of %s, entry %lld, has a value that is not finite", path,
             quote(word).c_str(), static_cast<long long>(entry));
    if (intake.take(word, entry)) std::copy(values.begin(), values.end(), rows.row(to.words.size() - 1));
    if (entry % kLinesBetweenLooks == 0) keep_reading();
  }
  if (entry < wanted)
    fail(Code::kInvalidFile, "%s says that it has %lld words but has %lld", path, static_cast<long long>(said),
         static_cast<long long>(entry));
  while (!text.empty() && (is_blank(text.front()) || text.front() == '\n')) text.remove_prefix(1);
  if (!limited && !text.empty())
    fail(Code::kInvalidFile, "%s says that it has %lld words but goes on with %s", path, static_cast<long long>(said),
         quote(text.substr(0, text.find('\n'))).c_str());
  to.inputs = std::move(rows);
  file->release_pages();
}

}  // namespace embedcore
