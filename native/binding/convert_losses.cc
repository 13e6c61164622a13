// RawLoss of src/core/training-binding.ts to train/loss.h.
#include "base/error.h"
#include "binding/convert.h"
#include "binding/convert_training.h"

namespace embedcore {

namespace {

double number(Napi::Object from, const char* key) {
  const Napi::Value value = from.Get(key);
  if (!value.IsNumber()) fail(Code::kInternal, "\"%s\" of a loss must be a number", key);
  return value.As<Napi::Number>().DoubleValue();
}

template <typename Value>
struct Named {
  const char* name;
  Value value;
};

template <typename Value, size_t kCount>
Value by_name(Napi::Object from, const char* key, const Named<Value> (&list)[kCount]) {
  const std::string name = get_string(from, key);
  for (const auto& entry : list)
    if (name == entry.name) return entry.value;
  fail(Code::kInternal, "unknown \"%s\" of a loss: \"%.40s\"", key, name.c_str());
}

constexpr Named<PairDistance> kDistances[] = {{"cosine", PairDistance::kCosine},
                                              {"euclidean", PairDistance::kEuclidean},
                                              {"manhattan", PairDistance::kManhattan}};
constexpr Named<PairSimilarity> kSimilarities[] = {{"cosine", PairSimilarity::kCosine}, {"dot", PairSimilarity::kDot}};
constexpr Named<HardnessMode> kHardness[] = {{"none", HardnessMode::kNone},
                                             {"in_batch_negatives", HardnessMode::kInBatchNegatives},
                                             {"hard_negatives", HardnessMode::kHardNegatives},
                                             {"all_negatives", HardnessMode::kAllNegatives}};
constexpr Named<TripletMining> kMining[] = {
    {"hard", TripletMining::kBatchHard}, {"all", TripletMining::kBatchAll}, {"semi-hard", TripletMining::kSemiHard}};
constexpr Named<Distance> kBatchDistances[] = {{"euclidean", Distance::kEuclidean}, {"cosine", Distance::kCosine}};
constexpr Named<DistillDistance> kDistill[] = {
    {"mse", DistillDistance::kMse}, {"l2", DistillDistance::kL2}, {"cosine", DistillDistance::kCosine}};

FalseNegativeMargin to_margin(Napi::Value value) {
  if (!value.IsObject()) return {};
  const auto from = value.As<Napi::Object>();
  return {.is_given = true, .is_relative = get_bool(from, "relative"), .value = number(from, "value")};
}

LossParameters to_parameters(Napi::Object from) {
  const std::string kind = get_string(from, "kind");
  if (kind == "MultipleNegativesRankingLoss")
    return MultipleNegativesRankingLoss{.scale = number(from, "scale"),
                                        .learned_scale = get_bool(from, "learnedScale"),
                                        .cosine = get_bool(from, "cosine"),
                                        .query_to_query = get_bool(from, "queryToQuery"),
                                        .doc_to_query = get_bool(from, "docToQuery"),
                                        .doc_to_doc = get_bool(from, "docToDoc"),
                                        .per_direction = get_bool(from, "perDirection"),
                                        .hardness_mode = by_name(from, "hardnessMode", kHardness),
                                        .hardness_strength = number(from, "hardnessStrength"),
                                        .mask_texts = get_bool(from, "maskTexts"),
                                        .mask_labels = get_bool(from, "maskLabels"),
                                        .false_negatives = to_margin(from.Get("falseNegatives"))};
  if (kind == "GISTEmbedLoss")
    return GISTEmbedLoss{.temperature = number(from, "temperature"),
                         .margin = to_margin(from.Get("margin")),
                         .contrast_anchors = get_bool(from, "contrastAnchors"),
                         .contrast_positives = get_bool(from, "contrastPositives")};
  if (kind == "BatchTripletLoss")
    return BatchTripletLoss{.mining = by_name(from, "mining", kMining),
                            .distance = by_name(from, "distance", kBatchDistances),
                            .margin = number(from, "margin"),
                            .soft_margin = get_bool(from, "softMargin")};
  if (kind == "TripletLoss")
    return TripletLoss{.distance = by_name(from, "distance", kDistances), .margin = number(from, "margin")};
  if (kind == "CosineSimilarityLoss") return CosineSimilarityLoss{};
  if (kind == "CoSENTLoss")
    return CoSENTLoss{.scale = number(from, "scale"), .similarity = by_name(from, "similarity", kSimilarities)};
  if (kind == "AnglELoss") return AnglELoss{.scale = number(from, "scale")};
  if (kind == "ContrastiveLoss")
    return ContrastiveLoss{.distance = by_name(from, "distance", kDistances),
                           .margin = number(from, "margin"),
                           .size_average = get_bool(from, "sizeAverage")};
  if (kind == "OnlineContrastiveLoss")
    return OnlineContrastiveLoss{.distance = by_name(from, "distance", kDistances), .margin = number(from, "margin")};
  if (kind == "MarginMSELoss") return MarginMSELoss{.similarity = by_name(from, "similarity", kSimilarities)};
  if (kind == "DistillKLDivLoss")
    return DistillKLDivLoss{.similarity = by_name(from, "similarity", kSimilarities),
                            .student_temperature = number(from, "studentTemperature"),
                            .teacher_temperature = number(from, "teacherTemperature")};
  if (kind == "EmbedDistillLoss") return EmbedDistillLoss{.distance = by_name(from, "distance", kDistill)};
  fail(Code::kInternal, "unknown loss \"%.40s\"", kind.c_str());
}

}  // namespace

std::vector<LossSpec> to_losses(Napi::Value value) {
  if (!value.IsArray()) fail(Code::kInternal, "\"losses\" must be a list");
  const auto list = value.As<Napi::Array>();
  std::vector<LossSpec> losses;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const auto from = Napi::Value(list.Get(i)).As<Napi::Object>();
    LossSpec spec{.parameters = to_parameters(from.Get("parameters").As<Napi::Object>()),
                  .name = get_string(from, "name"),
                  .weight = number(from, "weight")};
    const auto dims = from.Get("dims").As<Napi::Array>(), weights = from.Get("dimWeights").As<Napi::Array>();
    for (uint32_t d = 0; d < dims.Length(); ++d)
      spec.matryoshka.dims.push_back(Napi::Value(dims.Get(d)).ToNumber().Int64Value());
    for (uint32_t d = 0; d < weights.Length(); ++d)
      spec.matryoshka.weights.push_back(Napi::Value(weights.Get(d)).ToNumber().DoubleValue());
    spec.matryoshka.n_dims_per_step = get_int(from, "dimsPerStep");
    losses.push_back(std::move(spec));
  }
  return losses;
}

}  // namespace embedcore
