// MPNet: RoBERTa's positions plus T5-type relative biases shared by all layers, no token types.
#include "model/families/families.h"

#include "base/error.h"

namespace embedcore {

ModelConfig parse_mpnet(const Json& config) {
  ModelConfig model;
  model.family = "mpnet";
  model.hidden = require_size(config, "hidden_size", 1, 1 << 20);
  model.vocab = require_size(config, "vocab_size");
  model.max_positions = require_size(config, "max_position_embeddings", 3);
  model.position_table = true;
  model.padding_id = 1;  // fixed in the reference implementation, whatever the configuration says
  model.embedding_norm = true;
  model.relative_buckets = require_size(config, "relative_attention_num_buckets", 2, 1 << 16);

  LayerSpec layer;
  layer.epsilon = static_cast<float>(config.get_double("layer_norm_eps", 1e-12));
  layer.heads = layer.kv_heads = require_size(config, "num_attention_heads", 1, 4096);
  layer.head_dim = model.hidden / layer.heads;
  if (layer.head_dim * layer.heads != model.hidden)
    fail(Code::kInvalidConfig, "config.json: hidden_size is not a multiple of num_attention_heads");
  layer.activation = parse_activation(config.get_string("hidden_act", "gelu"));
  layer.intermediate = require_size(config, "intermediate_size", 1, 1 << 24);
  model.layers.assign(static_cast<size_t>(require_size(config, "num_hidden_layers", 1, 4096)), layer);

  model.names = {.prefixes = {"", "mpnet."},
                 .word = "embeddings.word_embeddings.weight",
                 .position = "embeddings.position_embeddings.weight",
                 .type = "",
                 .embedding_norm = "embeddings.LayerNorm",
                 .final_norm = "",
                 .relative_bias = "encoder.relative_attention_bias.weight",
                 .layer = "encoder.layer.%d.",
                 .in_layer = {.qkv = {"attention.attn.q", "attention.attn.k", "attention.attn.v"},
                              .output = "attention.attn.o",
                              .attention_norm = "attention.LayerNorm",
                              .mlp_norm = "output.LayerNorm",
                              .q_norm = "",
                              .k_norm = "",
                              .up = {"intermediate.dense"},
                              .down = "output.dense"}};
  return model;
}

}  // namespace embedcore
