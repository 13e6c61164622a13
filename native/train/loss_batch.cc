// What a batch must have for a loss.
#include <cmath>

#include "base/error.h"
#include "train/loss_context.h"

namespace embedcore {

namespace {

using Integer = long long;  // of a format

struct BatchCheck {
  const LossBatch& batch;
  const char* loss;

  void columns(size_t least, size_t most, const char* texts) const {
    const size_t count = batch.columns.size();
    if (count >= least && count <= most) return;
    fail(Code::kShapeMismatch, "%s needs %s, but the batch has %zu columns of texts", loss, texts, count);
  }
  void labels(int64_t width, const char* what, bool optional = false) const {
    if (batch.labels.empty() && optional) return;
    if (batch.labels.empty()) fail(Code::kInvalidOption, "%s needs %s, but the batch has no labels", loss, what);
    if (batch.label_width != width)
      fail(Code::kShapeMismatch, "%s needs %s, %lld a row, but the batch has %lld", loss, what, Integer{width},
           Integer{batch.label_width});
    if (static_cast<int64_t>(batch.labels.size()) != batch.rows * width)
      fail(Code::kShapeMismatch, "Expected %lld labels for %s but received %zu", Integer{batch.rows * width}, loss,
           batch.labels.size());
    for (const float label : batch.labels)
      if (!std::isfinite(label))
        fail(Code::kNonFinite, "Expected finite labels for %s but received %g", loss, static_cast<double>(label));
  }
  void texts() const {
    const size_t wanted = batch.columns.size() * static_cast<size_t>(batch.rows);
    if (batch.text_ids.empty())
      fail(Code::kInvalidOption, "%s with a mask of equal texts needs their ids, but the batch has none", loss);
    if (batch.text_ids.size() != wanted)
      fail(Code::kShapeMismatch, "Expected %zu ids of texts for %s but received %zu", wanted, loss,
           batch.text_ids.size());
  }
  void groups(bool needed, const char* why) const {
    if (batch.groups.empty() && !needed) return;
    if (batch.groups.empty())
      fail(Code::kInvalidOption, "%s %s needs labels of classes, but the batch has none", loss, why);
    if (static_cast<int64_t>(batch.groups.size()) != batch.rows)
      fail(Code::kShapeMismatch, "Expected %lld labels of classes for %s but received %zu", Integer{batch.rows}, loss,
           batch.groups.size());
  }

  static constexpr size_t kAny = static_cast<size_t>(-1);

  void operator()(const MultipleNegativesRankingLoss& p) const {
    columns(2, kAny, "anchors and positives");
    if (p.mask_texts) texts();
    if (p.mask_labels) groups(true, "with a mask of labels");
  }
  void operator()(const GISTEmbedLoss&) const {
    columns(2, kAny, "anchors and positives");
    for (const LossColumn& column : batch.columns)
      if (!column.guide || batch.guide_width < 1)
        fail(Code::kInvalidOption, "%s needs embeddings of a guide model for all texts, but the batch has none", loss);
  }
  void operator()(const BatchTripletLoss&) const {
    columns(1, kAny, "texts");
    groups(batch.columns.size() < 2, "of single texts");
  }
  void operator()(const TripletLoss&) const { columns(3, 3, "anchors, positives and negatives"); }
  void operator()(const CosineSimilarityLoss&) const { pairs("scores"); }
  void operator()(const CoSENTLoss&) const { pairs("scores"); }
  void operator()(const AnglELoss&) const {
    columns(2, kAny, "pairs, or anchors, positives and negatives");
    labels(1, "scores", batch.columns.size() > 2);
  }
  void operator()(const ContrastiveLoss&) const { pairs("labels of 0 and 1"); }
  void operator()(const OnlineContrastiveLoss&) const { pairs("labels of 0 and 1"); }
  void operator()(const MarginMSELoss&) const {
    columns(3, kAny, "anchors, positives and negatives");
    const auto negatives = static_cast<int64_t>(batch.columns.size()) - 2;
    labels(batch.label_width == negatives + 1 ? negatives + 1 : negatives, "margins, or scores of all documents");
  }
  void operator()(const DistillKLDivLoss&) const {
    columns(3, kAny, "anchors and at least two documents");
    labels(static_cast<int64_t>(batch.columns.size()) - 1, "the teacher's scores");
  }
  void operator()(const EmbedDistillLoss&) const {
    columns(1, kAny, "texts");
    if (!batch.teacher) fail(Code::kInvalidOption, "%s needs embeddings of the teacher, but the batch has none", loss);
    if (batch.teacher_columns != 1 && batch.teacher_columns != static_cast<int64_t>(batch.columns.size()))
      fail(Code::kShapeMismatch,
           "%s needs one embedding of the teacher a row, or one for each of the %zu texts, not %lld", loss,
           batch.columns.size(), Integer{batch.teacher_columns});
    if (batch.teacher_width != batch.width)
      fail(Code::kShapeMismatch, "%s needs embeddings of the teacher of the width %lld, not %lld", loss,
           Integer{batch.width}, Integer{batch.teacher_width});
  }

 private:
  void pairs(const char* what) const {
    columns(2, 2, "pairs of texts");
    labels(1, what);
  }
};

}  // namespace

void check_batch(const LossParameters& parameters, const LossBatch& batch) {
  const char* loss = loss_name(parameters);
  if (batch.rows < 1 || batch.count < 1)
    fail(Code::kShapeMismatch, "Expected at least one row for %s but received %lld", loss,
         Integer{batch.rows < 1 ? batch.rows : batch.count});
  if (batch.begin < 0 || batch.begin + batch.count > batch.rows)
    fail(Code::kShapeMismatch, "Expected rows of a batch of %lld for %s but received %lld to %lld", Integer{batch.rows},
         loss, Integer{batch.begin}, Integer{batch.begin + batch.count});
  if (batch.width < 1)
    fail(Code::kShapeMismatch, "Expected embeddings of at least one dimension for %s but received %lld", loss,
         Integer{batch.width});
  std::visit(BatchCheck{batch, loss}, parameters);
}

}  // namespace embedcore
