// embed_gradient of ops/embed.h.
#include "gradient_check.h"
#include "ops/embed.h"

namespace embedcore::test {
namespace {

class EmbedGradientTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(EmbedGradientTest);

struct GradientCase {
  int64_t tokens, width, vocab;
  int64_t gap = 0;
};

// Around vectors, blocks of 128 columns and 32 rows; every token of one row, rows without tokens, long chains.
constexpr GradientCase kCases[] = {{1, 1, 1},   {5, 384, 1},        {200, 33, 3, 5}, {300, 128, 1000}, {40, 129, 33},
                                   {64, 64, 2}, {1000, 17, 200, 1}, {70, 260, 65},   {9, 1028, 5, 4},  {0, 8, 4}};

double cost_of(const GradientCase& c) { return static_cast<double>(c.tokens * c.width); }

std::string name_of(const GradientCase& c) {
  return "tokens " + std::to_string(c.tokens) + ", width " + std::to_string(c.width) + ", vocabulary " +
         std::to_string(c.vocab) + ", gap " + std::to_string(c.gap);
}

struct Inputs {
  explicit Inputs(const GradientCase& c) : spec(c), dy(c.tokens, c.width, c.gap), table(c.vocab, c.width) {
    Random random(static_cast<uint32_t>(c.tokens * 31 + c.width));
    dy.fill(random);
    table.fill(random);
    for (int64_t t = 0; t < c.tokens; ++t) ids.push_back(static_cast<int32_t>(random.integer(c.vocab)));
    std::vector<int32_t> order(static_cast<size_t>(c.vocab));
    for (int32_t row = 0; row < c.vocab; ++row) order[static_cast<size_t>(row)] = row;
    random.shuffle(order);
    order.resize(static_cast<size_t>(c.vocab - c.vocab / 8));  // some rows are not named; some of the others are empty
    rows = order;
  }

  // Of tokens first .. last, in any order of the tables' rows; into a table that holds numbers already.
  struct Lists {
    std::vector<int32_t> starts{0}, tokens;
  };
  Lists lists(int64_t first, int64_t last) const {
    Lists lists;
    for (const int32_t row : rows) {
      for (int64_t t = first; t < last; ++t)
        if (ids[static_cast<size_t>(t)] == row) lists.tokens.push_back(static_cast<int32_t>(t));
      lists.starts.push_back(static_cast<int32_t>(lists.tokens.size()));
    }
    lists.tokens.reserve(1);  // memory, where there are no tokens
    return lists;
  }
  void add(const Backend& backend, Rows& into, int64_t first, int64_t last, Order order = Order::kAscending) const {
    const Lists given = lists(first, last);
    OpCall call(backend, order);
    call.run(backend.embed_gradient, {.rows = call.in(rows),
                                      .starts = call.in(given.starts),
                                      .tokens = call.in(given.tokens),
                                      .distinct = static_cast<int64_t>(rows.size()),
                                      .width = spec.width,
                                      .dy = call.in(dy),
                                      .dy_stride = dy.stride(),
                                      .dtable = call.out(into)});
  }
  Rows gradient(const Backend& backend, Order order = Order::kAscending) const {
    Rows into = table;
    add(backend, into, 0, spec.tokens, order);
    return into;
  }

  const GradientCase& spec;
  Rows dy, table;
  std::vector<int32_t> ids, rows;
};

// A chain of k additions is off by k u of the sum of the magnitudes; the wanted value is rounded once.
TEST_P(EmbedGradientTest, AgreesWithReference) {
  EMBEDCORE_NEEDS(embed_gradient);
  for (const GradientCase& c : cases(kCases)) {
    SCOPED_TRACE(name_of(c));
    const Inputs inputs(c);
    Rows sizes = inputs.table.magnitudes(), counts(1, c.vocab);
    counts.each([](float) { return 0.0f; });
    for (int64_t t = 0; t < c.tokens; ++t) {
      const int32_t id = inputs.ids[static_cast<size_t>(t)];
      counts.at(0, id) += 1;
      for (int64_t d = 0; d < c.width; ++d) sizes.at(id, d) += std::abs(inputs.dy.at(t, d));
    }
    expect_close(inputs.gradient(backend()), inputs.gradient(reference_backend()), [&](int64_t row, int64_t d) {
      const double chain = counts.at(0, row);
      return chain == 0 ? 0.0 : kUnit * (chain + 1) * static_cast<double>(sizes.at(row, d));
    });
  }
}

// What is not named, and what has no tokens, keeps its bits.
TEST_P(EmbedGradientTest, WritesOnlyRowsWithTokens) {
  EMBEDCORE_NEEDS(embed_gradient);
  for (const GradientCase& c : cases(kCases)) {
    SCOPED_TRACE(name_of(c));
    Inputs inputs(c);
    inputs.table.each([](float) { return -0.0f; });
    const Rows got = inputs.gradient(backend());
    for (int32_t row = 0; row < c.vocab; ++row) {
      const bool named = std::find(inputs.rows.begin(), inputs.rows.end(), row) != inputs.rows.end();
      if (named && std::find(inputs.ids.begin(), inputs.ids.end(), row) != inputs.ids.end()) continue;
      for (int64_t d = 0; d < c.width; ++d)
        ASSERT_EQ(std::bit_cast<uint32_t>(got.at(row, d)), std::bit_cast<uint32_t>(-0.0f)) << "row " << row;
    }
  }
}

// The reference rounds the sum of a call once, so that its bits depend on what is in one call.
bool sums_in_double(const Backend& backend) { return std::strcmp(backend.name, "reference-device") == 0; }

// One chain over a row's tokens: the bits do not depend on threads, nor on calls that the tokens are divided into.
TEST_P(EmbedGradientTest, HasTheSameBitsInAnyOrderAndInParts) {
  EMBEDCORE_NEEDS(embed_gradient);
  for (const GradientCase& c : cases(kCases)) {
    SCOPED_TRACE(name_of(c));
    const Inputs inputs(c);
    const Rows all = inputs.gradient(backend());
    expect_same_bits(inputs.gradient(backend(), Order::kShuffled), all);
    expect_same_bits(inputs.gradient(backend(), Order::kThreads), all);
    if (sums_in_double(backend())) continue;
    Rows parts = inputs.table;
    for (const auto& [first, last] : {std::pair{int64_t{0}, c.tokens / 3}, {c.tokens / 3, c.tokens}})
      inputs.add(backend(), parts, first, last);
    expect_same_bits(parts, all);
  }
}

TEST_P(EmbedGradientTest, NonFiniteGradientStaysInItsRowAndColumn) {
  EMBEDCORE_NEEDS(embed_gradient);
  const GradientCase c{40, 21, 6};
  Inputs inputs(c);
  const int32_t spoiled = inputs.rows[0];
  inputs.ids[7] = spoiled;
  const Rows clean = inputs.gradient(backend());
  inputs.dy.at(7, 20) = std::numeric_limits<float>::infinity();
  const Rows got = inputs.gradient(backend());
  for (int32_t row = 0; row < c.vocab; ++row)
    for (int64_t d = 0; d < c.width; ++d) {
      if (row == spoiled && d == 20)
        ASSERT_TRUE(std::isinf(got.at(row, d)));
      else
        ASSERT_EQ(got.at(row, d), clean.at(row, d));
    }
}

// embed is linear in its tables.
TEST(EmbedGradient, ReferenceIsTheSlopeOfTheLookUp) {
  const GradientCase c{20, 5, 9, 1};
  Inputs inputs(c);
  inputs.rows.clear();
  for (int32_t row = 0; row < c.vocab; ++row) inputs.rows.push_back(row);
  const auto forward = [&] {
    Rows y(c.tokens, c.width);
    OpCall call(reference_backend());
    const EmbedTable table{.rows = call.in(inputs.table), .ids = call.in(inputs.ids)};
    call.run(
        reference_backend().embed,
        {.tables = &table, .count = 1, .tokens = c.tokens, .width = c.width, .y = call.out(y), .y_stride = y.stride()});
    return y;
  };
  Rows gradient(c.vocab, c.width);
  gradient.each([](float) { return 0.0f; });
  inputs.add(reference_backend(), gradient, 0, c.tokens);
  expect_differences(inputs.table, gradient, projection_rounding(inputs.dy, forward()),
                     [&] { return projection(inputs.dy, forward()); });
}

}  // namespace
}  // namespace embedcore::test
