#include "train/loss.h"

#include <cmath>

#include "base/error.h"

namespace embedcore {

namespace {

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

struct Check {
  const char* loss;

  void above_zero(const char* what, double value) const {
    if (value > 0 && std::isfinite(value)) return;
    fail(Code::kInvalidOption, "Expected a number above 0 for %s of %s but received %g", what, loss, value);
  }
  void not_negative(const char* what, double value) const {
    if (value >= 0 && std::isfinite(value)) return;
    fail(Code::kInvalidOption, "Expected a number of at least 0 for %s of %s but received %g", what, loss, value);
  }
  void finite(const char* what, double value) const {
    if (std::isfinite(value)) return;
    fail(Code::kInvalidOption, "Expected a finite number for %s of %s but received %g", what, loss, value);
  }

  void operator()(const MultipleNegativesRankingLoss& p) const {
    above_zero("the scale", p.scale);
    not_negative("the hardness strength", p.hardness_strength);
    finite("the margin of false negatives", p.false_negatives.value);
    if (p.per_direction && (p.query_to_query || p.doc_to_doc))
      fail(Code::kInvalidOption,
           "Expected no %s with the partition mode per_direction of %s: it never has the positive pair, only a joint "
           "softmax can",
           p.query_to_query ? "query_to_query" : "doc_to_doc", loss);
  }
  void operator()(const GISTEmbedLoss& p) const {
    above_zero("the temperature", p.temperature);
    finite("the margin", p.margin.value);
  }
  void operator()(const BatchTripletLoss& p) const {
    finite("the margin", p.margin);
    if (p.soft_margin && p.mining != TripletMining::kBatchHard)
      fail(Code::kInvalidOption, "Expected batch-hard mining for the soft margin of %s", loss);
  }
  void operator()(const TripletLoss& p) const { finite("the margin", p.margin); }
  void operator()(const CosineSimilarityLoss&) const {}
  void operator()(const CoSENTLoss& p) const { above_zero("the scale", p.scale); }
  void operator()(const AnglELoss& p) const { above_zero("the scale", p.scale); }
  void operator()(const ContrastiveLoss& p) const { finite("the margin", p.margin); }
  void operator()(const OnlineContrastiveLoss& p) const { finite("the margin", p.margin); }
  void operator()(const MarginMSELoss&) const {}
  void operator()(const DistillKLDivLoss& p) const {
    above_zero("the student's temperature", p.student_temperature);
    above_zero("the teacher's temperature", p.teacher_temperature);
  }
  void operator()(const EmbedDistillLoss&) const {}
};

}  // namespace

const char* loss_name(const LossParameters& parameters) {
  return std::visit(Overloaded{
                        [](const MultipleNegativesRankingLoss&) { return "MultipleNegativesRankingLoss"; },
                        [](const GISTEmbedLoss&) { return "GISTEmbedLoss"; },
                        [](const BatchTripletLoss& p) {
                          if (p.mining == TripletMining::kBatchAll) return "BatchAllTripletLoss";
                          if (p.mining == TripletMining::kSemiHard) return "BatchSemiHardTripletLoss";
                          return p.soft_margin ? "BatchHardSoftMarginTripletLoss" : "BatchHardTripletLoss";
                        },
                        [](const TripletLoss&) { return "TripletLoss"; },
                        [](const CosineSimilarityLoss&) { return "CosineSimilarityLoss"; },
                        [](const CoSENTLoss&) { return "CoSENTLoss"; },
                        [](const AnglELoss&) { return "AnglELoss"; },
                        [](const ContrastiveLoss&) { return "ContrastiveLoss"; },
                        [](const OnlineContrastiveLoss&) { return "OnlineContrastiveLoss"; },
                        [](const MarginMSELoss&) { return "MarginMSELoss"; },
                        [](const DistillKLDivLoss&) { return "DistillKLDivLoss"; },
                        [](const EmbedDistillLoss& p) {
                          return p.distance == DistillDistance::kMse ? "MSELoss" : "EmbedDistillLoss";
                        },
                    },
                    parameters);
}

void check_loss(const LossSpec& spec) {
  const Check check{loss_name(spec.parameters)};
  std::visit(check, spec.parameters);
  check.finite("the weight", spec.weight);
  const MatryoshkaDims& m = spec.matryoshka;
  for (const int64_t dim : m.dims)
    if (dim < 1)
      fail(Code::kInvalidOption, "Expected at least 1 for a Matryoshka dimension of %s but received %lld", check.loss,
           static_cast<long long>(dim));
  if (!m.weights.empty() && m.weights.size() != m.dims.size())
    fail(Code::kInvalidOption, "Expected a weight for each of the %zu Matryoshka dimensions of %s but received %zu",
         m.dims.size(), check.loss, m.weights.size());
  for (const double weight : m.weights) check.finite("a Matryoshka weight", weight);
  if (m.n_dims_per_step == 0 || m.n_dims_per_step < -1)
    fail(Code::kInvalidOption,
         "Expected -1 or at least 1 for the Matryoshka dimensions per step of %s but received %lld", check.loss,
         static_cast<long long>(m.n_dims_per_step));
}

}  // namespace embedcore
