// model/config.h and model/families: how each family reads its config.json, and what it refuses.
#include "model/config.h"

#include <cmath>

#include "base_files.h"

namespace embedcore {
namespace {

ModelConfig parse(const std::string& text) { return parse_model_config(Json::parse(text, "config.json")); }

// `object` with these members put before its own.
std::string with(const std::string& members, const std::string& object) {
  return "{" + members + ", " + object.substr(1);
}

const std::string kSizes =
    R"("hidden_size": 32, "vocab_size": 100, "max_position_embeddings": 64, "num_attention_heads": 4,
        "intermediate_size": 48, "num_hidden_layers": 3)";
std::string config_of(const std::string& type, const std::string& more = "") {
  // Their default of 8 or 32 does not divide the heads above.
  const bool needs_kv = more.find("num_key_value_heads") == std::string::npos;
  return R"({"model_type": ")" + type + "\", " + kSizes + (needs_kv ? R"(, "num_key_value_heads": 4)" : "") +
         (more.empty() ? "" : ", " + more) + "}";
}

TEST(Config, Bert) {
  const ModelConfig model =
      parse(config_of("bert", R"("hidden_act": "gelu_new", "layer_norm_eps": 1e-7, "type_vocab_size": 2)"));
  EXPECT_EQ(model.family, "bert");
  EXPECT_EQ(model.hidden, 32);
  EXPECT_EQ(model.vocab, 100);
  EXPECT_EQ(model.max_positions, 64);
  EXPECT_EQ(model.padding_id, -1);
  EXPECT_EQ(model.input.kind, InputSpec::Kind::kTokens);
  ASSERT_EQ(model.input.tables.size(), 3u);  // in the order of the sum
  EXPECT_EQ(model.input.tables[0].index, TableSpec::Index::kToken);
  EXPECT_EQ(model.input.tables[0].rows, 100);
  EXPECT_EQ(model.input.tables[1].index, TableSpec::Index::kType);
  EXPECT_EQ(model.input.tables[1].rows, 2);
  EXPECT_EQ(model.position_table(), &model.input.tables[2]);
  EXPECT_EQ(model.position_table()->rows, 64);
  EXPECT_EQ(model.norm, NormKind::kLayer);
  EXPECT_EQ(model.epsilon, 1e-7f);
  EXPECT_EQ(model.heads, 4);
  EXPECT_TRUE(model.norm_bias);
  EXPECT_TRUE(model.embedding_norm);
  EXPECT_FALSE(model.final_norm);
  EXPECT_FALSE(model.causal());
  ASSERT_EQ(model.layers.size(), 3u);
  const LayerSpec& layer = model.layers.back();
  EXPECT_EQ(layer.norm, NormKind::kLayer);
  EXPECT_FALSE(layer.norm_first);
  EXPECT_EQ(layer.epsilon, 1e-7f);
  EXPECT_EQ(layer.heads, 4);
  EXPECT_EQ(layer.kv_heads, 4);
  EXPECT_EQ(layer.head_dim, 8);
  EXPECT_EQ(layer.qkv_width(), 96);
  EXPECT_TRUE(layer.qkv_bias && layer.output_bias && layer.mlp_bias);
  EXPECT_EQ(layer.activation, Activation::kGeluTanh);
  EXPECT_FALSE(layer.gated);
  EXPECT_EQ(layer.intermediate, 48);
  EXPECT_EQ(layer.rope.theta, 0);
}

TEST(Config, RobertaCountsPositionsFromThePadding) {
  for (const char* type : {"roberta", "xlm-roberta", "camembert"}) {
    const ModelConfig model = parse(config_of(type, R"("pad_token_id": 5)"));
    EXPECT_EQ(model.family, "roberta") << type;
    EXPECT_EQ(model.padding_id, 5);
  }
  EXPECT_EQ(parse(config_of("roberta")).padding_id, 1);
  expect_error(Code::kInvalidConfig, {"pad_token_id", "63"},
               [] { parse(config_of("roberta", R"("pad_token_id": 63)")); });
  expect_error(Code::kInvalidConfig, {"pad_token_id", "-1"},
               [] { parse(config_of("roberta", R"("pad_token_id": -1)")); });
}

TEST(Config, DistilbertHasItsOwnFields) {
  const ModelConfig model = parse(
      R"({"model_type": "distilbert", "dim": 24, "vocab_size": 10, "max_position_embeddings": 16, "n_heads": 3,
          "hidden_dim": 40, "n_layers": 2, "activation": "relu"})");
  EXPECT_EQ(model.hidden, 24);
  EXPECT_EQ(model.layers.size(), 2u);
  EXPECT_EQ(model.layers[0].head_dim, 8);
  EXPECT_EQ(model.layers[0].intermediate, 40);
  EXPECT_EQ(model.layers[0].activation, Activation::kRelu);
  EXPECT_EQ(model.input.table(TableSpec::Index::kType), nullptr);
}

TEST(Config, MpnetHasRelativePositions) {
  const ModelConfig model = parse(config_of("mpnet", R"("relative_attention_num_buckets": 32, "pad_token_id": 7)"));
  EXPECT_EQ(model.relative_buckets, 32);
  EXPECT_EQ(model.relative_max_distance, 128);
  EXPECT_EQ(model.padding_id, 1);  // whatever the configuration says
  EXPECT_EQ(parse(config_of("mpnet")).relative_buckets, 32);
  expect_error(Code::kInvalidConfig, {"relative_attention_num_buckets", "1"},
               [] { parse(config_of("mpnet", R"("relative_attention_num_buckets": 1)")); });
}

TEST(Config, ModernbertTurnsLocalAndGlobal) {
  const ModelConfig model = parse(with(
      R"("model_type": "modernbert", "hidden_size": 32, "vocab_size": 9, "num_attention_heads": 4,
          "intermediate_size": 8, "num_hidden_layers": 7)",
      R"({"local_attention": 20, "global_attn_every_n_layers": 3, "local_rope_theta": 100.0,
          "global_rope_theta": 900.0, "norm_eps": 1e-6})"));
  ASSERT_EQ(model.layers.size(), 7u);
  for (size_t i = 0; i < 7; ++i) {
    const bool global = i % 3 == 0;
    EXPECT_EQ(model.layers[i].window, global ? 0 : 10) << i;
    EXPECT_EQ(model.layers[i].rope.theta, global ? 900 : 100) << i;
    EXPECT_EQ(model.layers[i].rope.rotary_dim, 8) << i;
    EXPECT_EQ(model.layers[i].attention_norm, i != 0) << i;
    EXPECT_EQ(model.layers[i].mask, Mask::kBidirectional) << i;
    EXPECT_TRUE(model.layers[i].gated && model.layers[i].norm_first) << i;
    EXPECT_FALSE(model.layers[i].norm_bias || model.layers[i].qkv_bias || model.layers[i].mlp_bias) << i;
  }
  EXPECT_TRUE(model.final_norm);
  EXPECT_EQ(model.position_table(), nullptr);
  EXPECT_EQ(model.epsilon, 1e-6f);
  EXPECT_FALSE(model.norm_bias);
  EXPECT_EQ(model.max_positions, 8192);
}

TEST(Config, ModernbertReadsTheNewerFields) {
  const ModelConfig model = parse(
      config_of("modernbert",
                R"("layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "local_attention": 6,
          "rope_parameters": {
      "full_attention": {"rope_type": "default", "rope_theta": 5000.0},
      "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}})"));
  EXPECT_EQ(model.layers[0].window, 3);
  EXPECT_EQ(model.layers[1].window, 0);
  EXPECT_EQ(model.layers[0].rope.theta, 50);
  EXPECT_EQ(model.layers[1].rope.theta, 5000);
}

TEST(Config, DecodersShareTheirFields) {
  for (const char* type : {"llama", "mistral", "qwen2", "qwen3"}) {
    SCOPED_TRACE(type);
    const ModelConfig model = parse(
        config_of(type, R"("num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-3, "rope_theta": 777.0)"));
    EXPECT_TRUE(model.causal());
    EXPECT_TRUE(model.final_norm);
    const LayerSpec& layer = model.layers[2];
    EXPECT_EQ(layer.norm, NormKind::kRms);
    EXPECT_TRUE(layer.norm_first && layer.gated);
    EXPECT_EQ(layer.epsilon, 1e-3f);
    EXPECT_EQ(layer.kv_heads, 2);
    EXPECT_EQ(layer.head_dim, 16);
    EXPECT_EQ(layer.qkv_width(), (4 + 2 * 2) * 16);
    EXPECT_EQ(layer.activation, Activation::kSilu);
    EXPECT_EQ(layer.rope.theta, 777);
    EXPECT_EQ(layer.rope.rotary_dim, 16);
    EXPECT_EQ(layer.qkv_bias, std::string(type) == "qwen2");
    EXPECT_FALSE(layer.output_bias || layer.mlp_bias);
    EXPECT_EQ(layer.qk_norm, std::string(type) == "qwen3");
  }
  EXPECT_TRUE(parse(config_of("llama", R"("attention_bias": true, "mlp_bias": true)")).layers[0].output_bias);
}

TEST(Config, SlidingWindows) {
  auto windows = [](const std::string& text) {
    std::vector<int64_t> list;
    for (const LayerSpec& layer : parse(text).layers) list.push_back(layer.window);
    return list;
  };
  using List = std::vector<int64_t>;
  EXPECT_EQ(windows(config_of("mistral", R"("sliding_window": 9)")), (List{9, 9, 9}));
  EXPECT_EQ(windows(config_of("mistral", R"("sliding_window": null)")), (List{0, 0, 0}));
  EXPECT_EQ(windows(config_of("qwen2", R"("sliding_window": 9, "use_sliding_window": false)")), (List{0, 0, 0}));
  EXPECT_EQ(windows(config_of("qwen2", R"("sliding_window": 9, "use_sliding_window": true, "max_window_layers": 2)")),
            (List{0, 0, 9}));
  EXPECT_EQ(windows(config_of("qwen3",
                              R"("sliding_window": 9, "use_sliding_window": true, "layer_types": ["sliding_attention",
              "full_attention", "sliding_attention"])")),
            (List{9, 0, 9}));
  expect_error(Code::kInvalidConfig, {"local_attention", "-8"},
               [] { parse(config_of("modernbert", R"("local_attention": -8)")); });
  expect_error(Code::kInvalidConfig, {"local_attention", "1"},
               [] { parse(config_of("modernbert", R"("local_attention": 1)")); });  // half of it would not be a window
  expect_error(Code::kInvalidConfig, {"window", "-3"}, [] { parse(config_of("mistral", R"("sliding_window": -3)")); });
  expect_error(Code::kInvalidConfig, {"layer_types", "2"}, [] {
    parse(config_of(
        "qwen3",
        R"("sliding_window": 9, "use_sliding_window": true, "layer_types": ["full_attention", "full_attention"])"));
  });
  expect_error(Code::kUnsupportedModel, {"chunked_attention"}, [] {
    parse(config_of(
        "qwen3",
        R"("sliding_window": 9, "use_sliding_window": true, "layer_types": ["chunked_attention", "full_attention",
            "full_attention"])"));
  });
}

TEST(Config, RopeScalings) {
  auto rope = [](const std::string& member) { return parse(config_of("llama", member)).layers[0].rope; };
  EXPECT_EQ(rope(R"("rope_scaling": null)").scaling, RopeScaling::kNone);
  EXPECT_EQ(rope(R"("rope_parameters": {"rope_type": "default", "rope_theta": 123.0})").theta, 123);
  EXPECT_EQ(rope(R"("rope_parameters": {"rope_type": "default", "partial_rotary_factor": 1.0})").rotary_dim, 8);
  const RopeSpec linear = rope(R"("rope_scaling": {"type": "linear", "factor": 2.5})");
  EXPECT_EQ(linear.scaling, RopeScaling::kLinear);
  EXPECT_EQ(linear.factor, 2.5);
  const RopeSpec llama = rope(
      R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 2.0, "high_freq_factor": 3.0,
          "original_max_position_embeddings": 128})");
  EXPECT_EQ(llama.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(llama.low_frequency_factor, 2);
  EXPECT_EQ(llama.high_frequency_factor, 3);
  EXPECT_EQ(llama.original_positions, 128);
  const RopeSpec yarn = rope(
      R"("rope_scaling": {"rope_type": "yarn", "factor": 4.0, "beta_fast": 8, "beta_slow": 2, "truncate": false})");
  EXPECT_EQ(yarn.scaling, RopeScaling::kYarn);
  EXPECT_EQ(yarn.beta_fast, 8);
  EXPECT_EQ(yarn.beta_slow, 2);
  EXPECT_FALSE(yarn.truncate);
  EXPECT_EQ(yarn.original_positions, 64);  // max_position_embeddings
  EXPECT_DOUBLE_EQ(yarn.attention_factor, 0.1 * std::log(4.0) + 1);
  EXPECT_EQ(rope(R"("rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.5})").attention_factor,
            1.5);

  // transformers 5.18 gives 1.0648 here
  EXPECT_NEAR(rope(R"("rope_scaling": {"rope_type": "yarn", "factor": 4.0, "mscale": 1.0, "mscale_all_dim": 0.5})")
                  .attention_factor,
              1.0648, 5e-5);

  for (const char* bad :
       {R"("rope_theta": 1.0)", R"("rope_theta": NaN)", R"("rope_scaling": {"type": "linear", "factor": 0.5})",
        R"("rope_scaling": {"type": "linear", "factor": NaN})",
        R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0})",
        R"("rope_scaling": {"type": "linear"})", R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0})",
        R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0})"})
    expect_error(Code::kInvalidConfig, {}, [&] { parse(config_of("llama", bad)); });
  for (const char* partial : {R"("rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5})",
                              R"("rope_scaling": {"type": "linear", "factor": 2.0, "partial_rotary_factor": 0.5})",
                              R"("partial_rotary_factor": 0.5)"})
    expect_error(Code::kUnsupportedModel, {"partial_rotary_factor", "0.5"},
                 [&] { parse(config_of("llama", partial)); });
  expect_error(Code::kUnsupportedModel, {"full_attention"}, [] {
    parse(config_of("qwen3", R"("rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 9.0}})"));
  });
  expect_error(Code::kUnsupportedModel, {"longrope"},
               [] { parse(config_of("llama", R"("rope_scaling": {"rope_type": "longrope", "factor": 2.0})")); });
}

TEST(Config, RefusesWhatIsMissingOrImpossible) {
  expect_error(Code::kInvalidConfig, {"object"}, [] { parse("[]"); });
  expect_error(Code::kInvalidConfig, {"model_type"}, [] { parse("{}"); });
  expect_error(Code::kUnsupportedModel, {"gpt_neo", "modernbert"}, [] { parse(R"({"model_type": "gpt_neo"})"); });
  for (const char* type : {"bert", "roberta", "mpnet", "modernbert", "llama", "mistral", "qwen2", "qwen3"}) {
    SCOPED_TRACE(type);
    const std::string needed = R"("relative_attention_num_buckets": 32)";
    for (const char* field :
         {"hidden_size", "vocab_size", "num_attention_heads", "intermediate_size", "num_hidden_layers"}) {
      std::string text = config_of(type, needed);
      const size_t at = text.find("\"" + std::string(field) + "\"");
      const size_t end = text.find(',', at);
      for (const char* value : {"0", "-3", "1e15", "\"many\"", "2.5", "null"})
        expect_error(Code::kInvalidConfig, {field}, [&] {
          parse(std::string(text).replace(at, end - at, "\"" + std::string(field) + "\": " + value));
        });
    }
    for (const char* name : {"mish", ""}) {
      const std::string key = std::string(type) == "modernbert" ? "hidden_activation" : "hidden_act";
      expect_error(Code::kUnsupportedModel, {"\"" + std::string(name) + "\""},
                   [&] { parse(config_of(type, needed + ", \"" + key + "\": \"" + name + "\"")); });
    }
  }
  expect_error(Code::kInvalidConfig, {"num_key_value_heads", "4", "3"},
               [] { parse(config_of("llama", R"("num_key_value_heads": 3)")); });
  expect_error(Code::kInvalidConfig, {"num_key_value_heads"},
               [] { parse(config_of("llama", R"("num_key_value_heads": 0)")); });
  expect_error(Code::kInvalidConfig, {"head", "0"}, [] { parse(config_of("llama", R"("head_dim": 0)")); });
  expect_error(Code::kInvalidConfig, {"head", "9223372036854775807"},
               [] { parse(config_of("llama", R"("head_dim": 9223372036854775807)")); });
  for (const char* types : {"0", "-1", "9223372036854775807"})
    expect_error(Code::kInvalidConfig, {"type_vocab_size", types},
                 [&] { parse(config_of("bert", std::string("\"type_vocab_size\": ") + types)); });
  for (const char* padding : {"-2", "63", "9223372036854775807"})
    expect_error(Code::kInvalidConfig, {"pad_token_id", padding},
                 [&] { parse(config_of("roberta", std::string("\"pad_token_id\": ") + padding)); });
  expect_error(Code::kInvalidConfig, {"rms_norm_eps", "-1"},
               [] { parse(config_of("llama", R"("rms_norm_eps": -1.0)")); });
  expect_error(Code::kInvalidConfig, {"layer_norm_eps"}, [] { parse(config_of("bert", R"("layer_norm_eps": NaN)")); });
  expect_error(Code::kUnsupportedModel, {"relative_key"},
               [] { parse(config_of("bert", R"("position_embedding_type": "relative_key")")); });
  expect_error(Code::kUnsupportedModel, {"is_decoder"}, [] { parse(config_of("bert", R"("is_decoder": true)")); });
  expect_error(Code::kInvalidConfig, {"num_attention_heads"}, [] {
    parse(
        R"({"model_type": "bert", "hidden_size": 30, "vocab_size": 9, "max_position_embeddings": 9,
            "num_attention_heads": 4, "intermediate_size": 8, "num_hidden_layers": 1})");
  });
}

}  // namespace
}  // namespace embedcore
