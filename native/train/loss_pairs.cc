#include <utility>

#include "train/loss_context.h"
#include "train/loss_scores.h"

namespace embedcore {

namespace {

// Scores of texts of the same row, downloaded, and their gradients.
class PairScoring {
 public:
  // pairs: of columns
  PairScoring(LossContext& context, PairScore kind, float epsilon, std::vector<std::pair<size_t, size_t>> pairs)
      : context_(context), kind_(kind), epsilon_(epsilon), pairs_(std::move(pairs)) {
    const int64_t count = context.count();
    auto* scores = context.ops.layout().array<float>(count * static_cast<int64_t>(pairs_.size()));
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const View a = context.x(pairs_[i].first, context.begin()), b = context.x(pairs_[i].second, context.begin());
      context.ops.run(&Backend::pair_scores,
                      {.kind = kind_,
                       .a = a.floats(),
                       .a_stride = a.stride,
                       .b = b.floats(),
                       .b_stride = b.stride,
                       .rows = count,
                       .width = context.width,
                       .epsilon = epsilon_,
                       .scores = context.ops.measures() ? nullptr : scores + static_cast<int64_t>(i) * count},
                      "scores of pairs");
    }
    scores_ = context.ops.download(scores, count * static_cast<int64_t>(pairs_.size()));
  }

  const std::vector<float>& scores() const { return scores_; }  // [pairs, count]

  // Adds a loss of these scores, times a share of the batch's.
  void finish(const ScoreLoss& loss, double share) const {
    const int64_t count = context_.count();
    context_.value += share * loss.loss;
    std::vector<float> list;
    for (const double dscore : loss.dscores) list.push_back(static_cast<float>(context_.weight * share * dscore));
    const float* dscores = context_.ops.upload(std::move(list));
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const View a = context_.x(pairs_[i].first, context_.begin()), b = context_.x(pairs_[i].second, context_.begin());
      const View da = context_.dx(pairs_[i].first, context_.begin()),
                 db = context_.dx(pairs_[i].second, context_.begin());
      context_.ops.run(&Backend::pair_gradient,
                       {.kind = kind_,
                        .a = a.floats(),
                        .a_stride = a.stride,
                        .b = b.floats(),
                        .b_stride = b.stride,
                        .rows = count,
                        .width = context_.width,
                        .epsilon = epsilon_,
                        .dscores = context_.ops.measures() ? nullptr : dscores + static_cast<int64_t>(i) * count,
                        .da = da.floats(),
                        .da_stride = da.stride,
                        .db = db.floats(),
                        .db_stride = db.stride},
                       "gradients of pairs");
    }
  }

 private:
  LossContext& context_;
  const PairScore kind_;
  const float epsilon_;
  const std::vector<std::pair<size_t, size_t>> pairs_;
  std::vector<float> scores_;
};

PairScore score_of(PairSimilarity similarity) {
  return similarity == PairSimilarity::kCosine ? PairScore::kCosine : PairScore::kDot;
}
PairScore score_of(PairDistance distance) {
  switch (distance) {
    case PairDistance::kCosine: return PairScore::kCosine;
    case PairDistance::kEuclidean: return PairScore::kEuclidean;
    case PairDistance::kManhattan: return PairScore::kManhattan;
  }
  return PairScore::kCosine;
}

// The anchor with each other column.
std::vector<std::pair<size_t, size_t>> candidates(const LossContext& context) {
  std::vector<std::pair<size_t, size_t>> pairs;
  for (size_t i = 1; i < context.columns.size(); ++i) pairs.emplace_back(0, i);
  return pairs;
}

// A loss of distances, which are the scores or, of a cosine, what is left to 1.
template <typename Loss>
void add_distance_loss(LossContext& context, PairDistance distance, float epsilon, double share, Loss&& loss) {
  const PairScoring scoring(context, score_of(distance), epsilon, candidates(context));
  std::vector<float> distances = scoring.scores();
  if (distance == PairDistance::kCosine)
    for (float& each : distances) each = 1 - each;
  ScoreLoss result = loss(Scores(distances));
  if (distance == PairDistance::kCosine)
    for (double& each : result.dscores) each = -each;
  scoring.finish(result, share);
}

// Of torch.nn.functional.pairwise_distance.
constexpr float kPairwiseEpsilon = 1e-6f;

float epsilon_of(PairDistance distance) { return distance == PairDistance::kCosine ? 0 : kPairwiseEpsilon; }

}  // namespace

void add_loss(LossContext& context, const TripletLoss& loss) {
  add_distance_loss(context, loss.distance, 0, context.share(),
                    [&](Scores distances) { return triplet_loss(distances, loss.margin); });
}

void add_loss(LossContext& context, const CosineSimilarityLoss&) {
  const PairScoring scoring(context, PairScore::kCosine, 0, candidates(context));
  scoring.finish(cosine_similarity_loss(scoring.scores(), context.labels()), context.share());
}

void add_loss(LossContext& context, const CoSENTLoss& loss) {
  const PairScoring scoring(context, score_of(loss.similarity), 0, candidates(context));
  scoring.finish(cosent_loss(scoring.scores(), context.labels(), loss.scale), context.share());
}

void add_loss(LossContext& context, const AnglELoss& loss) {
  const PairScoring scoring(context, PairScore::kAngle, 0, candidates(context));
  const auto given = context.labels();
  std::vector<float> labels(given.begin(), given.end());
  if (labels.empty()) labels.assign(static_cast<size_t>(context.count()), 1.0f);
  const size_t rows = labels.size();
  for (size_t i = 2; i < context.columns.size(); ++i)
    for (size_t row = 0; row < rows; ++row) labels.push_back(1 - labels[row]);
  scoring.finish(cosent_loss(scoring.scores(), labels, loss.scale), context.share());
}

void add_loss(LossContext& context, const ContrastiveLoss& loss) {
  add_distance_loss(
      context, loss.distance, epsilon_of(loss.distance), loss.size_average ? context.share() : 1,
      [&](Scores distances) { return contrastive_loss(distances, context.labels(), loss.margin, loss.size_average); });
}

void add_loss(LossContext& context, const OnlineContrastiveLoss& loss) {
  add_distance_loss(context, loss.distance, epsilon_of(loss.distance), 1, [&](Scores distances) {
    return online_contrastive_loss(distances, context.labels(), loss.margin);
  });
}

void add_loss(LossContext& context, const MarginMSELoss& loss) {
  const PairScoring scoring(context, score_of(loss.similarity), 0, candidates(context));
  scoring.finish(margin_mse_loss(scoring.scores(), context.labels(), context.count()), context.share());
}

void add_loss(LossContext& context, const DistillKLDivLoss& loss) {
  const PairScoring scoring(context, score_of(loss.similarity), 0, candidates(context));
  scoring.finish(distill_kl_div_loss(scoring.scores(), context.labels(), context.count(), loss.student_temperature,
                                     loss.teacher_temperature),
                 context.share());
}

// The mean over the columns of the batch, each against its teacher's embeddings.
void add_loss(LossContext& context, const EmbedDistillLoss& loss) {
  LossOps& ops = context.ops;
  const int64_t count = context.count();
  const auto columns = static_cast<int64_t>(context.columns.size());
  const double rows = static_cast<double>(context.rows() * columns);
  const int64_t teacher_stride = context.batch.teacher_columns * context.batch.teacher_width;
  const bool is_squared = loss.distance == DistillDistance::kMse, is_cosine = loss.distance == DistillDistance::kCosine;
  const double terms = is_squared ? rows * static_cast<double>(context.width) : rows;
  auto* results = ops.layout().array<float>(count * columns);
  // The derivative of a row's score.
  const double slope = (is_cosine ? -1 : 1) * context.weight / terms;
  const float* dscores =
      is_squared ? nullptr : ops.upload(std::vector<float>(static_cast<size_t>(count), static_cast<float>(slope)));
  for (int64_t i = 0; i < columns; ++i) {
    const auto column = static_cast<size_t>(i);
    const View x = context.x(column, context.begin()), dx = context.dx(column, context.begin());
    const float* teacher = context.batch.teacher + context.begin() * teacher_stride +
                           (context.batch.teacher_columns > 1 ? i * context.batch.teacher_width : 0);
    float* result = ops.measures() ? nullptr : results + i * count;
    if (is_squared) {
      ops.run(&Backend::squared_error,
              {.x = x.floats(),
               .x_stride = x.stride,
               .target = teacher,
               .target_stride = teacher_stride,
               .rows = count,
               .width = context.width,
               .weight = static_cast<float>(slope),
               .loss = result,
               .dx = dx.floats(),
               .dx_stride = dx.stride},
              "distances from the teacher");
      continue;
    }
    const PairScore kind = is_cosine ? PairScore::kCosine : PairScore::kEuclidean;
    ops.run(&Backend::pair_scores,
            {.kind = kind,
             .a = x.floats(),
             .a_stride = x.stride,
             .b = teacher,
             .b_stride = teacher_stride,
             .rows = count,
             .width = context.width,
             .scores = result},
            "distances from the teacher");
    ops.run(&Backend::pair_gradient,
            {.kind = kind,
             .a = x.floats(),
             .a_stride = x.stride,
             .b = teacher,
             .b_stride = teacher_stride,
             .rows = count,
             .width = context.width,
             .dscores = dscores,
             .da = dx.floats(),
             .da_stride = dx.stride},
            "gradients of distances from the teacher");
  }
  for (const float each : ops.download(results, count * columns))
    context.value += (is_cosine ? 1.0 - each : each) / terms;
}

}  // namespace embedcore
