#include "static/write_vectors.h"

#include <charconv>

#include "base/error.h"
#include "static/output_file.h"

namespace embedcore {

namespace {

constexpr int64_t kWordsBetweenLooks = 4096;
constexpr int32_t kFastTextMagic = 793712314, kFastTextVersion = 12;

void check_word(std::string_view word, std::string_view forbidden, const WriteVectorsOptions& options) {
  if (word.find_first_of(forbidden) != std::string_view::npos || word.empty())
    fail(Code::kInvalidData, "%s: the word %s cannot be written in this format, where white space ends a word",
         options.path.c_str(), quote(word).c_str());
}

void write_lines(const WordVectors& vectors, const WriteVectorsOptions& options, const KeepReading& keep_writing,
                 OutputFile& to) {
  const bool binary = options.format == VectorFormat::kBinary, glove = options.format == VectorFormat::kGlove;
  if (!glove) to.write(std::to_string(vectors.words.size()) + " " + std::to_string(vectors.dimension) + "\n");
  std::vector<float> row(static_cast<size_t>(vectors.dimension));
  std::string line;
  for (int64_t id = 0; id < vectors.words.size(); ++id) {
    if (id % kWordsBetweenLooks == 0) keep_writing();
    const std::string_view word = vectors.words.word(id);
    check_word(word, glove ? "\n\r\t" : " \n\r\t", options);
    vectors.vector(id, row.data());
    line.assign(word);
    if (binary) {
      line += ' ';
      line.append(reinterpret_cast<const char*>(row.data()), row.size() * sizeof(float));
    } else {
      char digits[32];
      for (const float value : row) {
        const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
        line += ' ';
        line.append(digits, end);
      }
    }
    line += '\n';
    to.write(line);
  }
}

void write_matrix(const RowBlock& rows, const KeepReading& keep_writing, OutputFile& to) {
  to.write_value<uint8_t>(0);  // not quantised
  to.write_value<int64_t>(rows.rows());
  to.write_value<int64_t>(rows.width());
  std::vector<float> row(static_cast<size_t>(rows.width()));
  for (int64_t i = 0; i < rows.rows(); ++i) {
    if (i % kWordsBetweenLooks == 0) keep_writing();
    rows.copy(i, row.data());
    to.write(row.data(), row.size() * sizeof(float));
  }
}

void write_fasttext(const WordVectors& vectors, const WriteVectorsOptions& options, const KeepReading& keep_writing,
                    OutputFile& to) {
  if (vectors.outputs.rows() == 0 || vectors.counts.empty())
    fail(Code::kInvalidOption,
         "%s: the format 'fasttext' needs the output layer and the counts of words, which these vectors (%s) lack",
         options.path.c_str(), vectors.format.c_str());
  const FastTextSettings& settings = vectors.settings;
  for (const int32_t value :
       {kFastTextMagic, kFastTextVersion, static_cast<int32_t>(vectors.dimension), settings.window, settings.epochs,
        settings.min_count, settings.negative, settings.word_ngrams, settings.loss, settings.model,
        static_cast<int32_t>(vectors.rule.buckets), static_cast<int32_t>(vectors.rule.min_n),
        static_cast<int32_t>(vectors.rule.max_n), settings.rate_update})
    to.write_value(value);
  to.write_value(settings.sample);
  const auto words = static_cast<int32_t>(vectors.words.size());
  for (const int32_t value : {words, words, 0}) to.write_value(value);
  to.write_value(vectors.tokens);
  to.write_value<int64_t>(-1);  // no n-gram was pruned
  for (int64_t id = 0; id < words; ++id) {
    const std::string_view word = vectors.raw_word(id);
    check_word(word, std::string_view("\0", 1), options);
    to.write(word);
    to.write("\0", 1);
    to.write_value(vectors.counts[static_cast<size_t>(id)]);
    to.write_value<int8_t>(0);
  }
  write_matrix(vectors.inputs, keep_writing, to);
  write_matrix(vectors.outputs, keep_writing, to);
}

}  // namespace

void write_vectors(const WordVectors& vectors, const WriteVectorsOptions& options, const KeepReading& keep_writing) {
  vectors.check();
  OutputFile file(options.path);
  if (options.format == VectorFormat::kFastText)
    write_fasttext(vectors, options, keep_writing, file);
  else
    write_lines(vectors, options, keep_writing, file);
  file.commit();
}

}  // namespace embedcore
