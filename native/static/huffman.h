// The Huffman tree of hierarchical softmax, over counts that fall.
#pragma once

#include <cstdint>
#include <vector>

namespace embedcore {

// Word i is reached over nodes[offsets[i] .. offsets[i + 1]) from its leaf to the root; a node is a row of the output
// layer, the root the row words - 2. The label of a node is 1 where the path takes its second branch (the one of the
// larger count), as in fastText; word2vec.c has labels the other way round.
struct HuffmanTree {
  std::vector<int64_t> offsets;
  std::vector<int32_t> nodes;
  std::vector<uint8_t> labels;
  int64_t deepest = 0;
};

// counts: falling, [words]. Throws std::bad_alloc.
HuffmanTree make_huffman_tree(const std::vector<int64_t>& counts);

}  // namespace embedcore
