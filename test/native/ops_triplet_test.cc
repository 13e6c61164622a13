// ops/triplet.h on every backend against the reference, and the reference against finite differences.
#include "gradient_check.h"
#include "ops/triplet.h"
#include "ops/vectors.h"

namespace embedcore::test {
namespace {

class TripletTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(TripletTest);

struct TripletCase {
  int64_t rows, width, labels;
  float margin = 1;
  int64_t gap = 0;
};
double cost_of(const TripletCase& c) { return static_cast<double>(c.rows * c.rows * c.width); }

// Around vectors, tiles of 6 rows, panels of 8 to 64 rows and groups of 240; no pairs, no negatives.
constexpr TripletCase kCases[] = {
    {1, 4, 1},     {2, 3, 1},          {2, 3, 9},      {5, 1, 2},       {17, 16, 4, 0.5f, 3},
    {33, 7, 3, 0}, {64, 40, 1000},     {65, 33, 6, 2}, {130, 24, 2, 5}, {70, 520, 12, 1, 1},
    {245, 12, 40}, {250, 6, 3, 0.25f}, {0, 4, 1}};

struct Loss {
  TripletMining mining = TripletMining::kBatchHard;
  Distance distance = Distance::kEuclidean;
  bool soft = false;
};
constexpr Loss kEveryLoss[] = {{},
                               {TripletMining::kBatchHard, Distance::kCosine},
                               {TripletMining::kBatchHard, Distance::kEuclidean, true},
                               {TripletMining::kBatchHard, Distance::kCosine, true},
                               {TripletMining::kBatchAll},
                               {TripletMining::kBatchAll, Distance::kCosine},
                               {TripletMining::kSemiHard},
                               {TripletMining::kSemiHard, Distance::kCosine}};

std::string name_of(const TripletCase& c, const Loss& loss) {
  std::ostringstream text;
  text << "triplet rows " << c.rows << ", width " << c.width << ", labels " << c.labels << ", margin " << c.margin
       << ", mining " << static_cast<int>(loss.mining) << ", distance " << static_cast<int>(loss.distance)
       << (loss.soft ? ", soft" : "");
  return text.str();
}

struct Result {
  Rows dx, loss{1, 1}, counted{1, 1};
};

struct Inputs {
  // Numbers whose distances are exact, so that mining decides the same on every backend, also between equal ones:
  // multiples of 1/16, and for cosines rows of 1, -1 and 0 whose length is a power of 2.
  explicit Inputs(const TripletCase& c, Distance distance = Distance::kEuclidean)
      : spec(c), x(c.rows, c.width, c.gap), dx(c.rows, c.width, c.gap + 1) {
    Random random(static_cast<uint32_t>(c.rows * 5 + c.width));
    int64_t ones = 1;
    while (4 * ones <= c.width) ones *= 4;
    for (int64_t row = 0; row < c.rows; ++row) {
      std::vector<float> list;
      for (int64_t d = 0; d < c.width; ++d) {
        const auto number = static_cast<float>(random.integer(33) - 16) / 16;
        list.push_back(distance == Distance::kEuclidean ? number : d >= ones ? 0.0f : number < 0 ? -1.0f : 1.0f);
      }
      random.shuffle(list);
      std::copy(list.begin(), list.end(), x.data(row));
    }
    dx.fill(random, -0.1, 0.1);
    for (int64_t i = 0; i < c.rows; ++i) labels.push_back(static_cast<int32_t>(random.integer(c.labels)) - 1);
    if (c.rows > 4) std::copy_n(x.data(0), c.width, x.data(3));  // equal rows
  }
  Result run(const Backend& backend, const Loss& loss, Order order = Order::kAscending) const {
    Result result{dx};
    OpCall call(backend, order);
    call.run(backend.triplet, {.mining = loss.mining,
                               .distance = loss.distance,
                               .x = call.in(x),
                               .x_stride = x.stride(),
                               .rows = x.rows(),
                               .width = x.width(),
                               .labels = call.in(labels),
                               .margin = spec.margin,
                               .soft_margin = loss.soft,
                               .weight = 1.5f,
                               .dx = call.out(result.dx),
                               .dx_stride = dx.stride(),
                               .loss = call.out(result.loss),
                               .counted = call.out(result.counted)});
    return result;
  }
  TripletCase spec;
  Rows x, dx;
  std::vector<int32_t> labels;
};

// Distances are off as in similarity; of a term's two distances each is at most as far off.
double distance_error(const Inputs& inputs, Distance distance) {
  const double n = static_cast<double>(inputs.spec.width);
  return distance == Distance::kCosine ? kUnit * (2 * n + 10) : kUnit * ((n + 3) / kNearShare + 4) * 2 * std::sqrt(n);
}

TEST_P(TripletTest, AgreesWithReference) {
  EMBEDCORE_NEEDS(triplet);
  for (const TripletCase& c : cases(kCases)) {
    for (const Loss& loss : kEveryLoss) {
      SCOPED_TRACE(name_of(c, loss));
      // Where every triplet counts, nothing is decided by rounding, and cosines may be of any rows.
      const bool any = loss.mining == TripletMining::kBatchAll && c.margin > 4;
      const Inputs inputs(c, any ? Distance::kEuclidean : loss.distance);
      const Result wanted = inputs.run(reference_backend(), loss), got = inputs.run(backend(), loss);
      const double distance = distance_error(inputs, loss.distance);
      EXPECT_EQ(got.counted.at(0, 0), wanted.counted.at(0, 0));
      expect_close(got.loss, wanted.loss,
                   [&](int64_t, int64_t) { return 2 * distance + 2 * kUnit * wanted.loss.at(0, 0); });
      // All terms together have slopes of the weight, for each of two distances, whose derivatives are at most 1, or 2
      // over a length. The steepness of a soft margin is at most 1/4.
      expect_close(got.dx, wanted.dx, [&](int64_t row, int64_t d) {
        double squares = 0;
        for (int64_t k = 0; k < c.width; ++k) squares += std::pow(static_cast<double>(inputs.x.at(row, k)), 2);
        const double length = std::max(std::sqrt(squares), 1e-12);
        const double rate = loss.distance == Distance::kCosine ? 2 / length : 1;
        const double sums = static_cast<double>(2 * c.rows + c.width + 20);
        return 2 * 1.5 * rate * (distance + kUnit * (16 * sums)) + kUnit * 2 * sums * std::abs(inputs.dx.at(row, d));
      });
    }
  }
}

TEST_P(TripletTest, IsTheSameInAnyOrderOfTasks) {
  EMBEDCORE_NEEDS(triplet);
  for (const TripletCase& c : cases(kCases)) {
    const Inputs inputs(c);
    for (const Loss& loss : kEveryLoss) {
      SCOPED_TRACE(name_of(c, loss));
      const Result all = inputs.run(backend(), loss);
      for (const Order order : {Order::kShuffled, Order::kThreads}) {
        const Result again = inputs.run(backend(), loss, order);
        expect_same_bits(again.dx, all.dx);
        expect_same_bits(again.loss, all.loss);
      }
    }
  }
}

// The loss alone is that with gradients, and says how many terms counted.
TEST_P(TripletTest, NeedsNoGradient) {
  EMBEDCORE_NEEDS(triplet);
  const Inputs inputs({70, 9, 8});
  for (const Loss& loss : kEveryLoss) {
    const Result wanted = inputs.run(backend(), loss);
    Rows value(1, 1);
    OpCall call(backend());
    call.run(backend().triplet, {.mining = loss.mining,
                                 .distance = loss.distance,
                                 .x = call.in(inputs.x),
                                 .x_stride = inputs.x.stride(),
                                 .rows = 70,
                                 .width = 9,
                                 .labels = call.in(inputs.labels),
                                 .margin = 1,
                                 .soft_margin = loss.soft,
                                 .loss = call.out(value)});
    expect_same_bits(value, wanted.loss);
  }
}

TEST_P(TripletTest, NonFiniteRowsAreSeen) {
  EMBEDCORE_NEEDS(triplet);
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e30f}) {
    Inputs inputs({40, 9, 1000});  // also where no row has a positive
    inputs.x.at(31, 4) = value;
    for (const Loss& loss : kEveryLoss) {
      const Result result = inputs.run(backend(), loss);
      EXPECT_TRUE(std::isnan(result.loss.at(0, 0))) << value << ", mining " << static_cast<int>(loss.mining);
      expect_same_bits(result.dx, inputs.dx);
    }
  }
}

TEST(TripletReference, GradientsAreFiniteDifferences) {
  for (const Loss& loss : kEveryLoss) {
    for (const TripletCase& c : {TripletCase{6, 3, 2, 1}, TripletCase{5, 4, 3, 2}}) {
      SCOPED_TRACE(name_of(c, loss));
      Inputs inputs(c);
      Random random(11);
      inputs.x.fill(random);
      inputs.labels = {0, 1, 0, 1, 0, 2};
      inputs.labels.resize(static_cast<size_t>(c.rows));
      inputs.dx.each([](float) { return 0.0f; });
      const Result result = inputs.run(reference_backend(), loss);
      const auto value = [&] { return 1.5 * static_cast<double>(inputs.run(reference_backend(), loss).loss.at(0, 0)); };
      expect_differences(inputs.x, result.dx, kUnit * value(), value, 0x1p-10f);
    }
  }
}

}  // namespace
}  // namespace embedcore::test
