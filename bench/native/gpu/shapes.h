// The shapes of the models that the GPU bench measures, and the lengths of its texts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace embedcore::gpu_bench {

struct ModelShape {
  std::string name;
  bool decoder;  // Qwen2: causal, RMS norms before the layers, rotary positions, gated feed-forward; otherwise BERT
  int64_t layers, hidden, intermediate, heads, kv_heads, vocab, positions;

  int64_t head_dim() const { return hidden / heads; }
  int64_t qkv() const { return (heads + 2 * kv_heads) * head_dim(); }
  // Multiply-adds of the linear layers, each counted as two operations.
  double linear_operations(int64_t tokens) const;
  // Of the pairs that the mask allows.
  double attention_operations(const std::vector<int32_t>& lengths) const;
};

struct LinearShape {
  const char* layer;
  int64_t in, out;
};

std::vector<ModelShape> models(bool tiny);
std::vector<LinearShape> linears(const ModelShape& model);
std::vector<int64_t> row_counts(bool tiny);

struct Texts {
  std::string name;  // "uniform-128", "mixed"
  std::vector<int32_t> lengths;
  int64_t tokens() const;
};

// Texts of one length, at least one of them, about `tokens` in all.
Texts uniform(int32_t length, int64_t tokens);
// Lengths of 5 to 250, as of sentences and short paragraphs; mean 35 or so.
Texts mixed(int64_t tokens);
std::vector<Texts> attention_texts(bool tiny, int64_t tokens);
std::vector<Texts> encode_texts(bool tiny, int64_t tokens);

// All of it as one JSON object, which the Python scripts read.
std::string shapes_json(bool tiny, int64_t tokens);

}  // namespace embedcore::gpu_bench
