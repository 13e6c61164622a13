// ops/embed.h on every backend against the reference.
#include "ops/embed.h"

#include "op_support.h"

namespace embedcore::test {
namespace {

class EmbedTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(EmbedTest);
class BagTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(BagTest);

// Bytes of a table of one of the dtypes; no more than it has, so that the address sanitizer sees a read beyond.
std::vector<std::byte> table_of(DType dtype, int64_t elements, Random& random) {
  std::vector<std::byte> table;
  table.reserve(static_cast<size_t>(elements) * dtype_size(dtype));
  const auto append = [&](auto element) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&element);
    table.insert(table.end(), bytes, bytes + sizeof element);
  };
  for (int64_t i = 0; i < elements; ++i) {
    const float value = random.value();
    if (dtype == DType::kF32) append(value);
    if (dtype == DType::kF16) append(f32_to_f16(value));
    if (dtype == DType::kBF16) append(f32_to_bf16(value));
    if (dtype == DType::kI8) append(static_cast<int8_t>(std::lround(value * 127)));
  }
  return table;
}

struct EmbedInputs {
  explicit EmbedInputs(const EmbedCase& c) : spec(c) {
    Random random(static_cast<uint32_t>(c.tokens + c.width));
    for (const EmbedPart& part : c.tables) {
      const int64_t count = part.ids ? c.vocab + static_cast<int64_t>(ids.size()) : 1;
      tables.push_back(table_of(part.dtype, count * c.width, random));
      ids.emplace_back();
      for (int64_t t = 0; t < c.tokens; ++t) ids.back().push_back(static_cast<int32_t>(random.integer(count)));
    }
  }
  Rows run(const Backend& backend, int64_t begin, int64_t end, Order order = Order::kAscending) const {
    Rows y(end - begin, spec.width, spec.gap);
    OpCall call(backend, order);
    std::vector<EmbedTable> list;
    for (size_t i = 0; i < tables.size(); ++i)
      list.push_back({.rows = call.in(tables[i]),
                      .dtype = spec.tables[i].dtype,
                      .ids = spec.tables[i].ids ? call.in(ids[i], begin) : nullptr});
    call.run(backend.embed, {.tables = list.data(),
                             .count = static_cast<int32_t>(list.size()),
                             .tokens = end - begin,
                             .width = spec.width,
                             .y = call.out(y),
                             .y_stride = y.stride()});
    return y;
  }
  const EmbedCase& spec;
  std::vector<std::vector<std::byte>> tables;
  std::vector<std::vector<int32_t>> ids;
};

std::string name_of(const EmbedCase& c) {
  std::ostringstream text;
  text << "tokens " << c.tokens << ", width " << c.width << ", tables";
  for (const EmbedPart& part : c.tables) text << ' ' << dtype_name(part.dtype) << (part.ids ? "" : " row 0");
  return text.str();
}

// Of numbers below 1 the sum of k is below k: each of the additions rounds a sum of 2, 3, ..., and the wanted value is
// rounded once. A table alone is copied.
TEST_P(EmbedTest, AgreesWithReference) {
  for (const EmbedCase& c : cases(embed_cases())) {
    SCOPED_TRACE(name_of(c));
    const EmbedInputs inputs(c);
    const auto k = static_cast<double>(c.tables.size());
    const double allowed = k > 1 ? kUnit * (k * (k + 1) / 2 - 1 + k) : 0;
    expect_close(inputs.run(backend(), 0, c.tokens), inputs.run(reference_backend(), 0, c.tokens),
                 [&](int64_t, int64_t) { return allowed; });
    expect_rows_independent(
        c.tokens, [&](int64_t begin, int64_t end, Order order) { return inputs.run(backend(), begin, end, order); });
  }
}

TEST_P(EmbedTest, RefusesOtherTablesWithASentence) {
  const std::vector<float> row(4);
  for (const Backend* tried : {&backend(), &reference_backend()}) {
    for (const DType dtype : {DType::kF64, DType::kI8, DType::kF8E4M3}) {
      Rows y(1, 4);
      OpCall call(*tried);
      const EmbedTable tables[] = {{.rows = call.in(row)}, {.rows = call.in(row), .dtype = dtype}};
      EXPECT_EQ(call.attempt(
                    tried->embed,
                    {.tables = tables, .count = 2, .tokens = 1, .width = 4, .y = call.out(y), .y_stride = y.stride()}),
                kBadArgument);
      EXPECT_NE(std::string(call.message()).find(dtype_name(dtype)), std::string::npos)
          << tried->name << ": \"" << call.message() << "\"";
    }
  }
}

struct BagInputs {
  explicit BagInputs(const BagCase& c)
      : spec(c), offsets(offsets_of(c.lengths)), scales(1, c.table_rows), weights(1, c.table_rows + 2) {
    Random random(static_cast<uint32_t>(offsets.back() + c.width));
    scales.fill(random, 0.5, 1.5);
    weights.fill(random, 0, 2);
    for (int64_t t = 0; t < offsets.back(); ++t) {
      rows.push_back(static_cast<int32_t>(random.integer(c.table_rows)));
      ids.push_back(static_cast<int32_t>(random.integer(c.table_rows + 2)));
    }
    table = table_of(c.dtype, c.table_rows * c.width, random);
  }
  Rows run(const Backend& backend, int64_t begin, int64_t end, Order order = Order::kAscending) const {
    Rows y(end - begin, spec.width, spec.gap);
    OpCall call(backend, order);
    // offsets may begin anywhere: they index rows and ids
    call.run(backend.bag, {.rows = call.in(rows),
                           .ids = call.in(ids),
                           .offsets = call.in(offsets, begin),
                           .texts = end - begin,
                           .width = spec.width,
                           .table = call.in(table),
                           .dtype = spec.dtype,
                           .scales = spec.scales ? call.in(scales) : nullptr,
                           .weights = spec.weights ? call.in(weights) : nullptr,
                           .y = call.out(y),
                           .y_stride = y.stride()});
    return y;
  }
  const BagCase& spec;
  std::vector<int32_t> offsets;
  Rows scales, weights;
  std::vector<int32_t> rows, ids;
  std::vector<std::byte> table;
};

// n products of up to three factors are added and divided: n + 5 roundings of a mean of magnitudes that is at most the
// greatest product.
TEST_P(BagTest, AgreesWithReference) {
  for (const BagCase& c : cases(bag_cases())) {
    SCOPED_TRACE(testing::Message() << "texts " << c.lengths.size() << ", width " << c.width << ", "
                                    << dtype_name(c.dtype));
    const BagInputs inputs(c);
    const auto texts = static_cast<int64_t>(c.lengths.size());
    const double greatest = (c.dtype == DType::kI8 ? 127 : 1) * (c.scales ? 1.5 : 1) * (c.weights ? 2 : 1);
    expect_close(inputs.run(backend(), 0, texts), inputs.run(reference_backend(), 0, texts),
                 [&](int64_t text, int64_t) {
                   const int32_t n = c.lengths[static_cast<size_t>(text)];
                   return n == 0 ? 0.0 : kUnit * (n + 5) * greatest;
                 });
    expect_rows_independent(
        texts, [&](int64_t begin, int64_t end, Order order) { return inputs.run(backend(), begin, end, order); });
  }
}

TEST_P(BagTest, WithoutOffsetsEachTokenIsAText) {
  const BagCase c{{1, 1, 1, 1, 1}, 33, 9, DType::kI8, true, true};
  const BagInputs inputs(c);
  for (const Backend* tried : {&backend(), &reference_backend()}) {
    Rows y(5, c.width);
    OpCall call(*tried);
    call.run(tried->bag, {.rows = call.in(inputs.rows),
                          .ids = call.in(inputs.ids),
                          .texts = 5,
                          .width = c.width,
                          .table = call.in(inputs.table),
                          .dtype = c.dtype,
                          .scales = call.in(inputs.scales),
                          .weights = call.in(inputs.weights),
                          .y = call.out(y),
                          .y_stride = y.stride()});
    expect_same_bits(y, inputs.run(*tried, 0, 5));
  }
}

TEST_P(BagTest, RefusesOtherTypesWithASentence) {
  const BagCase c{{2}, 4, 3, DType::kF32, false, false};
  const BagInputs inputs(c);
  for (const Backend* tried : {&backend(), &reference_backend()}) {
    for (const DType dtype : {DType::kF64, DType::kI64, DType::kF8E4M3, DType::kBool}) {
      Rows y(1, c.width);
      OpCall call(*tried);
      EXPECT_EQ(call.attempt(tried->bag, {.rows = call.in(inputs.rows),
                                          .ids = call.in(inputs.ids),
                                          .offsets = call.in(inputs.offsets),
                                          .texts = 1,
                                          .width = c.width,
                                          .table = call.in(inputs.table),
                                          .dtype = dtype,
                                          .y = call.out(y),
                                          .y_stride = y.stride()}),
                kBadArgument);
      EXPECT_NE(std::string(call.message()).find(dtype_name(dtype)), std::string::npos)
          << tried->name << ": \"" << call.message() << "\"";
    }
  }
}

}  // namespace
}  // namespace embedcore::test
