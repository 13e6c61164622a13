// A model is data: config.json becomes a ModelConfig with one LayerSpec per layer. Code that computes reads the spec
// and never the family's name. A family (families/<name>.cc) only maps the names of fields and tensors.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "ops/attention.h"
#include "ops/norm.h"

namespace embedcore {

enum class RopeScaling { kNone, kLinear, kLlama3, kYarn };

struct RopeSpec {
  double theta = 0;  // 0 = no rotary positions
  int64_t rotary_dim = 0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  // llama3
  double low_frequency_factor = 1, high_frequency_factor = 4;
  // llama3 and yarn
  double original_positions = 0;
  // yarn
  double beta_fast = 32, beta_slow = 1, attention_factor = 1;
  bool truncate = true;

  bool operator==(const RopeSpec&) const = default;
};

struct LayerSpec {
  NormKind norm = NormKind::kLayer;
  bool norm_first = false;     // pre-norm (decoders) or post-norm (BERT)
  bool attention_norm = true;  // false: the first layer of ModernBERT
  bool norm_bias = true;
  float epsilon = 1e-12f;

  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  bool qkv_bias = true, output_bias = true;
  bool qk_norm = false;
  Mask mask = Mask::kBidirectional;
  int64_t window = 0;  // as in ops/attention.h
  RopeSpec rope;

  bool gated = false;
  bool mlp_bias = true;
  Activation activation = Activation::kGelu;
  int64_t intermediate = 0;

  // Rates of dropout in training: of the softmax weights, of output(context), of the activation's output, and of
  // down(intermediate).
  float attention_dropout = 0, output_dropout = 0, intermediate_dropout = 0, mlp_dropout = 0;

  int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
};

// Names of a layer's tensors, after the layer's prefix. Lists are stacked along the output: {query, key, value} or one
// fused matrix.
struct LayerNames {
  std::vector<std::string> qkv;
  std::string output, attention_norm, mlp_norm;
  std::string q_norm, k_norm;
  std::vector<std::string> up;  // in a gated layer, gate comes first
  std::string down;
};

struct TensorNames {
  std::vector<std::string> prefixes;  // tried in this order: "", "bert.", ...
  std::string embedding_norm, final_norm, relative_bias;
  std::string layer;  // "encoder.layer.%d."
  LayerNames in_layer;
};

// One embedding table [rows, hidden], and what its rows are selected by.
struct TableSpec {
  enum class Index { kToken, kPosition, kType };
  std::string name;
  int64_t rows = 0;
  Index index = Index::kToken;
};

// The input of the first layer. The tables are summed in this order, as in the reference implementations.
struct InputSpec {
  enum class Kind { kTokens, kPatches };
  Kind kind = Kind::kTokens;
  std::vector<TableSpec> tables;
  int64_t patch_values = 0;  // of one patch; kPatches only
  bool class_token = false;  // put before the patches

  // The table with this index, or null.
  const TableSpec* table(TableSpec::Index index) const;
};

struct ModelConfig {
  std::string family;
  int64_t hidden = 0, vocab = 0;
  int64_t max_positions = 0;  // longest sequence the positions allow; 0 = no limit known
  InputSpec input;
  // RoBERTa counts positions from padding_id + 1 and gives padding ids the position padding_id; -1 = positions count
  // from 0.
  int64_t padding_id = -1;
  // The norms outside the layers.
  NormKind norm = NormKind::kLayer;
  float epsilon = 1e-12f;
  bool norm_bias = true;
  bool embedding_norm = false;
  bool final_norm = false;
  float embedding_dropout = 0;   // in training, after the embedding norm
  int64_t relative_buckets = 0;  // T5-type relative positions shared by all layers (MPNet); 0 = none
  int64_t relative_max_distance = 128;
  int64_t heads = 0;  // columns of the relative positions' table
  std::vector<LayerSpec> layers;
  TensorNames names;

  // Learned absolute positions, or null.
  const TableSpec* position_table() const { return input.table(TableSpec::Index::kPosition); }
  bool causal() const { return !layers.empty() && layers.front().mask == Mask::kCausal; }
};

// `config` is the parsed config.json. Throws Error: unknown family, impossible or unsupported field. An absent field
// has the default of the reference's configuration class.
ModelConfig parse_model_config(const Json& config);

}  // namespace embedcore
