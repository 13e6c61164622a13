// Similarities of two sets of vectors. Operations are those of the products: lengths and roots are in the time and not
// in the operations.
#include <memory>

#include "limit_cases.h"
#include "ops/vectors.h"

namespace embedcore::bench {
namespace {

constexpr int64_t kRows = 2000, kWidth = 384;

struct Named {
  const char* name;
  Similarity kind;
};
// Manhattan has no product form, so the arithmetic peak is not its limit.
constexpr Named kKinds[] = {
    {"dot", Similarity::kDot}, {"cosine", Similarity::kCosine}, {"euclidean", Similarity::kEuclidean}};

struct Input {
  Rows a{kRows, kWidth, DType::kF32}, b{kRows, kWidth, DType::kF32};
  std::vector<float> y = std::vector<float>(static_cast<size_t>(kRows * kRows));
};

}  // namespace

void similarity_cases(const Context& context) {
  std::vector<Case> cases;
  const auto input = std::make_shared<Input>();
  const int64_t operations = 2 * kRows * kRows * kWidth;
  for (const bool all : thread_choices(context)) {
    const int peak = add_peak(cases, context, DType::kF32, all);
    for (const auto& [name, kind] : kKinds) {
      SimilarityArgs args{};
      args.kind = kind;
      args.a = input->a.floats();
      args.b = input->b.floats();
      args.rows_a = args.rows_b = kRows;
      args.width = kWidth;
      args.y = input->y.data();
      cases.push_back({Fields()
                           .text("kernel", "similarity")
                           .text("kind", name)
                           .text("dtype", precision_name(DType::kF32))
                           .number("rows", kRows)
                           .number("width", kWidth)
                           .number("operations", operations),
                       all,
                       [&context, input, args](Scope& scope) { must(context.backend.similarity(scope, args), scope); },
                       static_cast<double>(operations), peak});
    }
  }
  run(cases, context.team, context.settings);
}

}  // namespace embedcore::bench
