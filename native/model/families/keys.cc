#include "model/families/keys.h"

#include <algorithm>
#include <string>
#include <vector>

#include "model/families/fields.h"

namespace embedcore {

namespace {

using Keys = std::vector<std::string_view>;

struct FamilyKeys {
  Keys model_types = {};
  Keys acted_on = {}, no_effect = {}, refused = {};
};

// The keys of all families: PreTrainedConfig of transformers, with keys that only version 4 knows.
const FamilyKeys& common_keys() {
  static const FamilyKeys keys = {
      .acted_on = {"architectures", "auto_map", "compression_config", "hidden_size", "intermediate_size",
                   "max_position_embeddings", "model_type", "num_attention_heads", "num_hidden_layers",
                   "output_hidden_states", "quantization_config", "tokenizer_class", "vocab_size"},
      // Some of these are read by the functions that make masks and ropes, but only for other families.
      .no_effect = {"attention_chunk_size",
                    "attn_implementation",
                    "bos_token_id",
                    "chunk_size_feed_forward",
                    "dtype",
                    "eos_token_id",
                    "experts_implementation",
                    "finetuning_task",
                    "id2label",
                    "initializer_range",
                    "is_causal",
                    "is_encoder_decoder",
                    "label2id",
                    "name_or_path",
                    "num_labels",
                    "output_attentions",
                    "prefix",
                    "problem_type",
                    "return_dict",
                    "rope_scaling",
                    "rope_theta",
                    "sep_token_id",
                    "sliding_window",
                    "task_specific_params",
                    "tie_encoder_decoder",
                    "tie_word_embeddings",
                    "torch_dtype",
                    "torchscript",
                    "transformers_version",
                    "use_bfloat16",
                    "use_cache"},
      .refused = {"per_layer_config", "pruned_heads"},
  };
  return keys;
}

const std::vector<FamilyKeys>& family_keys() {
  static const std::vector<FamilyKeys> list = {
      {.model_types = {"bert", "roberta", "xlm-roberta", "camembert"},
       .acted_on = {"hidden_act", "layer_norm_eps", "position_embedding_type", "type_vocab_size"},
       .no_effect = {"attention_probs_dropout_prob", "classifier_dropout", "cross_attention_hidden_size",
                     "hidden_dropout_prob"},
       .refused = {"add_cross_attention", "is_decoder"}},
      {.model_types = {"roberta", "xlm-roberta", "camembert"}, .acted_on = {"pad_token_id"}},
      {.model_types = {"bert"}, .no_effect = {"pad_token_id"}},
      {.model_types = {"distilbert"},
       .acted_on = {"activation", "dim", "hidden_dim", "n_heads", "n_layers"},
       .no_effect = {"attention_dropout", "dropout", "pad_token_id", "qa_dropout", "seq_classif_dropout",
                     "sinusoidal_pos_embds"}},
      {.model_types = {"mpnet"},
       .acted_on = {"hidden_act", "layer_norm_eps", "relative_attention_num_buckets"},
       .no_effect = {"attention_probs_dropout_prob", "hidden_dropout_prob", "pad_token_id"}},
      {.model_types = {"modernbert"},
       .acted_on = {"attention_bias", "global_attn_every_n_layers", "global_rope_theta", "hidden_activation",
                    "layer_types", "local_attention", "local_rope_theta", "mlp_bias", "norm_bias", "norm_eps",
                    "original_max_position_embeddings", "partial_rotary_factor", "rope_parameters", "rope_scaling",
                    "sliding_window"},
       .no_effect = {"attention_dropout", "classifier_activation", "classifier_bias", "classifier_dropout",
                     "classifier_pooling", "cls_token_id", "decoder_bias", "deterministic_flash_attn",
                     "embedding_dropout", "initializer_cutoff_factor", "mlp_dropout", "pad_token_id",
                     "reference_compile", "repad_logits_with_grad", "sparse_pred_ignore_index", "sparse_prediction"},
       .refused = {"head_dim"}},
      {.model_types = {"llama", "mistral", "qwen2", "qwen3"},
       .acted_on = {"head_dim", "hidden_act", "is_causal", "num_key_value_heads", "original_max_position_embeddings",
                    "partial_rotary_factor", "rms_norm_eps", "rope_parameters", "rope_scaling", "rope_theta"},
       .no_effect = {"attention_dropout", "pad_token_id"}},
      {.model_types = {"llama"}, .acted_on = {"attention_bias", "mlp_bias"}, .no_effect = {"pretraining_tp"}},
      {.model_types = {"qwen3"}, .acted_on = {"attention_bias"}},
      {.model_types = {"mistral", "qwen2", "qwen3"}, .acted_on = {"layer_types", "sliding_window"}},
      {.model_types = {"qwen2", "qwen3"}, .acted_on = {"max_window_layers", "use_sliding_window"}},
  };
  return list;
}

bool has(const Keys& keys, std::string_view key) { return std::find(keys.begin(), keys.end(), key) != keys.end(); }

KeyEffect effect_in(const FamilyKeys& keys, std::string_view key) {
  if (has(keys.acted_on, key)) return KeyEffect::kActedOn;
  if (has(keys.refused, key)) return KeyEffect::kRefused;
  return has(keys.no_effect, key) ? KeyEffect::kNoEffect : KeyEffect::kUnknown;
}

bool is_off(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_bool()) return !value.as_bool();
  return (value.is_object() && value.as_object().empty()) || (value.is_array() && value.as_array().empty());
}

// Refuses weights that are codes with separate scales and zero points.
void refuse_quantization(const Json& config, const char* key) {
  const Json* settings = config.find(key);
  if (!settings || settings->is_null()) return;
  const Json* method = settings->find("quant_method");
  const std::string name = method && method->is_string() ? quote(method->as_string()) : settings->describe();
  fail(Code::kUnsupportedModel,
       "Expected float32, float16 or bfloat16 weights but found \"%s\" (%s) in %s: quantised weights are not "
       "supported; save the model dequantised, or take the original, and choose a dtype when it is loaded",
       key, name.c_str(), config.path().c_str());
}

// The reference loads these classes from the model's own Python code; the others of auto_map are for other tasks.
void refuse_own_code(const Json& config) {
  const Json* map = config.find("auto_map");
  if (!map || !map->is_object()) return;
  for (const char* name : {"AutoConfig", "AutoModel", "AutoTokenizer"}) {
    const Json* code = map->find(name);
    if (!code || code->is_null()) continue;
    fail(Code::kUnsupportedModel,
         "Expected no \"%s\" for \"auto_map\" in %s but found %s: the model's own code may compute something else than "
         "\"%s\" does; remove the key if you know that it does not",
         name, config.path().c_str(), code->describe().c_str(), config.get_string("model_type", "").c_str());
  }
}

}  // namespace

KeyEffect config_key_effect(std::string_view model_type, std::string_view key) {
  for (const FamilyKeys& keys : family_keys()) {
    if (!has(keys.model_types, model_type)) continue;
    const KeyEffect effect = effect_in(keys, key);
    if (effect != KeyEffect::kUnknown) return effect;
  }
  return effect_in(common_keys(), key);
}

void refuse_unsupported_keys(const Json& config) {
  refuse_own_code(config);
  refuse_quantization(config, "quantization_config");
  refuse_quantization(config, "compression_config");
  const std::string type = config.get_string("model_type", "");
  for (const auto& [key, value] : config.as_object())
    if (config_key_effect(type, key) == KeyEffect::kRefused && !is_off(value))
      refuse_field(config, key.c_str(), "no value", Code::kUnsupportedModel);
}

}  // namespace embedcore
