// ModernBERT: pre-norm, rotary positions with two bases, alternating local and global layers, gated feed-forward, fused
// matrices.
#include "model/families/families.h"
#include "model/families/fields.h"

namespace embedcore {

namespace {

// Tokens that a local layer sees to each side. "sliding_window" is that number, "local_attention" twice as many.
int64_t local_reach(const Json& config) {
  if (config.find("sliding_window")) return read_size(config, "sliding_window", 64);
  return read_size(config, "local_attention", 128, 2) / 2;
}

TensorNames modernbert_names() {
  return {.prefixes = {"", "model."},
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
}

}  // namespace

ModelConfig parse_modernbert(const Json& config) {
  ModelConfig model = parse_encoder(config, "modernbert",
                                    {.activation = "hidden_activation",
                                     .epsilon = "norm_eps",
                                     .hidden_dropout = nullptr,
                                     .attention_dropout = "attention_dropout",
                                     .default_vocab = 50368,
                                     .default_positions = 8192,
                                     .default_layers = 22,
                                     .default_intermediate = 1152,
                                     .default_epsilon = 1e-5,
                                     .default_dropout = 0});
  model.embedding_dropout = read_dropout(config, "embedding_dropout", 0);
  model.input.tables = {{"embeddings.tok_embeddings.weight", model.vocab, TableSpec::Index::kToken}};
  model.norm_bias = config.get_bool("norm_bias", false);
  model.final_norm = true;
  model.names = modernbert_names();

  const int64_t every = read_size(config, "global_attn_every_n_layers", 3);
  const auto sliding = read_sliding(
      config, static_cast<int64_t>(model.layers.size()),
      [](int64_t layer, int64_t period) { return layer % period != 0; }, every);
  const int64_t head_dim = model.layers.front().head_dim, reach = local_reach(config);
  const double global_theta = config.get_double("global_rope_theta", 160000.0);
  const Json* local = config.find("local_rope_theta");
  const double local_theta = local && local->is_null() ? global_theta : config.get_double("local_rope_theta", 10000.0);
  const RopeSpec global_rope = read_rope_of_kind(config, head_dim, model.max_positions, "full_attention", global_theta);
  const RopeSpec local_rope =
      read_rope_of_kind(config, head_dim, model.max_positions, "sliding_attention", local_theta);
  for (size_t i = 0; i < model.layers.size(); ++i) {
    LayerSpec& layer = model.layers[i];
    layer.norm_first = true;
    layer.norm_bias = model.norm_bias;
    layer.attention_norm = i != 0;  // the embedding norm serves as the first one
    layer.qkv_bias = layer.output_bias = config.get_bool("attention_bias", false);
    layer.mlp_bias = config.get_bool("mlp_bias", false);
    layer.gated = true;
    layer.output_dropout = layer.attention_dropout;
    layer.intermediate_dropout = read_dropout(config, "mlp_dropout", 0);
    layer.window = sliding[i] ? reach : 0;
    layer.rope = sliding[i] ? local_rope : global_rope;
  }
  return model;
}

}  // namespace embedcore
