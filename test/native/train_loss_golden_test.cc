// Values and gradients of every loss against sentence-transformers (test/golden/make_losses.py), through LossRunner on
// every backend.
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/safetensors.h"
#include "loss_batch.h"

namespace embedcore::test {
namespace {

const std::string kGolden = std::string(EMBEDCORE_ROOT) + "/test/golden/losses/golden";

class LossGoldenTest : public OpTest {};
INSTANTIATE_TEST_SUITE_P(Op, LossGoldenTest, testing::ValuesIn(loss_backends()), backend_name);

Rows tensor(const SafeTensors& file, const std::string& name, int64_t width = -1) {
  const TensorView* view = file.find(name);
  if (!view || view->dtype != DType::kF32) throw std::runtime_error("no float32 tensor " + name);
  int64_t stride = 1;
  for (size_t i = 1; i < view->shape.size(); ++i) stride *= view->shape[i];
  Rows rows(view->shape[0], width < 0 ? stride : width);
  for (int64_t row = 0; row < rows.rows(); ++row)
    std::memcpy(rows.data(row), reinterpret_cast<const float*>(view->data) + row * stride,
                static_cast<size_t>(rows.width()) * sizeof(float));
  return rows;
}

struct Options {
  const Json& json;

  double number(const char* name, double otherwise) const {
    const Json* value = json.find(name);
    return value ? value->as_double() : otherwise;
  }
  std::string text(const char* name, const char* otherwise) const {
    const Json* value = json.find(name);
    return value ? value->as_string() : otherwise;
  }
  bool flag(const char* name, bool otherwise) const {
    const Json* value = json.find(name);
    return value ? value->as_bool() : otherwise;
  }
  bool has_direction(const char* name) const {
    const Json* list = json.find("directions");
    if (!list) return false;
    for (const Json& each : list->as_array())
      if (each.as_string() == name) return true;
    return false;
  }
  template <typename Distance>
  Distance distance(const char* otherwise, const std::vector<std::pair<std::string, Distance>>& names) const {
    const std::string wanted = text("distance_metric", otherwise);
    for (const auto& [name, value] : names)
      if (name == wanted) return value;
    throw std::runtime_error("no distance " + wanted);
  }
  PairDistance pair_distance(const char* otherwise) const {
    return distance<PairDistance>(otherwise, {{"cosine", PairDistance::kCosine},
                                              {"euclidean", PairDistance::kEuclidean},
                                              {"manhattan", PairDistance::kManhattan}});
  }
  PairSimilarity similarity(const char* otherwise) const {
    return text("similarity", otherwise) == "dot" ? PairSimilarity::kDot : PairSimilarity::kCosine;
  }
};

LossParameters parameters_of(const std::string& loss, const Options& o) {
  if (loss == "MultipleNegativesRankingLoss") {
    MultipleNegativesRankingLoss p{.scale = o.number("scale", 20)};
    p.cosine = o.text("similarity", "cosine") == "cosine";
    p.query_to_query = o.has_direction("query_to_query");
    p.doc_to_query = o.has_direction("doc_to_query");
    p.doc_to_doc = o.has_direction("doc_to_doc");
    p.per_direction = o.text("partition_mode", "joint") == "per_direction";
    const std::string mode = o.text("hardness_mode", "");
    if (mode == "in_batch_negatives") p.hardness_mode = HardnessMode::kInBatchNegatives;
    if (mode == "hard_negatives") p.hardness_mode = HardnessMode::kHardNegatives;
    if (mode == "all_negatives") p.hardness_mode = HardnessMode::kAllNegatives;
    p.hardness_strength = o.number("hardness_strength", 0);
    return p;
  }
  if (loss == "GISTEmbedLoss") {
    GISTEmbedLoss p{.temperature = o.number("temperature", 0.01)};
    p.margin.value = o.number("margin", 0);
    p.margin.is_relative = o.text("margin_strategy", "absolute") == "relative";
    p.contrast_anchors = o.flag("contrast_anchors", true);
    p.contrast_positives = o.flag("contrast_positives", true);
    return p;
  }
  if (loss.starts_with("Batch")) {
    BatchTripletLoss p{.margin = o.number("margin", 5)};
    if (loss == "BatchAllTripletLoss") p.mining = TripletMining::kBatchAll;
    if (loss == "BatchSemiHardTripletLoss") p.mining = TripletMining::kSemiHard;
    p.soft_margin = loss == "BatchHardSoftMarginTripletLoss";
    p.distance = o.text("distance_metric", "euclidean") == "cosine" ? Distance::kCosine : Distance::kEuclidean;
    return p;
  }
  if (loss == "TripletLoss") return TripletLoss{o.pair_distance("euclidean"), o.number("margin", 5)};
  if (loss == "CosineSimilarityLoss") return CosineSimilarityLoss{};
  if (loss == "CoSENTLoss") return CoSENTLoss{o.number("scale", 20), o.similarity("cosine")};
  if (loss == "AnglELoss") return AnglELoss{o.number("scale", 20)};
  if (loss == "ContrastiveLoss")
    return ContrastiveLoss{o.pair_distance("cosine"), o.number("margin", 0.5), o.flag("size_average", true)};
  if (loss == "OnlineContrastiveLoss") return OnlineContrastiveLoss{o.pair_distance("cosine"), o.number("margin", 0.5)};
  if (loss == "MarginMSELoss") return MarginMSELoss{o.similarity("dot")};
  if (loss == "DistillKLDivLoss")
    return DistillKLDivLoss{o.similarity("dot"), o.number("student_temperature", 1),
                            o.number("teacher_temperature", 1)};
  if (loss == "MSELoss") return EmbedDistillLoss{DistillDistance::kMse};
  if (loss == "EmbedDistillLoss")
    return EmbedDistillLoss{o.distance<DistillDistance>(
        "cosine",
        {{"mse", DistillDistance::kMse}, {"l2", DistillDistance::kL2}, {"cosine", DistillDistance::kCosine}})};
  throw std::runtime_error("no loss " + loss);
}

struct Case {
  std::string name;
  LossSpec spec;
  LossInputs inputs;
  std::vector<Rows> gradients;
  double value, steepness;
};

Case read_case(const Json& json, const SafeTensors& file) {
  const auto width = static_cast<int64_t>(json.find("width")->as_double());
  const Options options{*json.find("options")};
  Case c{.name = json.find("name")->as_string(),
         .spec = {.parameters = parameters_of(json.find("loss")->as_string(), options), .name = ""},
         .inputs = {},
         .gradients = {},
         .value = json.find("value")->as_double(),
         .steepness = std::max(options.number("scale", 20), 1 / options.number("temperature", 0.01))};
  for (const Json& column : json.find("columns")->as_array()) {
    const std::string& name = column.as_string();
    c.inputs.columns.push_back(tensor(file, name, width));
    c.inputs.guides.push_back(tensor(file, "guide." + name));
    c.gradients.push_back(tensor(file, c.name + "." + name));
  }
  if (!std::holds_alternative<GISTEmbedLoss>(c.spec.parameters)) c.inputs.guides.clear();
  if (const Json* labels = json.find("labels"); labels && labels->is_string()) {
    const Rows values = tensor(file, "labels." + labels->as_string());
    for (int64_t row = 0; row < values.rows(); ++row)
      for (int64_t i = 0; i < values.width(); ++i) {
        c.inputs.labels.push_back(values.at(row, i));
        c.inputs.groups.push_back(static_cast<int32_t>(values.at(row, i)));
      }
    if (std::holds_alternative<BatchTripletLoss>(c.spec.parameters))
      c.inputs.labels.clear();
    else
      c.inputs.groups.clear();
  }
  if (const Json* teacher = json.find("teacher"); teacher && teacher->is_string()) {
    c.inputs.teacher = tensor(file, teacher->as_string());
    c.inputs.teacher_columns = teacher->as_string() == "teacher2" ? 2 : 1;
  }
  if (const Json* dims = options.json.find("matryoshka_dims"))
    for (const Json& dim : dims->as_array()) c.spec.matryoshka.dims.push_back(static_cast<int64_t>(dim.as_double()));
  if (const Json* weights = options.json.find("matryoshka_weights"))
    for (const Json& weight : weights->as_array()) c.spec.matryoshka.weights.push_back(weight.as_double());
  return c;
}

// The golden is of float64. Scores of embeddings of n dimensions are off by about n u, or 16 n u of a near Euclidean
// distance (ops/vectors.h), and softmaxes turn this into a relative error, as many times as large as the scale. Sums
// over rows and columns add a few u each.
TEST_P(LossGoldenTest, IsThatOfSentenceTransformers) {
  const auto file = SafeTensors::open(kGolden + ".safetensors");
  const Json golden = Json::parse(MappedFile::open(kGolden + ".json")->text(), kGolden);
  for (const Json& json : golden.find("cases")->as_array()) {
    Case c = read_case(json, *file);
    SCOPED_TRACE(c.name);
    std::vector<Rows> got = c.inputs.no_gradients(c.inputs.columns.size() == 1 ? 2 : 0);
    const LossResult result = c.inputs.run(backend(), {c.spec}, got);
    const double n = static_cast<double>(c.inputs.columns[0].width());
    const double relative = kUnit * (16 * n + 4 * c.steepness * n / 10 + 100);
    EXPECT_NEAR(result.loss, c.value, relative * std::max(1.0, std::abs(c.value)));
    ASSERT_EQ(result.parts.size(), 1u);
    EXPECT_EQ(result.parts[0].name, json.find("loss")->as_string());
    double size = 0;
    for (const Rows& each : c.gradients) size = std::max(size, norm_of(each));
    // Without negatives, batch-hard terms cancel and batch-all has none.
    if (!c.name.ends_with("one-class")) {
      EXPECT_GT(size, 1e-3) << "a case without gradients proves nothing";
    }
    for (size_t i = 0; i < got.size(); ++i)
      expect_close(got[i], c.gradients[i],
                   [&](int64_t, int64_t) { return 2 * relative * size + 1e-15; });  // float64's own rounding
  }
}

}  // namespace
}  // namespace embedcore::test
