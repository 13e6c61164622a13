// BERT: learned positions, token types, post-norm, biases everywhere. RoBERTa and XLM-R differ in where positions
// begin.
#include "model/families/families.h"

#include "base/error.h"

namespace embedcore {

namespace {

ModelConfig parse_bert_like(const Json& config, const char* family, std::vector<std::string> prefixes) {
  const std::string positions = config.get_string("position_embedding_type", "absolute");
  if (positions != "absolute")
    fail(Code::kUnsupportedModel, "config.json: position_embedding_type \"%s\" is not supported (absolute is)",
         positions.c_str());
  if (config.get_bool("is_decoder", false))
    fail(Code::kUnsupportedModel, "config.json: a %s with is_decoder is not supported", family);
  ModelConfig model;
  model.family = family;
  model.hidden = require_size(config, "hidden_size", 1, 1 << 20);
  model.vocab = require_size(config, "vocab_size");
  model.max_positions = require_size(config, "max_position_embeddings");
  model.position_table = true;
  model.type_count = config.get_int("type_vocab_size", 2);
  model.embedding_norm = true;

  LayerSpec layer;
  layer.epsilon = static_cast<float>(config.get_double("layer_norm_eps", 1e-12));
  layer.heads = layer.kv_heads = require_size(config, "num_attention_heads", 1, 4096);
  layer.head_dim = model.hidden / layer.heads;
  if (layer.head_dim * layer.heads != model.hidden)
    fail(Code::kInvalidConfig, "config.json: hidden_size is not a multiple of num_attention_heads");
  layer.activation = parse_activation(config.get_string("hidden_act", "gelu"));
  layer.intermediate = require_size(config, "intermediate_size", 1, 1 << 24);
  model.layers.assign(static_cast<size_t>(require_size(config, "num_hidden_layers", 1, 4096)), layer);

  model.names = {.prefixes = std::move(prefixes),
                 .word = "embeddings.word_embeddings.weight",
                 .position = "embeddings.position_embeddings.weight",
                 .type = "embeddings.token_type_embeddings.weight",
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

ModelConfig parse_bert(const Json& config) { return parse_bert_like(config, "bert", {"", "bert."}); }

ModelConfig parse_roberta(const Json& config) {
  ModelConfig model = parse_bert_like(config, "roberta", {"", "roberta."});
  model.padding_id = config.get_int("pad_token_id", 1);
  if (model.padding_id < 0 || model.padding_id >= model.max_positions - 1)
    fail(Code::kInvalidConfig, "config.json: pad_token_id %lld leaves no positions",
         static_cast<long long>(model.padding_id));
  return model;
}

}  // namespace embedcore
