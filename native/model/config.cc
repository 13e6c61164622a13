#include "model/config.h"

#include <algorithm>

#include "base/error.h"
#include "model/families/families.h"
#include "model/families/fields.h"
#include "model/families/keys.h"

namespace embedcore {

const TableSpec* InputSpec::table(TableSpec::Index index) const {
  const auto found =
      std::find_if(tables.begin(), tables.end(), [&](const TableSpec& table) { return table.index == index; });
  return found == tables.end() ? nullptr : &*found;
}

namespace {

// Refuses sizes whose product is implausible, before memory is allocated for them.
void check_config(const Json& config, const ModelConfig& model) {
  const std::string file = config.path();
  auto refuse = [&](const char* expected, int64_t a, int64_t b) {
    fail(Code::kInvalidConfig, "Expected %s in %s but found %lld and %lld", expected, file.c_str(),
         static_cast<long long>(a), static_cast<long long>(b));
  };
  constexpr int64_t kMostElements = int64_t{1} << 36;
  for (const TableSpec& table : model.input.tables)
    if (model.hidden > kMostElements / table.rows)
      refuse("plausible sizes for an embedding table (rows, hidden_size)", table.rows, model.hidden);
  for (const LayerSpec& layer : model.layers) {
    if (layer.head_dim < 1 || layer.head_dim > kMostHeadDim)
      refuse("a size from 1 to 4096 for each head (size, heads)", layer.head_dim, layer.heads);
    if (layer.kv_heads < 1 || layer.heads % layer.kv_heads != 0)
      refuse("num_attention_heads to be a multiple of num_key_value_heads", layer.heads, layer.kv_heads);
    if (layer.qkv_width() > kMostElements / model.hidden)
      refuse("plausible sizes for attention (width of all heads, hidden_size)", layer.qkv_width(), model.hidden);
    if (layer.intermediate > kMostElements / model.hidden)
      refuse("plausible sizes for the feed-forward (intermediate_size, hidden_size)", layer.intermediate, model.hidden);
  }
}

}  // namespace

ModelConfig parse_model_config(const Json& config) {
  const std::string file = config.path();
  if (!config.is_object())
    fail(Code::kInvalidConfig, "Expected an object in %s but found %s", file.c_str(), config.describe().c_str());
  const Json* field = config.find("model_type");
  const std::string type = config.get_string("model_type", "");
  if (type.empty())
    fail(Code::kInvalidConfig, "Expected the name of a model family for \"model_type\" in %s but found %s",
         file.c_str(), field ? field->describe().c_str() : "nothing");
  std::string known;
  for (const Family& family : families()) {
    for (const std::string& name : family.model_types) {
      if (name == type) {
        refuse_unsupported_keys(config);
        ModelConfig model = family.parse(config);
        check_config(config, model);
        return model;
      }
      known += (known.empty() ? "" : ", ") + name;
    }
  }
  fail(Code::kUnsupportedModel, "Expected one of %s for \"model_type\" in %s but found %s", known.c_str(), file.c_str(),
       quote(type).c_str());
}

}  // namespace embedcore
