// DistilBERT: BERT without token types, with its own field and tensor names.
#include "model/families/families.h"

#include "base/error.h"

namespace embedcore {

ModelConfig parse_distilbert(const Json& config) {
  ModelConfig model;
  model.family = "distilbert";
  model.hidden = require_size(config, "dim", 1, 1 << 20);
  model.vocab = require_size(config, "vocab_size");
  model.max_positions = require_size(config, "max_position_embeddings");
  model.position_table = true;  // sinusoidal_pos_embds only says how the table was first filled
  model.embedding_norm = true;

  LayerSpec layer;
  layer.epsilon = 1e-12f;
  layer.heads = layer.kv_heads = require_size(config, "n_heads", 1, 4096);
  layer.head_dim = model.hidden / layer.heads;
  if (layer.head_dim * layer.heads != model.hidden)
    fail(Code::kInvalidConfig, "config.json: dim is not a multiple of n_heads");
  layer.activation = parse_activation(config.get_string("activation", "gelu"));
  layer.intermediate = require_size(config, "hidden_dim", 1, 1 << 24);
  model.layers.assign(static_cast<size_t>(require_size(config, "n_layers", 1, 4096)), layer);

  model.names = {.prefixes = {"", "distilbert."},
                 .word = "embeddings.word_embeddings.weight",
                 .position = "embeddings.position_embeddings.weight",
                 .type = "",
                 .embedding_norm = "embeddings.LayerNorm",
                 .final_norm = "",
                 .relative_bias = "",
                 .layer = "transformer.layer.%d.",
                 .in_layer = {.qkv = {"attention.q_lin", "attention.k_lin", "attention.v_lin"},
                              .output = "attention.out_lin",
                              .attention_norm = "sa_layer_norm",
                              .mlp_norm = "output_layer_norm",
                              .q_norm = "",
                              .k_norm = "",
                              .up = {"ffn.lin1"},
                              .down = "ffn.lin2"}};
  return model;
}

}  // namespace embedcore
