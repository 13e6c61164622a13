// A model is data: config.json becomes a ModelConfig and one LayerSpec a layer. Code that computes asks the spec, never
// the family's name. A family (families/<name>.cc) only maps field and tensor names.
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

  int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
};

// Where a layer's tensors lie, behind the layer's prefix. Lists are stacked along the output: {query, key, value} or
// one fused matrix.
struct LayerNames {
  std::vector<std::string> qkv;
  std::string output, attention_norm, mlp_norm;
  std::string q_norm, k_norm;
  std::vector<std::string> up;  // gate first where the layer is gated
  std::string down;
};

struct TensorNames {
  std::vector<std::string> prefixes;  // tried in turn: "", "bert.", ...
  std::string word, position, type, embedding_norm, final_norm, relative_bias;
  std::string layer;  // "encoder.layer.%d."
  LayerNames in_layer;
};

struct ModelConfig {
  std::string family;
  int64_t hidden = 0, vocab = 0;
  int64_t max_positions = 0;    // longest sequence the positions allow; 0 = no limit known
  bool position_table = false;  // learned absolute positions
  // RoBERTa counts positions from padding_id + 1 and gives padding ids that position itself; -1 = from 0.
  int64_t padding_id = -1;
  int64_t type_count = 0;  // rows of the token type table; row 0 is used
  bool embedding_norm = false;
  bool final_norm = false;
  int64_t relative_buckets = 0;  // T5-type relative positions shared by all layers (MPNet); 0 = none
  int64_t relative_max_distance = 128;
  std::vector<LayerSpec> layers;
  TensorNames names;

  bool causal() const { return !layers.empty() && layers.front().mask == Mask::kCausal; }
};

// `config` is the parsed config.json. Throws Error: unknown family, absent or impossible field.
ModelConfig parse_model_config(const Json& config);

// --- for families/*.cc ---

struct Family {
  std::vector<std::string> model_types;  // config.json "model_type"
  ModelConfig (*parse)(const Json& config);
};

const std::vector<Family>& families();

// A field that must be there and lie in [low, high].
int64_t require_size(const Json& config, const char* key, int64_t low = 1, int64_t high = int64_t{1} << 31);
Activation parse_activation(const std::string& name);
// "rope_parameters" (new), or "rope_theta" and "rope_scaling" (old). kind: the entry of rope_parameters where it has
// one a layer kind.
RopeSpec parse_rope(const Json& config, int64_t head_dim, double default_theta, const char* kind = nullptr);
// "layer_types"[layer] == "sliding_attention", or fallback where the list is absent.
bool is_sliding(const Json& config, int64_t layer, bool fallback);
// The fields that Llama, Mistral, Qwen2 and Qwen3 share, and their tensor names.
ModelConfig parse_decoder(const Json& config, const char* family, bool qkv_bias, bool qk_norm, double default_theta);

}  // namespace embedcore
