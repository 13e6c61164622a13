// Similarities of all rows of two matrices with the width of MiniLM: in the sizes of one request and of a search.
#include <memory>

#include "limit_cases.h"
#include "ops/vectors.h"

namespace embedcore::bench {
namespace {

constexpr int64_t kWidth = 384;

struct Shape {
  int64_t rows_a, rows_b;
};
constexpr Shape kShapes[] = {{1, 2000}, {100, 100}, {2000, 2000}};

struct Named {
  const char* name;
  Similarity kind;
};
constexpr Named kKinds[] = {{"dot", Similarity::kDot},
                            {"cosine", Similarity::kCosine},
                            {"euclidean", Similarity::kEuclidean},
                            {"manhattan", Similarity::kManhattan}};

}  // namespace

// The operations of a Manhattan distance are counted as those of a product: a subtraction and an addition of the size.
void similarity_cases(const Context& context) {
  std::vector<Case> cases;
  for (const bool all : thread_choices(context)) {
    for (const auto& [rows_a, rows_b] : kShapes) {
      const auto a = std::make_shared<Rows>(rows_a, kWidth, DType::kF32);
      const auto b = std::make_shared<Rows>(rows_b, kWidth, DType::kF32);
      const auto y = std::make_shared<Rows>(rows_a, rows_b, DType::kF32);
      for (const auto& [name, kind] : kKinds) {
        const int peak = add_peak(cases, context, DType::kF32, all);
        const int64_t operations = 2 * rows_a * rows_b * kWidth;
        const SimilarityArgs args{.kind = kind,
                                  .a = a->floats(),
                                  .b = b->floats(),
                                  .rows_a = rows_a,
                                  .rows_b = rows_b,
                                  .width = kWidth,
                                  .y = static_cast<float*>(y->data())};
        cases.push_back(
            {Fields()
                 .text("kernel", "similarity")
                 .text("kind", name)
                 .text("dtype", "float32")
                 .number("rowsA", rows_a)
                 .number("rowsB", rows_b)
                 .number("width", kWidth)
                 .number("operations", operations),
             all, [&context, a, b, y, args](Stream& stream) { must(context.backend.similarity(stream, args), stream); },
             static_cast<double>(operations), peak});
      }
    }
  }
  run(cases, context.team, context.settings);
}

}  // namespace embedcore::bench
