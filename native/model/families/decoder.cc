// Llama, Mistral, Qwen2 and Qwen3 share their fields and tensor names. Causal unless "is_causal" is false.
#include "model/families/decoder.h"

namespace embedcore {

namespace {

// transformers 5 tests the field's truth value, so null and 0 mean the same as false.
bool is_causal(const Json& config) {
  const Json* field = config.find("is_causal");
  if (!field) return true;
  if (field->is_null()) return false;
  if (field->is_integer()) return field->as_int() != 0;
  return field->as_bool();
}

TensorNames decoder_names() {
  return {.prefixes = {"", "model."},
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
}

}  // namespace

ModelConfig parse_decoder(const Json& config, const char* family, const DecoderFields& fields) {
  ModelConfig model;
  model.family = family;
  model.hidden = read_size(config, "hidden_size", 4096, 1, kMostHidden);
  model.vocab = read_size(config, "vocab_size", fields.default_vocab);
  model.max_positions = read_size(config, "max_position_embeddings", fields.default_positions);
  model.input.tables = {{"embed_tokens.weight", model.vocab, TableSpec::Index::kToken}};
  model.heads = read_size(config, "num_attention_heads", 32, 1, kMostHeads);
  model.norm = NormKind::kRms;
  model.norm_bias = false;
  model.epsilon = read_epsilon(config, "rms_norm_eps", 1e-6);
  model.final_norm = true;

  LayerSpec layer;
  layer.norm = model.norm;
  layer.norm_first = true;
  layer.norm_bias = false;
  layer.epsilon = model.epsilon;
  layer.heads = model.heads;
  const int64_t default_kv = fields.default_kv_heads > 0 ? fields.default_kv_heads : layer.heads;
  layer.kv_heads = read_size_or_null(config, "num_key_value_heads", default_kv, layer.heads);
  const int64_t derived = model.hidden / layer.heads;
  const int64_t default_dim = fields.default_head_dim > 0 ? fields.default_head_dim : derived;
  layer.head_dim = read_size_or_null(config, "head_dim", default_dim, derived);
  layer.qk_norm = fields.qk_norm;
  layer.qkv_bias = fields.qkv_bias;
  layer.output_bias = false;
  if (fields.reads_attention_bias) layer.qkv_bias = layer.output_bias = config.get_bool("attention_bias", false);
  layer.mask = is_causal(config) ? Mask::kCausal : Mask::kBidirectional;
  layer.rope = read_rope(config, layer.head_dim, model.max_positions);
  layer.attention_dropout = read_dropout(config, "attention_dropout", 0);
  layer.gated = true;
  layer.mlp_bias = fields.reads_mlp_bias && config.get_bool("mlp_bias", false);
  layer.activation = read_activation(config, "hidden_act", "silu");
  layer.intermediate = read_size(config, "intermediate_size", fields.default_intermediate, 1, kMostIntermediate);
  model.layers.assign(static_cast<size_t>(read_size(config, "num_hidden_layers", 32, 1, kMostLayers)), layer);
  model.names = decoder_names();
  return model;
}

void set_windows(ModelConfig& model, int64_t window, const std::vector<bool>& sliding) {
  for (size_t i = 0; i < model.layers.size(); ++i)
    if (sliding[i]) model.layers[i].window = window;
}

}  // namespace embedcore
