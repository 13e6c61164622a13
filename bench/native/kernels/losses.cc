// Losses over a batch, with their gradients, in the width of MiniLM: the batches of a step and of gradient caching.
#include <memory>

#include "limit_cases.h"
#include "ops/contrastive.h"
#include "ops/pairs.h"
#include "ops/triplet.h"

namespace embedcore::bench {
namespace {

constexpr int64_t kWidth = 384;

// Anchors, positives and gradients; all are as long as normalised ones.
struct Batch {
  explicit Batch(int64_t rows)
      : a(rows, kWidth, DType::kF32),
        k(rows, kWidth, DType::kF32),
        da(rows, kWidth, DType::kF32),
        dk(rows, kWidth, DType::kF32),
        loss(static_cast<size_t>(rows)),
        dscores(static_cast<size_t>(rows), 0.01f) {
    for (int64_t i = 0; i < rows; ++i) {
      numbers.push_back(static_cast<int32_t>(i));
      labels.push_back(static_cast<int32_t>(i / 4));
    }
    for (const Rows* each : {&a, &k})
      for (int64_t i = 0; i < rows * kWidth; ++i)
        static_cast<float*>(each->data())[i] /= std::sqrt(static_cast<float>(kWidth));
  }
  Rows a, k, da, dk;
  std::vector<float> loss, dscores;
  std::vector<int32_t> numbers, labels;
};

Fields named(const char* kernel, const char* kind, int64_t rows) {
  return Fields()
      .text("kernel", kernel)
      .text("kind", kind)
      .text("dtype", "float32")
      .number("rows", rows)
      .number("width", kWidth);
}

// Three products: scores, and the gradients of both sides.
void add_contrastive(std::vector<Case>& cases, const Context& context, int64_t rows, bool all) {
  const auto batch = std::make_shared<Batch>(rows);
  const int peak = add_peak(cases, context, DType::kF32, all);
  cases.push_back({named("contrastive", "pairs", rows).number("operations", 6 * rows * rows * kWidth), all,
                   [&context, batch, rows](Stream& stream) {
                     const ContrastiveBlock block{.a = batch->a.floats(),
                                                  .a_stride = kWidth,
                                                  .k = batch->k.floats(),
                                                  .k_stride = kWidth,
                                                  .keys = rows,
                                                  .da = static_cast<float*>(batch->da.data()),
                                                  .da_stride = kWidth,
                                                  .dk = static_cast<float*>(batch->dk.data()),
                                                  .dk_stride = kWidth,
                                                  .masks = {},
                                                  .own = {}};
                     must(context.backend.contrastive(stream, {.blocks = &block,
                                                               .count = 1,
                                                               .rows = rows,
                                                               .width = kWidth,
                                                               .scale = 20,
                                                               .positive = batch->numbers.data(),
                                                               .weight = 1 / static_cast<float>(rows),
                                                               .loss = batch->loss.data()}),
                          stream);
                   },
                   static_cast<double>(6 * rows * rows * kWidth), peak});
}

// Counted as the product of all distances alone.
void add_triplet(std::vector<Case>& cases, const Context& context, const char* name, TripletMining mining, int64_t rows,
                 bool all) {
  const auto batch = std::make_shared<Batch>(rows);
  const int peak = add_peak(cases, context, DType::kF32, all);
  cases.push_back({named("triplet", name, rows).number("operations", 2 * rows * rows * kWidth), all,
                   [&context, batch, mining, rows](Stream& stream) {
                     must(context.backend.triplet(stream, {.mining = mining,
                                                           .x = batch->a.floats(),
                                                           .x_stride = kWidth,
                                                           .rows = rows,
                                                           .width = kWidth,
                                                           .labels = batch->labels.data(),
                                                           .margin = 0.2f,
                                                           .dx = static_cast<float*>(batch->da.data()),
                                                           .dx_stride = kWidth,
                                                           .loss = batch->loss.data()}),
                          stream);
                   },
                   static_cast<double>(2 * rows * rows * kWidth), peak});
}

// By element of one row; on one thread, as the clock is.
void add_pairs(std::vector<Case>& cases, const Context& context, bool gradient, int64_t rows, int clock) {
  const auto batch = std::make_shared<Batch>(rows);
  cases.push_back({named(gradient ? "pair_gradient" : "pair_scores", "cosine", rows).number("elements", rows * kWidth),
                   false,
                   [&context, batch, gradient, rows](Stream& stream) {
                     const float *a = batch->a.floats(), *b = batch->k.floats();
                     if (!gradient)
                       return must(context.backend.pair_scores(stream, {.a = a,
                                                                        .a_stride = kWidth,
                                                                        .b = b,
                                                                        .b_stride = kWidth,
                                                                        .rows = rows,
                                                                        .width = kWidth,
                                                                        .scores = batch->loss.data()}),
                                   stream);
                     must(context.backend.pair_gradient(stream, {.a = a,
                                                                 .a_stride = kWidth,
                                                                 .b = b,
                                                                 .b_stride = kWidth,
                                                                 .rows = rows,
                                                                 .width = kWidth,
                                                                 .dscores = batch->dscores.data(),
                                                                 .da = static_cast<float*>(batch->da.data()),
                                                                 .da_stride = kWidth,
                                                                 .db = static_cast<float*>(batch->dk.data()),
                                                                 .db_stride = kWidth}),
                          stream);
                   },
                   static_cast<double>(rows * kWidth), clock});
}

}  // namespace

void loss_cases(const Context& context) {
  std::vector<Case> cases;
  for (const bool all : thread_choices(context)) {
    for (const int64_t rows : {32, 256, 4096}) add_contrastive(cases, context, rows, all);
    add_triplet(cases, context, "batch-hard", TripletMining::kBatchHard, 512, all);
    add_triplet(cases, context, "batch-all", TripletMining::kBatchAll, 512, all);
    add_triplet(cases, context, "semi-hard", TripletMining::kSemiHard, 512, all);
  }
  const int clock = add_clock(cases);
  for (const bool gradient : {false, true}) add_pairs(cases, context, gradient, 256, clock);
  run(cases, context.team, context.settings);
}

}  // namespace embedcore::bench
