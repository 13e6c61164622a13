// Reads files of static vectors: word2vec text and binary, GloVe, fastText's .vec (the text of word2vec) and .bin.
//
// Binary formats are mapped: only their words are read. A file whose numbers of words or bytes are not what it says, or
// with a value that is not finite, is refused. A word that comes again is counted, and its first vector kept.
#pragma once

#include <functional>
#include <string>

#include "static/word_vectors.h"

namespace embedcore {

enum class VectorFormat { kAuto, kText, kBinary, kGlove, kFastText };
enum class BadWords { kRefuse, kReplace, kSkip };

struct ReadVectorsOptions {
  std::string path;
  VectorFormat format = VectorFormat::kAuto;
  BadWords bad_words = BadWords::kRefuse;
  int64_t limit = 0;  // words that are read, from the first on; 0 = all
};

// keep_reading throws Error(kAborted) where nobody waits for the result any more. Throws Error(kNotFound),
// Error(kInvalidFile), Error(kNonFinite), Error(kUnsupportedModel), std::bad_alloc.
std::shared_ptr<WordVectors> read_vectors(const ReadVectorsOptions& options, const std::function<void()>& keep_reading);

// --- for the readers of one format ---

// Takes words one by one, says which vectors to keep, and counts what was left out.
class WordIntake {
 public:
  WordIntake(const ReadVectorsOptions& options, WordVectors& to) : options_(options), to_(to) {}
  // Whether the vector of this word is kept; it is then that of the newest word of the table. `entry` counts from 1.
  bool take(std::string_view word, int64_t entry);

 private:
  const ReadVectorsOptions& options_;
  WordVectors& to_;
};

using KeepReading = std::function<void()>;
void read_text_vectors(const ReadVectorsOptions& options, const std::shared_ptr<const MappedFile>& file,
                       bool with_header, WordVectors& to, const KeepReading& keep_reading);
void read_binary_vectors(const ReadVectorsOptions& options, const std::shared_ptr<const MappedFile>& file,
                         WordVectors& to, const KeepReading& keep_reading);
void read_fasttext(const ReadVectorsOptions& options, const std::shared_ptr<const MappedFile>& file, WordVectors& to,
                   const KeepReading& keep_reading);
VectorFormat detect_format(const MappedFile& file);

// The fields of a header line `words dimension`; false = it is none. `after`: where the line ends.
bool parse_header(std::string_view text, int64_t& words, int64_t& dimension, size_t& after);
// A line of text as a word and the `dimension` last fields; false = it has fewer, or one is not a number.
bool parse_line(std::string_view line, int64_t dimension, std::string_view& word, float* values);

}  // namespace embedcore
