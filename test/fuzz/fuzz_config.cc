// model/config.h, parse_model_config: any config.json is refused with a sentence, or gives layers whose sizes can be
// multiplied without overflow, so that no implausible amount is allocated.
#include "model/config.h"

#include "target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace embedcore;
  return run_parser({Code::kInvalidFile, Code::kInvalidConfig, Code::kUnsupportedModel}, [&] {
    const ModelConfig model =
        parse_model_config(Json::parse(as_text(data, size), "config.json", Json::Duplicates::kLastCounts));
    auto product = [](const char* what, int64_t a, int64_t b) {
      int64_t result = 0;
      if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &result) || result > int64_t{1} << 40)
        finding("an implausible size was taken:", what);
      return result;
    };
    if (model.hidden < 1 || model.vocab < 1 || model.layers.empty()) finding("a model of nothing was taken");
    if (model.layers.size() > 4096) finding("an implausible number of layers was taken");
    product("vocabulary", model.vocab, model.hidden);
    if (!model.input.table(TableSpec::Index::kToken)) finding("a model without a word table was taken");
    for (const TableSpec& table : model.input.tables) product(table.name.c_str(), table.rows, model.hidden);
    if (model.padding_id >= 0 && model.position_table() && model.padding_id + 1 >= model.max_positions)
      finding("padding leaves no positions");
    for (const LayerSpec& layer : model.layers) {
      if (layer.heads < 1 || layer.kv_heads < 1 || layer.head_dim < 1 || layer.intermediate < 1 || layer.window < 0)
        finding("a layer with an impossible size was taken");
      if (layer.heads % layer.kv_heads != 0) finding("heads that cannot be shared were taken");
      product("attention", layer.qkv_width(), model.hidden);
      product("mlp", layer.intermediate * (layer.gated ? 2 : 1), model.hidden);
      if (!(layer.epsilon >= 0 && layer.epsilon < 1)) finding("an impossible epsilon was taken");
      if (layer.rope.theta > 0 &&
          (layer.rope.rotary_dim < 2 || layer.rope.rotary_dim % 2 != 0 || layer.rope.rotary_dim > layer.head_dim))
        finding("an impossible rotary size was taken");
    }
  });
}
