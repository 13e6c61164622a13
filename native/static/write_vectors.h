// Writes static vectors, under a temporary name that is renamed when the bytes are on the disk.
//   word2vec         text: a line `words D`, then `word v1 ... vD` a line; numbers read back as the same float32
//   word2vec-binary  the same line, then word, blank, D float32, line feed
//   glove            the text without its first line
//   fasttext         version 12 of fastText's .bin; needs the output layer and counts
// With subwords the first three get the composed vectors.
#pragma once

#include <functional>
#include <string>

#include "static/read_vectors.h"

namespace embedcore {

struct WriteVectorsOptions {
  std::string path;
  VectorFormat format = VectorFormat::kText;
};

// Throws Error(kWriteFailed); Error(kInvalidData) for a word that the format cannot hold; Error(kInvalidOption) where
// the vectors lack what the format needs.
void write_vectors(const WordVectors& vectors, const WriteVectorsOptions& options,
                   const std::function<void()>& keep_writing);

}  // namespace embedcore
