// model/families: the reference's defaults for absent keys, the keys that change what a model computes, and the keys
// that are refused. test/golden/config_keys.json lists what the reference reads.
#include "model/families/keys.h"

#include <set>

#include "base/mapped_file.h"
#include "base_files.h"
#include "model/config.h"

namespace embedcore {
namespace {

ModelConfig parse(const std::string& text) { return parse_model_config(Json::parse(text, "config.json")); }
ModelConfig parse(const std::string& type, const std::string& members) {
  return parse("{\"model_type\": \"" + type + "\"" + (members.empty() ? "" : ", " + members) + "}");
}

TEST(ConfigKeys, EveryKeyOfTheReferenceHasAnEffectHere) {
  const std::string path = std::string(EMBEDCORE_ROOT) + "/test/golden/config_keys.json";
  const Json golden = Json::parse(MappedFile::open(path)->text(), path);
  const Json::Object& types = golden.find("keys")->as_object();
  EXPECT_EQ(types.size(), 11u);
  for (const auto& [type, keys] : types)
    for (const Json& key : keys.as_array())
      EXPECT_NE(config_key_effect(type, key.as_string()), KeyEffect::kUnknown) << type << " " << key.as_string();
  EXPECT_EQ(config_key_effect("bert", "a_note_of_the_author"), KeyEffect::kUnknown);
}

TEST(ConfigKeys, AbsentKeysHaveTheDefaultsOfTheReference) {
  struct Defaults {
    const char* type;
    int64_t hidden, vocab, positions, layers, heads, kv_heads, head_dim, intermediate;
  };
  for (const Defaults& expected :
       std::initializer_list<Defaults>{{"bert", 768, 30522, 512, 12, 12, 12, 64, 3072},
                                       {"roberta", 768, 50265, 512, 12, 12, 12, 64, 3072},
                                       {"xlm-roberta", 768, 30522, 512, 12, 12, 12, 64, 3072},
                                       {"distilbert", 768, 30522, 512, 6, 12, 12, 64, 3072},
                                       {"mpnet", 768, 30527, 512, 12, 12, 12, 64, 3072},
                                       {"modernbert", 768, 50368, 8192, 22, 12, 12, 64, 1152},
                                       {"qwen2", 4096, 151936, 32768, 32, 32, 32, 128, 22016},
                                       {"qwen3", 4096, 151936, 32768, 32, 32, 32, 128, 22016},
                                       {"llama", 4096, 32000, 2048, 32, 32, 32, 128, 11008},
                                       {"mistral", 4096, 32000, 131072, 32, 32, 8, 128, 14336}}) {
    SCOPED_TRACE(expected.type);
    const ModelConfig model = parse(expected.type, "");
    EXPECT_EQ(model.hidden, expected.hidden);
    EXPECT_EQ(model.vocab, expected.vocab);
    EXPECT_EQ(model.max_positions, expected.positions);
    EXPECT_EQ(static_cast<int64_t>(model.layers.size()), expected.layers);
    EXPECT_EQ(model.heads, expected.heads);
    EXPECT_EQ(model.layers[0].kv_heads, expected.kv_heads);
    EXPECT_EQ(model.layers[0].head_dim, expected.head_dim);
    EXPECT_EQ(model.layers[0].intermediate, expected.intermediate);
  }
  EXPECT_EQ(parse("mistral", "").layers[0].window, 4096);
  EXPECT_EQ(parse("mistral", R"("sliding_window": null)").layers[0].window, 0);
  EXPECT_EQ(parse("mistral", R"("num_key_value_heads": null)").layers[0].kv_heads, 32);
  EXPECT_EQ(parse("qwen3", R"("hidden_size": 1024, "num_attention_heads": 32)").layers[0].head_dim, 128);
  EXPECT_EQ(parse("qwen2", R"("hidden_size": 1024, "num_attention_heads": 32)").layers[0].head_dim, 32);
  const ModelConfig sliding = parse("qwen2", R"("use_sliding_window": true)");
  EXPECT_EQ(sliding.layers[27].window, 0);
  EXPECT_EQ(sliding.layers[28].window, 4096);
}

TEST(ConfigKeys, IsCausalMakesADecoderBidirectional) {
  for (const char* type : {"llama", "mistral", "qwen2", "qwen3"}) {
    SCOPED_TRACE(type);
    for (const char* off : {"false", "null", "0"}) {  // what Python takes for false
      const ModelConfig model = parse(type, "\"is_causal\": " + std::string(off));
      for (const LayerSpec& layer : model.layers) EXPECT_EQ(layer.mask, Mask::kBidirectional) << off;
    }
    EXPECT_TRUE(parse(type, R"("is_causal": true)").causal());
    EXPECT_TRUE(parse(type, "").causal());
    expect_error(Code::kInvalidConfig, {"is_causal", "no"}, [&] { parse(type, R"("is_causal": "no")"); });
  }
  EXPECT_FALSE(parse("bert", R"("is_causal": true)").causal());  // the reference reads it only for decoders
}

TEST(ConfigKeys, KeysThatOtherFamiliesReadChangeNothing) {
  // The reference gives Qwen2 and Mistral biases by family, whatever the file says.
  const std::string biases = R"("attention_bias": true, "mlp_bias": true)";
  EXPECT_TRUE(parse("llama", biases).layers[0].mlp_bias && parse("llama", biases).layers[0].output_bias);
  EXPECT_TRUE(parse("qwen3", biases).layers[0].output_bias);
  EXPECT_FALSE(parse("qwen3", biases).layers[0].mlp_bias);
  EXPECT_FALSE(parse("qwen2", biases).layers[0].output_bias || parse("qwen2", biases).layers[0].mlp_bias);
  EXPECT_FALSE(parse("mistral", biases).layers[0].qkv_bias || parse("mistral", biases).layers[0].mlp_bias);
  EXPECT_EQ(parse("llama", R"("sliding_window": 7)").layers[0].window, 0);
}

TEST(ConfigKeys, Aliases) {
  const ModelConfig distilbert = parse("distilbert", R"("dim": 8, "hidden_size": 24, "num_hidden_layers": 2)");
  EXPECT_EQ(distilbert.hidden, 24);
  EXPECT_EQ(distilbert.layers.size(), 2u);
  EXPECT_EQ(parse("modernbert", R"("sliding_window": 7)").layers[1].window, 7);
  EXPECT_EQ(parse("modernbert", R"("layer_types": null, "local_attention": 14)").layers[1].window, 7);
}

TEST(ConfigKeys, RopeFieldsInTheOrderOfTheReference) {
  auto rope = [](const std::string& members) { return parse("llama", members).layers[0].rope; };
  EXPECT_EQ(rope(R"("rope_theta": 50.0, "rope_parameters": {"rope_type": "default"})").theta, 50);
  EXPECT_EQ(rope(R"("rope_theta": 50.0, "rope_parameters": {"rope_theta": 60.0})").theta, 60);
  const RopeSpec both = rope(
      R"("rope_scaling": {"type": "linear", "factor": 3.0},
      "rope_parameters": {"rope_type": "default", "rope_theta": 9.0})");
  EXPECT_EQ(both.scaling, RopeScaling::kLinear);
  EXPECT_EQ(both.theta, 10000);
  EXPECT_EQ(rope(R"("rope_scaling": {}, "rope_parameters": {"rope_theta": 9.0})").theta, 9);
  const std::string yarn = R"("max_position_embeddings": 64, "rope_scaling": {"rope_type": "yarn", "factor": null,
      "beta_fast": 0, "original_max_position_embeddings": 16})";
  EXPECT_EQ(rope(yarn).factor, 4);
  EXPECT_EQ(rope(yarn).beta_fast, 32);
  EXPECT_EQ(rope(R"("original_max_position_embeddings": 8, )" + yarn).original_positions, 8);
  const ModelConfig scaled = parse("modernbert", R"("global_rope_theta": 900.0, "local_rope_theta": null,
      "rope_scaling": {"rope_type": "linear", "factor": 2.0})");
  for (const LayerSpec& layer : scaled.layers) {
    EXPECT_EQ(layer.rope.theta, 900);
    EXPECT_EQ(layer.rope.scaling, RopeScaling::kLinear);
  }
  EXPECT_EQ(parse("modernbert", R"("rope_theta": 5.0)").layers[1].rope.theta, 10000);
}

TEST(ConfigKeys, UnsupportedKeysAreRefusedByName) {
  const char* families[] = {"bert", "roberta", "distilbert", "mpnet", "modernbert", "llama", "mistral", "qwen2"};
  for (const char* type : families) {
    SCOPED_TRACE(type);
    for (const char* key : {"quantization_config", "compression_config"})
      for (const char* method : {"fp8", "gptq", "awq", "bitsandbytes", "compressed-tensors"})
        expect_error(Code::kUnsupportedModel, {key, method, "config.json"},
                     [&] { parse(type, "\"" + std::string(key) + "\": {\"quant_method\": \"" + method + "\"}"); });
    expect_error(Code::kUnsupportedModel, {"quantization_config"},
                 [&] { parse(type, R"("quantization_config": {})"); });
    for (const char* name : {"AutoModel", "AutoConfig", "AutoTokenizer"})
      expect_error(Code::kUnsupportedModel, {"auto_map", name, "modeling_own.Model", "config.json"},
                   [&] { parse(type, "\"auto_map\": {\"" + std::string(name) + "\": \"modeling_own.Model\"}"); });
    for (const char* key : {"per_layer_config", "pruned_heads"})
      expect_error(Code::kUnsupportedModel, {key, "an object"},
                   [&] { parse(type, "\"" + std::string(key) + "\": {\"0\": [1]}"); });
    // Without a value, or for another task, they have no effect.
    parse(type, R"("quantization_config": null, "auto_map": {"AutoModelForMaskedLM": "modeling_own.Model"})");
    parse(type, R"("pruned_heads": {}, "per_layer_config": null, "auto_map": null, "a_note": {"of": "the author"})");
  }
  for (const char* type : {"bert", "roberta", "xlm-roberta", "camembert"}) {
    for (const char* key : {"is_decoder", "add_cross_attention"}) {
      expect_error(Code::kUnsupportedModel, {key, "true"}, [&] { parse(type, "\"" + std::string(key) + "\": true"); });
      parse(type, "\"" + std::string(key) + "\": false");
    }
  }
  expect_error(Code::kInvalidConfig, {"pad_token_id", "null"}, [] { parse("roberta", R"("pad_token_id": null)"); });
}

}  // namespace
}  // namespace embedcore
