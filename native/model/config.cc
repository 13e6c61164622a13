#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace embedcore {

namespace {
constexpr int64_t kMostHeadDim = 4096;
}

int64_t require_size(const Json& config, const char* key, int64_t low, int64_t high) {
  const Json* field = config.find(key);
  if (!field || field->is_null()) fail(Code::kInvalidConfig, "config.json lacks \"%s\"", key);
  const int64_t value = config.get_int(key, 0);
  if (value < low || value > high)
    fail(Code::kInvalidConfig, "config.json: \"%s\" is %lld; expected %lld to %lld", key, static_cast<long long>(value),
         static_cast<long long>(low), static_cast<long long>(high));
  return value;
}

Activation parse_activation(const std::string& name) {
  if (name == "gelu" || name == "gelu_python") return Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return Activation::kGeluTanh;
  if (name == "relu") return Activation::kRelu;
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "tanh") return Activation::kTanh;
  fail(Code::kUnsupportedModel,
       "config.json: activation \"%s\" is not supported (gelu, gelu_new, gelu_pytorch_tanh, relu, silu, tanh are)",
       name.c_str());
}

namespace {

// transformers' _compute_yarn_parameters: DeepSeek's mscale pair where both are given, else YaRN's own factor.
double yarn_attention_factor(const Json& scaling, double factor) {
  const auto of = [&](double scale) { return factor > 1 ? 0.1 * scale * std::log(factor) + 1.0 : 1.0; };
  const double scale = scaling.get_double("mscale", 0), scale_all = scaling.get_double("mscale_all_dim", 0);
  return scale != 0 && scale_all != 0 ? of(scale) / of(scale_all) : of(1.0);
}

}  // namespace

RopeSpec parse_rope(const Json& config, int64_t head_dim, double default_theta, const char* kind) {
  RopeSpec rope;
  const Json* scaling = config.find("rope_parameters");
  if (scaling && scaling->is_object() && kind) {
    if (const Json* of_kind = scaling->find(kind)) scaling = of_kind;
  }
  if (!scaling || !scaling->is_object()) scaling = config.find("rope_scaling");
  const bool has_scaling = scaling && scaling->is_object();
  rope.theta = config.get_double("rope_theta", default_theta);
  double partial = config.get_double("partial_rotary_factor", 1.0);
  std::string type = "default";
  if (has_scaling) {
    rope.theta = scaling->get_double("rope_theta", rope.theta);
    partial = scaling->get_double("partial_rotary_factor", partial);
    type = scaling->get_string("rope_type", scaling->get_string("type", "default"));
  }
  if (!(rope.theta > 1)) fail(Code::kInvalidConfig, "config.json: rope_theta is %g; expected more than 1", rope.theta);
  if (head_dim < 1 || head_dim > kMostHeadDim)
    fail(Code::kInvalidConfig, "config.json: the size of a head is %lld; expected 1 to %lld",
         static_cast<long long>(head_dim), static_cast<long long>(kMostHeadDim));
  if (!(partial > 0 && partial <= 1))
    fail(Code::kInvalidConfig, "config.json: partial_rotary_factor is %g; expected more than 0 and at most 1", partial);
  rope.rotary_dim = static_cast<int64_t>(static_cast<double>(head_dim) * partial) / 2 * 2;
  if (rope.rotary_dim < 2 || rope.rotary_dim > head_dim)
    fail(Code::kInvalidConfig, "config.json: partial_rotary_factor %g of a head of %lld is impossible", partial,
         static_cast<long long>(head_dim));
  if (type == "default") return rope;

  rope.factor = scaling->get_double("factor", 1.0);
  if (!(rope.factor >= 1))
    fail(Code::kInvalidConfig, "config.json: rope factor is %g; expected 1 or more", rope.factor);
  rope.original_positions =
      scaling->get_double("original_max_position_embeddings", config.get_double("max_position_embeddings", 0));
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "llama3") {
    rope.scaling = RopeScaling::kLlama3;
    rope.low_frequency_factor = scaling->get_double("low_freq_factor", 1.0);
    rope.high_frequency_factor = scaling->get_double("high_freq_factor", 4.0);
    if (!(rope.high_frequency_factor > rope.low_frequency_factor) || !(rope.original_positions > 0))
      fail(Code::kInvalidConfig,
           "config.json: llama3 rope needs low_freq_factor < high_freq_factor and original_max_position_embeddings");
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
    rope.beta_fast = scaling->get_double("beta_fast", 32.0);
    rope.beta_slow = scaling->get_double("beta_slow", 1.0);
    rope.truncate = scaling->get_bool("truncate", true);
    rope.attention_factor = scaling->get_double("attention_factor", yarn_attention_factor(*scaling, rope.factor));
    if (!(rope.original_positions > 0))
      fail(Code::kInvalidConfig, "config.json: yarn rope needs original_max_position_embeddings");
  } else {
    fail(Code::kUnsupportedModel, "config.json: rope type \"%s\" is not supported (default, linear, llama3, yarn are)",
         type.c_str());
  }
  return rope;
}

bool is_sliding(const Json& config, int64_t layer, bool fallback) {
  const Json* types = config.find("layer_types");
  if (!types || !types->is_array()) return fallback;
  const auto& list = types->as_array();
  if (layer >= static_cast<int64_t>(list.size()))
    fail(Code::kInvalidConfig, "config.json: \"layer_types\" has %zu entries, fewer than layers", list.size());
  const std::string type = list[static_cast<size_t>(layer)].as_string();
  if (type == "full_attention") return false;
  if (type == "sliding_attention") return true;
  fail(Code::kUnsupportedModel,
       "config.json: layer type \"%s\" is not supported (full_attention, sliding_attention are)", type.c_str());
}

ModelConfig parse_decoder(const Json& config, const char* family, bool qkv_bias, bool qk_norm, double default_theta) {
  ModelConfig model;
  model.family = family;
  model.hidden = require_size(config, "hidden_size", 1, 1 << 20);
  model.vocab = require_size(config, "vocab_size");
  model.max_positions = config.get_int("max_position_embeddings", 0);
  model.final_norm = true;

  LayerSpec layer;
  layer.norm = NormKind::kRms;
  layer.norm_first = true;
  layer.norm_bias = false;
  layer.epsilon = static_cast<float>(config.get_double("rms_norm_eps", 1e-6));
  layer.heads = require_size(config, "num_attention_heads", 1, 4096);
  layer.kv_heads = config.get_int("num_key_value_heads", layer.heads);
  layer.head_dim = config.get_int("head_dim", model.hidden / layer.heads);
  layer.qkv_bias = config.get_bool("attention_bias", qkv_bias);
  layer.output_bias = !qkv_bias && layer.qkv_bias;  // Qwen2 has biases on q, k, v alone
  layer.qk_norm = qk_norm;
  layer.mask = Mask::kCausal;
  layer.rope = parse_rope(config, layer.head_dim, default_theta);
  layer.gated = true;
  layer.mlp_bias = config.get_bool("mlp_bias", false);
  layer.activation = parse_activation(config.get_string("hidden_act", "silu"));
  layer.intermediate = require_size(config, "intermediate_size", 1, 1 << 24);
  model.layers.assign(static_cast<size_t>(require_size(config, "num_hidden_layers", 1, 4096)), layer);

  model.names = {.prefixes = {"", "model."},
                 .word = "embed_tokens.weight",
                 .position = "",
                 .type = "",
                 .embedding_norm = "",
                 .final_norm = "norm",
                 .relative_bias = "",
                 .layer = "layers.%d.",
                 .in_layer = {.qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
                              .output = "self_attn.o_proj",
                              .attention_norm = "input_layernorm",
                              .mlp_norm = "post_attention_layernorm",
                              .q_norm = "self_attn.q_norm",
                              .k_norm = "self_attn.k_norm",
                              .up = {"mlp.gate_proj", "mlp.up_proj"},
                              .down = "mlp.down_proj"}};
  return model;
}

namespace {

// Sizes that multiply into something absurd are refused here, before any memory is taken for them.
void check_config(const ModelConfig& model) {
  auto refuse = [](const char* what, int64_t a, int64_t b) {
    fail(Code::kInvalidConfig, "config.json: %s (%lld, %lld)", what, static_cast<long long>(a),
         static_cast<long long>(b));
  };
  constexpr int64_t kMostElements = int64_t{1} << 36;
  if (model.hidden > kMostElements / model.vocab)
    refuse("hidden_size times vocab_size is absurd", model.hidden, model.vocab);
  if (model.type_count < (model.names.type.empty() ? 0 : 1) || model.type_count > (1 << 20))
    refuse("type_vocab_size is absurd", model.type_count, 0);
  if (model.max_positions < 0 || model.max_positions > INT32_MAX)
    refuse("the number of positions is absurd", model.max_positions, 0);
  if (model.position_table && model.hidden > kMostElements / std::max<int64_t>(1, model.max_positions))
    refuse("hidden_size times positions is absurd", model.hidden, model.max_positions);
  for (const LayerSpec& layer : model.layers) {
    if (layer.head_dim < 1 || layer.head_dim > kMostHeadDim)
      refuse("the size of a head must be 1 to 4096", layer.head_dim, layer.heads);
    if (layer.kv_heads < 1 || layer.heads % layer.kv_heads != 0)
      refuse("num_attention_heads must be a multiple of num_key_value_heads", layer.heads, layer.kv_heads);
    if (layer.qkv_width() > kMostElements / model.hidden)
      refuse("hidden_size times the width of all heads is absurd", model.hidden, layer.qkv_width());
    if (layer.intermediate > kMostElements / model.hidden)
      refuse("hidden_size times intermediate_size is absurd", model.hidden, layer.intermediate);
    if (!(layer.epsilon >= 0 && layer.epsilon < 1))
      fail(Code::kInvalidConfig, "config.json: the norm's epsilon is %g", static_cast<double>(layer.epsilon));
    if (layer.window < 0) refuse("a sliding window may not be negative", layer.window, 0);
  }
}

}  // namespace

ModelConfig parse_model_config(const Json& config) {
  if (!config.is_object()) fail(Code::kInvalidConfig, "config.json must hold an object");
  const std::string type = config.get_string("model_type", "");
  if (type.empty()) fail(Code::kInvalidConfig, "config.json lacks \"model_type\"");
  std::string known;
  for (const Family& family : families()) {
    for (const std::string& name : family.model_types) {
      if (name == type) {
        ModelConfig model = family.parse(config);
        check_config(model);
        return model;
      }
      known += (known.empty() ? "" : ", ") + name;
    }
  }
  fail(Code::kUnsupportedModel, "model_type \"%.80s\" is not supported; supported: %s", type.c_str(), known.c_str());
}

}  // namespace embedcore
