// A row of a result depends on the elements of its inputs and not on where they lie: rows that begin at multiples of 16
// bytes and rows that do not give the same bits on every backend.
#include "op_support.h"
#include "ops/embed.h"
#include "ops/norm.h"
#include "ops/pool.h"
#include "ops/vectors.h"

namespace embedcore::test {
namespace {

class PlacementTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(PlacementTest);

constexpr int64_t kGap = 1;  // makes every other row begin elsewhere
// Some are wide enough to be shared by many threads, and one needs no whole vector at its end.
constexpr int64_t kWidths[] = {4, 36, 384, 1024, 1540, 4096, 9004};

Rows with_gap(const Rows& rows, int64_t gap) {
  Rows copy(rows.rows(), rows.width(), gap);
  for (int64_t row = 0; row < rows.rows(); ++row) std::copy_n(rows.data(row), rows.width(), copy.data(row));
  return copy;
}

Rows random_rows(int64_t rows, int64_t width) {
  Random random(static_cast<uint32_t>(rows * 7 + width));
  Rows x(rows, width);
  x.fill(random);
  return x;
}

// The rows one after the other behind `skipped` elements.
std::vector<float> list_of(const Rows& rows, int64_t skipped) {
  std::vector<float> list(static_cast<size_t>(skipped));
  for (int64_t row = 0; row < rows.rows(); ++row)
    list.insert(list.end(), rows.data(row), rows.data(row) + rows.width());
  return list;
}

TEST_P(PlacementTest, Norm) {
  for (const int64_t width : kWidths) {
    for (const NormKind kind : {NormKind::kLayer, NormKind::kRms}) {
      SCOPED_TRACE(testing::Message() << "width " << width << ", kind " << static_cast<int>(kind));
      const Rows x = random_rows(3, width), weight = random_rows(2, width);
      const auto run = [&](int64_t gap) {
        const Rows from = with_gap(x, gap);
        const std::vector<float> weights = list_of(weight, gap);
        Rows y(3, width, gap);
        OpCall call(backend());
        const float* list = call.in(weights, gap);
        call.run(backend().norm, {.kind = kind,
                                  .x = call.in(from),
                                  .x_stride = from.stride(),
                                  .y = call.out(y),
                                  .y_stride = y.stride(),
                                  .rows = 3,
                                  .width = width,
                                  .weight = list,
                                  .bias = list + width,
                                  .epsilon = 1e-5f});
        return y;
      };
      expect_same_bits(run(kGap), run(0));
    }
  }
}

TEST_P(PlacementTest, Normalize) {
  for (const int64_t width : kWidths) {
    SCOPED_TRACE(testing::Message() << "width " << width);
    const auto run = [&](int64_t gap) {
      Rows x = with_gap(random_rows(3, width), gap);
      OpCall call(backend());
      call.run(backend().normalize, {.x = call.out(x), .stride = x.stride(), .rows = 3, .width = width});
      return x;
    };
    expect_same_bits(run(kGap), run(0));
  }
}

TEST_P(PlacementTest, Pool) {
  const std::vector<int32_t> offsets = {0, 1, 11, 20};
  for (const int64_t width : {4, 36, 1540}) {
    for (const Pooling mode : {Pooling::kMean, Pooling::kMax, Pooling::kMeanSqrtLen, Pooling::kWeightedMean}) {
      SCOPED_TRACE(testing::Message() << "width " << width << ", pooling " << static_cast<int>(mode));
      const Rows x = random_rows(offsets.back(), width);
      const auto run = [&](int64_t gap) {
        const Rows from = with_gap(x, gap);
        Rows y(3, width, gap);
        OpCall call(backend());
        call.run(backend().pool, {.mode = mode,
                                  .x = call.in(from),
                                  .x_stride = from.stride(),
                                  .y = call.out(y),
                                  .y_stride = y.stride(),
                                  .offsets = call.in(offsets),
                                  .texts = 3,
                                  .width = width});
        return y;
      };
      expect_same_bits(run(kGap), run(0));
    }
  }
}

TEST_P(PlacementTest, EmbedAndBag) {
  const std::vector<int32_t> ids = {3, 0, 2, 2, 1, 3, 0}, offsets = {0, 2, 7};
  for (const int64_t width : {4, 36, 1540}) {
    SCOPED_TRACE(testing::Message() << "width " << width);
    const Rows table = random_rows(4, width);
    const auto embedded = [&](int64_t gap) {
      const std::vector<float> list = list_of(table, gap);
      Rows y(7, width, gap);
      OpCall call(backend());
      const EmbedTable part{.rows = call.in(list, gap), .ids = call.in(ids)}, tables[] = {part, part, part};
      call.run(backend().embed,
               {.tables = tables, .count = 3, .tokens = 7, .width = width, .y = call.out(y), .y_stride = y.stride()});
      return y;
    };
    expect_same_bits(embedded(kGap), embedded(0));
    const auto averaged = [&](int64_t gap) {
      const std::vector<float> list = list_of(table, gap);
      Rows y(2, width, gap);
      OpCall call(backend());
      const int32_t* rows = call.in(ids);
      call.run(backend().bag, {.rows = rows,
                               .ids = rows,
                               .offsets = call.in(offsets),
                               .texts = 2,
                               .width = width,
                               .table = call.in(list, gap),
                               .y = call.out(y),
                               .y_stride = y.stride()});
      return y;
    };
    expect_same_bits(averaged(kGap), averaged(0));
  }
}

TEST_P(PlacementTest, Similarity) {
  for (const auto& [rows_a, rows_b] : {std::pair<int64_t, int64_t>{3, 140}, {140, 3}, {140, 150}}) {
    for (const Similarity kind :
         {Similarity::kCosine, Similarity::kDot, Similarity::kEuclidean, Similarity::kManhattan}) {
      SCOPED_TRACE(testing::Message() << "rows " << rows_a << " and " << rows_b << ", kind " << static_cast<int>(kind));
      Rows a = random_rows(rows_a, 52);
      const Rows b = random_rows(rows_b, 52);
      std::copy_n(b.data(1), 52, a.data(2));  // a pair that is near
      const auto run = [&](int64_t gap) {
        const std::vector<float> from_a = list_of(a, gap), from_b = list_of(b, gap);
        Rows y(rows_a, rows_b, gap);
        OpCall call(backend());
        call.run(backend().similarity, {.kind = kind,
                                        .a = call.in(from_a, gap),
                                        .b = call.in(from_b, gap),
                                        .rows_a = rows_a,
                                        .rows_b = rows_b,
                                        .width = 52,
                                        .y = call.out(y),
                                        .y_stride = y.stride()});
        return y;
      };
      expect_same_bits(run(kGap), run(0));
    }
  }
}

}  // namespace
}  // namespace embedcore::test
