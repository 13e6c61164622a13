// Rotary positions in config.json: "rope_parameters" of transformers 5, "rope_theta" and "rope_scaling" of older files.
#include <cmath>
#include <initializer_list>

#include "model/families/fields.h"

namespace embedcore {

namespace {

constexpr double kDefaultTheta = 10000.0;

// The first object that has a field determines its value.
class Sources {
 public:
  Sources(std::initializer_list<const Json*> objects) {
    for (const Json* object : objects)
      if (object && object->is_object()) objects_.push_back(object);
  }

  // The object that has the field, even with the value null; null if no object has it.
  const Json* with(const char* key) const {
    for (const Json* object : objects_)
      if (object->find(key)) return object;
    return nullptr;
  }
  double number(const char* key, double fallback) const {
    const Json* object = with(key);
    return object ? object->get_double(key, fallback) : fallback;
  }
  double required(const Json& config, const char* key, int low) const {
    const Json* object = with(key);
    const double value = object ? object->get_double(key, std::nan("")) : std::nan("");
    if (!(value >= low))
      refuse_field(object ? *object : config, key, "a number of " + std::to_string(low) + " or more for its rope");
    return value;
  }

 private:
  std::vector<const Json*> objects_;
};

// transformers' _compute_yarn_parameters: DeepSeek's pair of mscale values if both are given, else YaRN's factor.
double yarn_attention_factor(const Sources& sources, double factor) {
  const auto of = [&](double scale) { return factor > 1 ? 0.1 * scale * std::log(factor) + 1.0 : 1.0; };
  const double scale = sources.number("mscale", 0), scale_all = sources.number("mscale_all_dim", 0);
  return scale != 0 && scale_all != 0 ? of(scale) / of(scale_all) : of(1.0);
}

double or_default(double value, double fallback) { return value == 0 ? fallback : value; }

// The reference does not support partial rotation in these families: depending on the version it ignores the field or
// fails.
void refuse_partial_rotation(const Json& object) {
  if (object.get_double("partial_rotary_factor", 1.0) != 1.0)
    refuse_field(object, "partial_rotary_factor", "1", Code::kUnsupportedModel);
}

double original_positions(const Json& config, const Sources& sources, int64_t max_positions) {
  const Sources places{&config};
  const Sources& chosen = config.find("original_max_position_embeddings") ? places : sources;
  const double value = chosen.number("original_max_position_embeddings", static_cast<double>(max_positions));
  if (!(value > 0)) refuse_field(config, "original_max_position_embeddings", "a positive number");
  return value;
}

void read_llama3(const Json& config, const Sources& sources, RopeSpec& rope) {
  rope.scaling = RopeScaling::kLlama3;
  rope.low_frequency_factor = sources.required(config, "low_freq_factor", 0);
  rope.high_frequency_factor = sources.required(config, "high_freq_factor", 0);
  if (!(rope.low_frequency_factor > 0 && rope.high_frequency_factor > rope.low_frequency_factor))
    refuse_field(*sources.with("high_freq_factor"), "high_freq_factor", "more than low_freq_factor");
}

void read_yarn(const Sources& sources, RopeSpec& rope) {
  rope.scaling = RopeScaling::kYarn;
  rope.beta_fast = or_default(sources.number("beta_fast", 0), 32.0);
  rope.beta_slow = or_default(sources.number("beta_slow", 0), 1.0);
  const Json* truncate = sources.with("truncate");
  rope.truncate = !truncate || truncate->get_bool("truncate", true);
  rope.attention_factor = sources.number("attention_factor", yarn_attention_factor(sources, rope.factor));
}

RopeSpec make_rope(const Json& config, const Sources& sources, int64_t head_dim, int64_t max_positions, double theta) {
  RopeSpec rope;
  rope.theta = sources.number("rope_theta", theta);
  if (!(rope.theta > 1)) {
    const Json* object = sources.with("rope_theta");
    refuse_field(object ? *object : config, "rope_theta", "a number greater than 1");
  }
  if (head_dim < 2 || head_dim > kMostHeadDim || head_dim % 2 != 0)
    fail(Code::kInvalidConfig, "Expected an even number from 2 to %lld for the size of a head in %s but found %lld",
         static_cast<long long>(kMostHeadDim), config.path().c_str(), static_cast<long long>(head_dim));
  rope.rotary_dim = head_dim;

  const char* type_key = sources.with("rope_type") ? "rope_type" : "type";
  const Json* typed = sources.with(type_key);
  const std::string type = typed ? typed->get_string(type_key, "default") : "default";
  if (type == "default") return rope;
  if (type != "linear" && type != "llama3" && type != "yarn")
    refuse_field(*typed, type_key, "a rope of type default, linear, llama3 or yarn", Code::kUnsupportedModel);

  rope.original_positions = original_positions(config, sources, max_positions);
  const Json* factor = sources.with("factor");
  // The reference divides the two lengths if the factor of yarn is null.
  rope.factor = type == "yarn" && factor && factor->find("factor")->is_null()
                    ? static_cast<double>(max_positions) / rope.original_positions
                    : sources.required(config, "factor", 1);
  if (!(rope.factor >= 1)) refuse_field(config, "original_max_position_embeddings", "at most max_position_embeddings");
  if (type == "linear") rope.scaling = RopeScaling::kLinear;
  if (type == "llama3") read_llama3(config, sources, rope);
  if (type == "yarn") read_yarn(sources, rope);
  return rope;
}

// transformers prefers the older field if both are present.
const Json* scaling_of(const Json& config) {
  const Json* scaling = config.find("rope_scaling");
  return scaling && scaling->is_object() && !scaling->as_object().empty() ? scaling : nullptr;
}

}  // namespace

RopeSpec read_rope(const Json& config, int64_t head_dim, int64_t max_positions) {
  const Json* scaling = scaling_of(config);
  const Json* object = scaling ? scaling : config.find("rope_parameters");
  refuse_partial_rotation(config);
  if (object && object->is_object()) {
    refuse_partial_rotation(*object);
    for (const auto& [key, value] : object->as_object())
      if (value.is_object()) refuse_field(*object, key.c_str(), "one rope for all layers", Code::kUnsupportedModel);
  }
  return make_rope(config, {object}, head_dim, max_positions, config.get_double("rope_theta", kDefaultTheta));
}

RopeSpec read_rope_of_kind(const Json& config, int64_t head_dim, int64_t max_positions, const char* kind,
                           double theta) {
  const Json* parameters = config.find("rope_parameters");
  const Json* of_kind = parameters ? parameters->find(kind) : nullptr;
  const Json* scaling = scaling_of(config);
  for (const Json* object : {&config, of_kind, scaling})
    if (object && object->is_object()) refuse_partial_rotation(*object);
  return make_rope(config, {scaling, of_kind}, head_dim, max_positions, theta);
}

}  // namespace embedcore
