// DistilBERT: BERT without token types, with its own field and tensor names.
#include "model/families/families.h"
#include "model/families/fields.h"

namespace embedcore {

ModelConfig parse_distilbert(const Json& config) {
  // The reference also accepts BERT's names of these fields, and they have precedence.
  const auto named = [&](const char* usual, const char* own) { return config.find(usual) ? usual : own; };
  ModelConfig model = parse_encoder(config, "distilbert",
                                    {.hidden = named("hidden_size", "dim"),
                                     .heads = named("num_attention_heads", "n_heads"),
                                     .layers = named("num_hidden_layers", "n_layers"),
                                     .intermediate = "hidden_dim",
                                     .activation = "activation",
                                     .epsilon = nullptr,
                                     .hidden_dropout = "dropout",
                                     .attention_dropout = "attention_dropout",
                                     .default_layers = 6});
  for (LayerSpec& layer : model.layers) layer.output_dropout = 0;  // the reference has none there
  // sinusoidal_pos_embds only says how the position table was initialised.
  model.input.tables = {
      {"embeddings.word_embeddings.weight", model.vocab, TableSpec::Index::kToken},
      {"embeddings.position_embeddings.weight", model.max_positions, TableSpec::Index::kPosition},
  };
  model.names = {.prefixes = {"", "distilbert."},
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
