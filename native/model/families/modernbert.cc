// ModernBERT: pre-norm, rotary positions with two bases, local and global layers in turn, gated feed-forward, fused
// matrices.
#include "model/families/families.h"

#include "base/error.h"

namespace embedcore {

ModelConfig parse_modernbert(const Json& config) {
  ModelConfig model;
  model.family = "modernbert";
  model.hidden = require_size(config, "hidden_size", 1, 1 << 20);
  model.vocab = require_size(config, "vocab_size");
  model.max_positions = config.get_int("max_position_embeddings", 8192);
  model.embedding_norm = true;
  model.final_norm = true;

  LayerSpec layer;
  layer.norm_first = true;
  layer.norm_bias = config.get_bool("norm_bias", false);
  layer.epsilon = static_cast<float>(config.get_double("norm_eps", 1e-5));
  layer.heads = layer.kv_heads = require_size(config, "num_attention_heads", 1, 4096);
  layer.head_dim = model.hidden / layer.heads;
  if (layer.head_dim * layer.heads != model.hidden)
    fail(Code::kInvalidConfig, "config.json: hidden_size is not a multiple of num_attention_heads");
  layer.qkv_bias = layer.output_bias = config.get_bool("attention_bias", false);
  layer.mlp_bias = config.get_bool("mlp_bias", false);
  layer.gated = true;
  layer.activation = parse_activation(config.get_string("hidden_activation", "gelu"));
  layer.intermediate = require_size(config, "intermediate_size", 1, 1 << 24);

  const int64_t every = config.get_int("global_attn_every_n_layers", 3);
  if (every < 1)
    fail(Code::kInvalidConfig, "config.json: \"global_attn_every_n_layers\" is %lld", static_cast<long long>(every));
  if (config.get_int("local_attention", 128) < 2)
    fail(Code::kInvalidConfig, "config.json: local_attention is %lld; expected 2 or more",
         static_cast<long long>(config.get_int("local_attention", 128)));
  const int64_t local_window = config.get_int("local_attention", 128) / 2;  // half to each side
  const RopeSpec global_rope =
      parse_rope(config, layer.head_dim, config.get_double("global_rope_theta", 160000.0), "full_attention");
  const RopeSpec local_rope =
      parse_rope(config, layer.head_dim, config.get_double("local_rope_theta", 10000.0), "sliding_attention");
  const int64_t count = require_size(config, "num_hidden_layers", 1, 4096);
  for (int64_t i = 0; i < count; ++i) {
    const bool local = is_sliding(config, i, i % every != 0);
    layer.attention_norm = i != 0;  // the embedding norm serves as the first one
    layer.window = local ? local_window : 0;
    layer.rope = local ? local_rope : global_rope;
    model.layers.push_back(layer);
  }

  model.names = {.prefixes = {"", "model."},
                 .word = "embeddings.tok_embeddings.weight",
                 .position = "",
                 .type = "",
                 .embedding_norm = "embeddings.norm",
                 .final_norm = "final_norm",
                 .relative_bias = "",
                 .layer = "layers.%d.",
                 .in_layer = {.qkv = {"attn.Wqkv"},
                              .output = "attn.Wo",
                              .attention_norm = "attn_norm",
                              .mlp_norm = "mlp_norm",
                              .q_norm = "",
                              .k_norm = "",
                              .up = {"mlp.Wi"},
                              .down = "mlp.Wo"}};
  return model;
}

}  // namespace embedcore
