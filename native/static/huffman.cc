#include "static/huffman.h"

#include <algorithm>
#include <limits>

namespace embedcore {

HuffmanTree make_huffman_tree(const std::vector<int64_t>& counts) {
  const auto words = static_cast<int64_t>(counts.size());
  HuffmanTree tree;
  tree.offsets.push_back(0);
  // Nodes 0 .. words - 1 are leaves, the others inner ones in the order in which they are made, so with rising counts.
  const auto nodes = static_cast<size_t>(std::max<int64_t>(2 * words - 1, 0));
  std::vector<int64_t> weight(nodes, std::numeric_limits<int64_t>::max());
  std::vector<int32_t> parent(nodes, -1);
  std::vector<uint8_t> second(nodes, 0);
  std::copy(counts.begin(), counts.end(), weight.begin());
  int64_t leaf = words - 1, inner = words;
  for (int64_t made = words; made < 2 * words - 1; ++made) {
    int64_t smallest[2];
    for (int64_t& node : smallest)
      node = leaf >= 0 && (inner >= made || weight[static_cast<size_t>(leaf)] < weight[static_cast<size_t>(inner)])
                 ? leaf--
                 : inner++;
    weight[static_cast<size_t>(made)] =
        weight[static_cast<size_t>(smallest[0])] + weight[static_cast<size_t>(smallest[1])];
    for (const int64_t node : smallest) parent[static_cast<size_t>(node)] = static_cast<int32_t>(made);
    second[static_cast<size_t>(smallest[1])] = 1;
  }
  for (int64_t word = 0; word < words; ++word) {
    for (int64_t node = word; parent[static_cast<size_t>(node)] >= 0; node = parent[static_cast<size_t>(node)]) {
      tree.nodes.push_back(static_cast<int32_t>(parent[static_cast<size_t>(node)] - words));
      tree.labels.push_back(second[static_cast<size_t>(node)]);
    }
    tree.offsets.push_back(static_cast<int64_t>(tree.nodes.size()));
    tree.deepest = std::max(tree.deepest, tree.offsets.back() - tree.offsets[tree.offsets.size() - 2]);
  }
  return tree;
}

}  // namespace embedcore
