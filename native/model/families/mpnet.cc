// MPNet: RoBERTa's positions plus T5-type relative biases shared by all layers, no token types.
#include "model/families/families.h"
#include "model/families/fields.h"

namespace embedcore {

ModelConfig parse_mpnet(const Json& config) {
  ModelConfig model = parse_encoder(config, "mpnet", {.default_vocab = 30527});
  if (model.max_positions < 3)
    refuse_field(config, "max_position_embeddings", "an integer of 3 or more (two come before the first token's)");
  model.padding_id = 1;  // fixed in the reference implementation, whatever the configuration says
  model.relative_buckets = read_size(config, "relative_attention_num_buckets", 32, 2, 1 << 16);
  model.input.tables = {
      {"embeddings.word_embeddings.weight", model.vocab, TableSpec::Index::kToken},
      {"embeddings.position_embeddings.weight", model.max_positions, TableSpec::Index::kPosition},
  };
  model.names = {.prefixes = {"", "mpnet."},
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
