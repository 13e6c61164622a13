// Readers of config.json fields, for families/*.cc. An absent field has the default of the reference's configuration
// class, which the caller gives. An impossible value is refused with the key, the file and the value.
#pragma once

#include <string>

#include "base/error.h"
#include "base/json.h"
#include "model/config.h"

namespace embedcore {

constexpr int64_t kMostSize = int64_t{1} << 31;
constexpr int64_t kMostHidden = 1 << 20;
constexpr int64_t kMostIntermediate = 1 << 24;
constexpr int64_t kMostHeads = 4096;
constexpr int64_t kMostHeadDim = 4096;
constexpr int64_t kMostLayers = 4096;

// Throws: Expected <expected> for "<key>" in <file> but found <value>.
[[noreturn]] void refuse_field(const Json& config, const char* key, const std::string& expected,
                               Code code = Code::kInvalidConfig);

// An integer in [low, high].
int64_t read_size(const Json& config, const char* key, int64_t fallback, int64_t low = 1, int64_t high = kMostSize);
// The same for a field where null means something else than an absent field.
int64_t read_size_or_null(const Json& config, const char* key, int64_t fallback, int64_t null_value);

Activation read_activation(const Json& config, const char* key, const char* fallback);
// A rate of dropout in [0, 1).
float read_dropout(const Json& config, const char* key, double fallback);
float read_epsilon(const Json& config, const char* key, double fallback);

// Rotary positions of a decoder: "rope_scaling" if it has any setting, else "rope_parameters", else "rope_theta".
RopeSpec read_rope(const Json& config, int64_t head_dim, int64_t max_positions);
// Rotary positions of one kind of ModernBERT's layers: kind is the entry of "rope_parameters", theta_key the old field.
RopeSpec read_rope_of_kind(const Json& config, int64_t head_dim, int64_t max_positions, const char* kind, double theta);

// Whether each layer attends to a window: "layer_types", or fallback(layer) if the list is absent.
std::vector<bool> read_sliding(const Json& config, int64_t layers, bool (*fallback)(int64_t layer, int64_t argument),
                               int64_t argument);

// The keys of the fields that all BERT-type families have, with the reference's defaults.
struct EncoderFields {
  const char* hidden = "hidden_size";
  const char* heads = "num_attention_heads";
  const char* layers = "num_hidden_layers";
  const char* intermediate = "intermediate_size";
  const char* activation = "hidden_act";
  const char* epsilon = "layer_norm_eps";              // null = always default_epsilon
  const char* hidden_dropout = "hidden_dropout_prob";  // null = none
  const char* attention_dropout = "attention_probs_dropout_prob";
  int64_t default_vocab = 30522, default_positions = 512, default_layers = 12, default_intermediate = 3072;
  double default_epsilon = 1e-12, default_dropout = 0.1;
};

// Sizes, activation, epsilon, rates of dropout and an embedding norm; every layer post-norm, bidirectional and with
// biases.
ModelConfig parse_encoder(const Json& config, const char* family, const EncoderFields& fields);

}  // namespace embedcore
