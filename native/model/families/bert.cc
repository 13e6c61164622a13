// BERT: learned positions, token types, post-norm, biases everywhere. RoBERTa and XLM-R differ in the first position.
#include "model/families/families.h"
#include "model/families/fields.h"

namespace embedcore {

namespace {

ModelConfig parse_bert_like(const Json& config, const char* family, EncoderFields fields,
                            std::vector<std::string> prefixes) {
  if (config.get_string("position_embedding_type", "absolute") != "absolute")
    refuse_field(config, "position_embedding_type", "\"absolute\"", Code::kUnsupportedModel);
  ModelConfig model = parse_encoder(config, family, fields);
  const int64_t types = read_size(config, "type_vocab_size", 2, 1, 1 << 20);
  model.input.tables = {
      {"embeddings.word_embeddings.weight", model.vocab, TableSpec::Index::kToken},
      {"embeddings.token_type_embeddings.weight", types, TableSpec::Index::kType},
      {"embeddings.position_embeddings.weight", model.max_positions, TableSpec::Index::kPosition},
  };
  model.names = {.prefixes = std::move(prefixes),
                 .embedding_norm = "embeddings.LayerNorm",
                 .final_norm = "",
                 .relative_bias = "",
                 .layer = "encoder.layer.%d.",
                 .in_layer = {.qkv = {"attention.self.query", "attention.self.key", "attention.self.value"},
                              .output = "attention.output.dense",
                              .attention_norm = "attention.output.LayerNorm",
                              .mlp_norm = "output.LayerNorm",
                              .q_norm = "",
                              .k_norm = "",
                              .up = {"intermediate.dense"},
                              .down = "output.dense"}};
  return model;
}

}  // namespace

ModelConfig parse_bert(const Json& config) { return parse_bert_like(config, "bert", {}, {"", "bert."}); }

ModelConfig parse_roberta(const Json& config) {
  const bool is_roberta = config.get_string("model_type", "") == "roberta";
  ModelConfig model =
      parse_bert_like(config, "roberta", {.default_vocab = is_roberta ? 50265 : 30522}, {"", "roberta."});
  model.padding_id = read_size(config, "pad_token_id", 1, 0);
  if (model.padding_id >= model.max_positions - 1)
    refuse_field(config, "pad_token_id", "an id that leaves positions below max_position_embeddings");
  return model;
}

}  // namespace embedcore
