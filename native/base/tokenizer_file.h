// A tokenizer.json taken apart without an object for each of its pieces: the outline, which is small, and the model's
// vocabulary and merges in the files from which the `tokenizers` library reads a model on a thread of its own. The
// library alone decides whether a file is right. What is not of the usual form is left to it as a whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace embedcore {

struct TokenizerFile {
  // The text of the file, with an empty "vocab" and empty "merges" in "model". Only its nesting has been checked.
  std::string outline;
  // The largest id of "vocab"; -1 = it is empty.
  int64_t largest_id = -1;
  // Whether the two files below give the model of this file: its type is WordPiece or BPE, and its tokens can be
  // written in lines.
  bool has_model_files = false;
  std::string vocab_file;   // vocab.txt of a WordPiece, vocab.json of a BPE
  std::string merges_file;  // merges.txt of a BPE
};

// Nothing is returned for a text of another form: not UTF-8, keys twice, equal ids, no vocabulary.
std::optional<TokenizerFile> take_apart_tokenizer(std::string_view json);

}  // namespace embedcore
