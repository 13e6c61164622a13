#include "model/families/fields.h"

namespace embedcore {

void refuse_field(const Json& config, const char* key, const std::string& expected, Code code) {
  const Json* field = config.find(key);
  fail(code, "Expected %s for \"%s\" in %s but found %s", expected.c_str(), key, config.path().c_str(),
       field ? field->describe().c_str() : "nothing");
}

int64_t read_size(const Json& config, const char* key, int64_t fallback, int64_t low, int64_t high) {
  const Json* field = config.find(key);
  if (!field) return fallback;
  const int64_t value = field->is_null() ? low - 1 : field->as_int();
  if (value < low || value > high)
    refuse_field(config, key, "an integer from " + std::to_string(low) + " to " + std::to_string(high));
  return value;
}

int64_t read_size_or_null(const Json& config, const char* key, int64_t fallback, int64_t null_value) {
  const Json* field = config.find(key);
  return field && field->is_null() ? null_value : read_size(config, key, fallback);
}

Activation read_activation(const Json& config, const char* key, const char* fallback) {
  const std::string name = config.get_string(key, fallback);
  if (name == "gelu" || name == "gelu_python") return Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_python_tanh" || name == "gelu_fast")
    return Activation::kGeluTanh;
  if (name == "relu") return Activation::kRelu;
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "tanh") return Activation::kTanh;
  refuse_field(config, key, "one of gelu, gelu_new, gelu_pytorch_tanh, relu, silu, tanh", Code::kUnsupportedModel);
}

float read_epsilon(const Json& config, const char* key, double fallback) {
  const auto epsilon = static_cast<float>(config.get_double(key, fallback));
  if (!(epsilon >= 0 && epsilon < 1)) refuse_field(config, key, "an epsilon from 0 to 1");
  return epsilon;
}

float read_dropout(const Json& config, const char* key, double fallback) {
  const auto rate = static_cast<float>(config.get_double(key, fallback));
  if (!(rate >= 0 && rate < 1)) refuse_field(config, key, "a rate from 0 to below 1");
  return rate;
}

std::vector<bool> read_sliding(const Json& config, int64_t layers, bool (*fallback)(int64_t, int64_t),
                               int64_t argument) {
  std::vector<bool> sliding;
  const Json* types = config.find("layer_types");
  if (!types || types->is_null()) {
    for (int64_t i = 0; i < layers; ++i) sliding.push_back(fallback(i, argument));
    return sliding;
  }
  const Json::Array& list = types->as_array();
  if (static_cast<int64_t>(list.size()) != layers)
    refuse_field(config, "layer_types", "as many entries as there are layers (" + std::to_string(layers) + ")");
  for (const Json& entry : list) {
    const std::string& type = entry.as_string();
    if (type != "full_attention" && type != "attention" && type != "sliding_attention")
      fail(Code::kUnsupportedModel, "Expected full_attention or sliding_attention for %s but found %s",
           entry.path().c_str(), entry.describe().c_str());
    sliding.push_back(type == "sliding_attention");
  }
  return sliding;
}

ModelConfig parse_encoder(const Json& config, const char* family, const EncoderFields& fields) {
  ModelConfig model;
  model.family = family;
  model.hidden = read_size(config, fields.hidden, 768, 1, kMostHidden);
  model.vocab = read_size(config, "vocab_size", fields.default_vocab);
  model.max_positions = read_size(config, "max_position_embeddings", fields.default_positions);
  model.heads = read_size(config, fields.heads, 12, 1, kMostHeads);
  if (model.hidden % model.heads != 0)
    refuse_field(config, fields.heads, "a divisor of " + std::to_string(model.hidden) + " (" + fields.hidden + ")");
  const double epsilon = fields.default_epsilon;
  model.epsilon = fields.epsilon ? read_epsilon(config, fields.epsilon, epsilon) : static_cast<float>(epsilon);
  model.embedding_norm = true;

  LayerSpec layer;
  if (fields.hidden_dropout) {
    layer.output_dropout = layer.mlp_dropout = model.embedding_dropout =
        read_dropout(config, fields.hidden_dropout, fields.default_dropout);
  }
  layer.attention_dropout = read_dropout(config, fields.attention_dropout, fields.default_dropout);
  layer.epsilon = model.epsilon;
  layer.heads = layer.kv_heads = model.heads;
  layer.head_dim = model.hidden / model.heads;
  layer.activation = read_activation(config, fields.activation, "gelu");
  layer.intermediate = read_size(config, fields.intermediate, fields.default_intermediate, 1, kMostIntermediate);
  const int64_t layers = read_size(config, fields.layers, fields.default_layers, 1, kMostLayers);
  model.layers.assign(static_cast<size_t>(layers), layer);
  return model;
}

}  // namespace embedcore
