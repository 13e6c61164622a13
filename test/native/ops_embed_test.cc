// ops/embed.h on every backend against the reference.
#include "ops/embed.h"

#include "op_cases.h"
#include "op_support.h"

namespace embedcore::test {
namespace {

class EmbedTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(EmbedTest);
class BagTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(BagTest);

struct EmbedInputs {
  explicit EmbedInputs(const EmbedCase& c)
      : spec(c), word(c.vocab, c.width), position(c.tokens + 3, c.width), type(1, c.width) {
    Random random(static_cast<uint32_t>(c.tokens + c.width));
    word.fill(random);
    position.fill(random);
    type.fill(random);
    for (int64_t t = 0; t < c.tokens; ++t) {
      ids.push_back(static_cast<int32_t>(random.integer(c.vocab)));
      positions.push_back(static_cast<int32_t>(random.integer(c.tokens + 3)));
    }
  }
  Rows run(const Backend& backend, int64_t begin, int64_t end, Order order = Order::kAscending) const {
    Rows y(end - begin, spec.width, spec.gap);
    TestStream stream(order);
    expect_ok(backend.embed(stream, {ids.data() + begin, spec.position ? positions.data() + begin : nullptr, end - begin,
                                    spec.width, word.data(), spec.position ? position.data() : nullptr,
                                    spec.type ? type.data() : nullptr, y.data(), y.stride()}),
              stream);
    return y;
  }
  const EmbedCase& spec;
  Rows word, position, type;
  std::vector<int32_t> ids, positions;
};

TEST_P(EmbedTest, AgreesWithReference) {
  for (const EmbedCase& c : kEmbedCases) {
    SCOPED_TRACE(testing::Message() << "tokens " << c.tokens << ", width " << c.width);
    const EmbedInputs inputs(c);
    // Two rounded additions of three numbers below 1, the first sum below 2; a table alone is copied.
    const double allowed = (c.position || c.type) ? kUnit * (2 + 3 + 3) : 0;
    expect_close(inputs.run(backend(), 0, c.tokens), inputs.run(reference_backend(), 0, c.tokens),
                 [&](int64_t, int64_t) { return allowed; });
    expect_rows_independent(
        c.tokens, [&](int64_t begin, int64_t end, Order order) { return inputs.run(backend(), begin, end, order); });
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
    for (int64_t i = 0; i < c.table_rows * c.width; ++i) {
      const float value = random.value();
      if (c.dtype == DType::kF32) append(value);
      if (c.dtype == DType::kF16) append(f32_to_f16(value));
      if (c.dtype == DType::kBF16) append(f32_to_bf16(value));
      if (c.dtype == DType::kI8) append(static_cast<int8_t>(std::lround(value * 127)));
    }
  }
  template <typename Element>
  void append(Element element) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&element);
    table.insert(table.end(), bytes, bytes + sizeof element);
  }
  Rows run(const Backend& backend, int64_t begin, int64_t end, Order order = Order::kAscending) const {
    Rows y(end - begin, spec.width, spec.gap);
    TestStream stream(order);
    // offsets may begin anywhere: they index rows and ids
    expect_ok(backend.bag(stream, {rows.data(), ids.data(), offsets.data() + begin, end - begin, spec.width,
                                  table.data(), spec.dtype, spec.scales ? scales.data() : nullptr,
                                  spec.weights ? weights.data() : nullptr, y.data(), y.stride()}),
              stream);
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
  for (const BagCase& c : bag_cases()) {
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

TEST_P(BagTest, RefusesOtherTypesWithASentence) {
  const BagCase c{{2}, 4, 3, DType::kF32, false, false};
  const BagInputs inputs(c);
  for (const Backend* tried : {&backend(), &reference_backend()}) {
    for (const DType dtype : {DType::kF64, DType::kI64, DType::kF8E4M3, DType::kBool}) {
      Rows y(1, c.width);
      TestStream stream;
      EXPECT_EQ(tried->bag(stream, {inputs.rows.data(), inputs.ids.data(), inputs.offsets.data(), 1, c.width,
                                   inputs.table.data(), dtype, nullptr, nullptr, y.data(), y.stride()}),
                kBadArgument);
      EXPECT_NE(std::string(stream.message).find(dtype_name(dtype)), std::string::npos)
          << tried->name << ": \"" << stream.message << "\"";
    }
  }
}

}  // namespace
}  // namespace embedcore::test
