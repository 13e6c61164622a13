// train/loss_runner.h on every backend: slots, masks, sums of losses, learned scales, refusals. Values and gradients of
// each loss: train_loss_golden_test.cc.
#include "loss_batch.h"

namespace embedcore::test {
namespace {

class LossRunnerTest : public OpTest {};
INSTANTIATE_TEST_SUITE_P(Op, LossRunnerTest, testing::ValuesIn(loss_backends()), backend_name);

LossInputs make_inputs(size_t columns, int64_t rows = 11, int64_t width = 10, int64_t gap = 0) {
  LossInputs inputs;
  Random random(static_cast<uint32_t>(columns * 100) + static_cast<uint32_t>(rows));
  for (size_t i = 0; i < columns; ++i) {
    inputs.columns.push_back(std::move(Rows(rows, width, gap).fill(random)));
    inputs.guides.push_back(std::move(Rows(rows, 6).fill(random)));
  }
  for (int64_t i = 0; i < rows; ++i) {
    inputs.labels.push_back(static_cast<float>(random.integer(5)) / 4);
    inputs.groups.push_back(static_cast<int32_t>(random.integer(4)));
  }
  return inputs;
}

MultipleNegativesRankingLoss four_directions() {
  MultipleNegativesRankingLoss loss;
  loss.query_to_query = loss.doc_to_query = loss.doc_to_doc = true;
  return loss;
}
MultipleNegativesRankingLoss symmetric() {
  MultipleNegativesRankingLoss loss;
  loss.doc_to_query = loss.per_direction = true;
  return loss;
}

// Both are float32 results of the same sums, grouped in another way: each is off by a few dozen roundings of numbers
// that the scale, 20, makes at most so large.
constexpr double kRegrouped = 200 * 20 * kUnit;

void expect_near(const std::vector<Rows>& got, const std::vector<Rows>& wanted, double relative) {
  double size = 0;
  for (const Rows& each : wanted) size = std::max(size, norm_of(each));
  for (size_t i = 0; i < got.size(); ++i)
    expect_close(got[i], wanted[i], [&](int64_t, int64_t) { return relative * size; });
}

// Queries of a slot and keys of all: values, gradients and gradients of the scale of the slots add up to the step's.
TEST_P(LossRunnerTest, SlotsAddUpToTheStep) {
  LossInputs inputs = make_inputs(3, 13, 9, 2);
  inputs.log_scales = {1.5};
  inputs.labels.clear();
  MultipleNegativesRankingLoss learned = four_directions();
  learned.learned_scale = true;
  const std::vector<std::vector<LossSpec>> lists = {
      {{.parameters = learned, .name = ""}},
      {{.parameters = symmetric(), .name = ""}},
      {{.parameters = GISTEmbedLoss{.temperature = 0.1}, .name = ""}},
      {{.parameters = TripletLoss{}, .name = ""}},
      {{.parameters = MultipleNegativesRankingLoss{}, .name = "", .matryoshka = {.dims = {9, 4}, .weights = {}}}}};
  for (const std::vector<LossSpec>& losses : lists) {
    SCOPED_TRACE(loss_name(losses[0].parameters));
    inputs.log_scales.resize(&losses == &lists[0] ? 1 : 0, 1.5);
    std::vector<Rows> whole = inputs.no_gradients(1), slots = inputs.no_gradients(1);
    const LossResult all = inputs.run(backend(), losses, whole);
    double loss = 0, dlog_scale = 0;
    for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 5}, {5, 1}, {6, 7}}) {
      const LossResult part = inputs.run(backend(), losses, slots, begin, count);
      loss += part.loss;
      if (!part.dlog_scales.empty()) dlog_scale += part.dlog_scales[0];
    }
    EXPECT_NEAR(loss, all.loss, kRegrouped * (1 + std::abs(all.loss)));
    const double wanted = all.dlog_scales.empty() ? 0 : all.dlog_scales[0];
    EXPECT_NEAR(dlog_scale, wanted, kRegrouped * (1 + std::abs(wanted)));
    expect_near(slots, whole, kRegrouped);
  }
}

TEST_P(LossRunnerTest, SumsAreWeightedAndGradientsAreAddedTo) {
  const LossInputs inputs = make_inputs(2);
  const LossSpec first{.parameters = MultipleNegativesRankingLoss{}, .name = "in-batch", .weight = 0.5};
  const LossSpec second{.parameters = CoSENTLoss{}, .name = "", .weight = 2};
  std::vector<Rows> both = inputs.no_gradients(), apart = inputs.no_gradients();
  const LossResult sum = inputs.run(backend(), {first, second}, both);
  const double value = inputs.run(backend(), {first}, apart).loss;
  const double other = inputs.run(backend(), {second}, apart).loss;  // into the same gradients
  ASSERT_EQ(sum.parts.size(), 2u);
  EXPECT_EQ(sum.parts[0].name, "in-batch");
  EXPECT_EQ(sum.parts[1].name, "CoSENTLoss");
  EXPECT_EQ(sum.parts[0].weight, 0.5);
  EXPECT_EQ(0.5 * sum.parts[0].value, value);
  EXPECT_EQ(2 * sum.parts[1].value, other);
  EXPECT_EQ(sum.loss, value + other);
  EXPECT_EQ(sum.non_finite(), nullptr);
  for (size_t i = 0; i < 2; ++i) expect_same_bits(both[i], apart[i]);
}

TEST_P(LossRunnerTest, ALearnedScaleHasItsGradient) {
  LossInputs inputs = make_inputs(3);
  MultipleNegativesRankingLoss loss = symmetric();
  loss.learned_scale = true;
  const std::vector<LossSpec> losses = {
      {.parameters = loss, .name = "", .weight = 0.75},
      {.parameters = loss, .name = "", .weight = 0.5, .matryoshka = {.dims = {10, 3}, .weights = {1, 2}}}};
  inputs.log_scales = {1.25, 0.5};
  const LossResult result = inputs.run(backend(), losses);
  ASSERT_EQ(result.dlog_scales.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const auto at = [&](double distance) {
      LossInputs moved = inputs;
      moved.log_scales[i] += distance;
      return moved.run(backend(), losses).loss;
    };
    const auto slope = [&](double distance) { return (at(distance) - at(-distance)) / (2 * distance); };
    // The error of a difference falls fourfold with half the step; losses are of float32.
    const double near = slope(0x1p-5), far = slope(0x1p-4);
    EXPECT_NEAR(result.dlog_scales[i], near, std::abs(near - far) + 40 * kUnit * std::abs(result.loss) / 0x1p-5);
    EXPECT_GT(std::abs(near), 0.01);
  }
  // The scale of the parameters counts for nothing.
  inputs.log_scales = {1.25};
  const double learned = inputs.run(backend(), {losses[0]}).loss;
  MultipleNegativesRankingLoss fixed = symmetric();
  fixed.scale = std::exp(1.25);
  inputs.log_scales.clear();
  EXPECT_EQ(learned, inputs.run(backend(), {{.parameters = fixed, .name = "", .weight = 0.75}}).loss);
}

// A mask by hand: keys of the same text or label are taken out of the batch.
TEST_P(LossRunnerTest, FalseNegativesAreLeftOut) {
  LossInputs inputs = make_inputs(3, 6, 8);
  // positives 0 and 4 are the same text; so are anchors 1 and 2; negative 3 is positive 5
  inputs.text_ids = {0, 1, 1, 3, 4, 5, 10, 11, 12, 13, 10, 15, 20, 21, 22, 15, 24, 25};
  MultipleNegativesRankingLoss loss;
  loss.mask_texts = true;
  const auto left_out = [](int64_t row, int64_t column, int64_t other) {
    if (column == 1 && row == other) return false;
    const bool same_positive = column == 1 && (row == 0 || row == 4) && (other == 0 || other == 4);
    const bool same_anchor = column == 1 && (row == 1 || row == 2) && (other == 1 || other == 2);
    return same_positive || same_anchor || (column == 2 && row == 5 && other == 3);
  };
  double total = 0;
  const auto cosine = [&](int64_t row, int64_t column, int64_t other) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t d = 0; d < 8; ++d) {
      const double a = inputs.columns[0].at(row, d), b = inputs.columns[static_cast<size_t>(column)].at(other, d);
      ab += a * b, aa += a * a, bb += b * b;
    }
    return ab / std::sqrt(aa * bb);
  };
  for (int64_t row = 0; row < 6; ++row) {
    double sum = 0;
    for (int64_t column = 1; column <= 2; ++column)
      for (int64_t other = 0; other < 6; ++other)
        if (!left_out(row, column, other)) sum += std::exp(20 * cosine(row, column, other));
    total += (std::log(sum) - 20 * cosine(row, 1, row)) / 6;
  }
  EXPECT_NEAR(inputs.run(backend(), {{.parameters = loss, .name = ""}}).loss, total, kRegrouped * (1 + total));

  MultipleNegativesRankingLoss labelled;
  labelled.mask_labels = true;
  inputs.groups = {0, 1, 2, 0, -1, -1};
  double by_label = 0;
  for (int64_t row = 0; row < 6; ++row) {
    double sum = 0;
    for (int64_t column = 1; column <= 2; ++column)
      for (int64_t other = 0; other < 6; ++other)
        if (column == 2 || row == other || !((row == 0 && other == 3) || (row == 3 && other == 0)))
          sum += std::exp(20 * cosine(row, column, other));
    by_label += (std::log(sum) - 20 * cosine(row, 1, row)) / 6;
  }
  EXPECT_NEAR(inputs.run(backend(), {{.parameters = labelled, .name = ""}}).loss, by_label,
              kRegrouped * (1 + by_label));

  MultipleNegativesRankingLoss margin;
  margin.false_negatives = {.is_given = true, .value = -0.1};
  double by_margin = 0;
  for (int64_t row = 0; row < 6; ++row) {
    double sum = 0;
    for (int64_t column = 1; column <= 2; ++column)
      for (int64_t other = 0; other < 6; ++other) {
        const double value = cosine(row, column, other), positive = cosine(row, 1, row);
        if (value <= positive + 0.1) sum += std::exp(20 * value);
      }
    by_margin += (std::log(sum) - 20 * cosine(row, 1, row)) / 6;
  }
  EXPECT_NEAR(inputs.run(backend(), {{.parameters = margin, .name = ""}}).loss, by_margin,
              kRegrouped * (1 + by_margin));
}

// Anchors and positives of pairs make one batch for mining; without labels each pair is a class.
TEST_P(LossRunnerTest, PairsAreMinedAsOneBatch) {
  LossInputs pairs = make_inputs(2, 7, 6);
  const LossSpec loss{.parameters = BatchTripletLoss{.mining = TripletMining::kSemiHard, .margin = 1}, .name = ""};
  for (const bool labelled : {true, false}) {
    if (!labelled) pairs.groups.clear();
    LossInputs single;
    Rows& all = single.columns.emplace_back(14, 6);
    for (int64_t row = 0; row < 14; ++row) {
      std::copy_n(pairs.columns[row < 7 ? 0 : 1].data(row % 7), 6, all.data(row));
      single.groups.push_back(labelled ? pairs.groups[static_cast<size_t>(row % 7)] : static_cast<int32_t>(row % 7));
    }
    std::vector<Rows> got = pairs.no_gradients(), wanted = single.no_gradients();
    EXPECT_EQ(pairs.run(backend(), {loss}, got).loss, single.run(backend(), {loss}, wanted).loss);
    expect_same_bits(got[0], wanted[0]);
    expect_same_bits(got[1], wanted[0], 7);
  }
}

TEST_P(LossRunnerTest, MatryoshkaDimensionsAreDrawnByTheStep) {
  const LossInputs inputs = make_inputs(2);
  LossSpec spec{.parameters = CoSENTLoss{}, .name = "", .matryoshka = {.dims = {10, 6, 3}, .weights = {1, 10, 100}}};
  const auto value = [&](uint64_t draw) {
    std::vector<Rows> gradients = inputs.no_gradients();
    return inputs.run(backend(), {spec}, gradients, 0, -1, draw).loss;
  };
  std::vector<double> each;
  for (size_t i = 0; i < 3; ++i) {
    LossSpec one = spec;
    one.matryoshka = {.dims = {spec.matryoshka.dims[i]}, .weights = {spec.matryoshka.weights[i]}};
    each.push_back(inputs.run(backend(), {one}).loss);
  }
  EXPECT_NEAR(value(0), each[0] + each[1] + each[2], 1e-12 * value(0));
  spec.matryoshka.n_dims_per_step = 1;
  std::vector<int> drawn(3);
  for (uint64_t draw = 0; draw < 60; ++draw) {
    const double got = value(draw);
    EXPECT_EQ(got, value(draw));
    for (size_t i = 0; i < 3; ++i) drawn[i] += got == each[i];
  }
  EXPECT_EQ(drawn[0] + drawn[1] + drawn[2], 60);
  for (const int count : drawn) EXPECT_GT(count, 5);  // of 20 expected; fixed numbers, so no chance is left
}

TEST_P(LossRunnerTest, ANonFiniteLossNamesItselfAndItsRows) {
  LossInputs inputs = make_inputs(2);
  inputs.columns[0].at(4, 3) = std::numeric_limits<float>::quiet_NaN();
  const LossResult result = inputs.run(backend(), {{.parameters = MultipleNegativesRankingLoss{}, .name = ""},
                                                   {.parameters = CoSENTLoss{}, .name = "similar"}});
  EXPECT_TRUE(std::isnan(result.loss));
  ASSERT_NE(result.non_finite(), nullptr);
  EXPECT_EQ(result.non_finite()->name, "MultipleNegativesRankingLoss");
  EXPECT_EQ(result.parts[0].non_finite_rows, std::vector<int64_t>{4});
  EXPECT_TRUE(std::isnan(result.parts[1].value));
}

// More batches, and smaller and larger ones, on one runner: the memory of the device is kept.
TEST_P(LossRunnerTest, MemoryIsKeptBetweenSteps) {
  const DevicePointer device = OpenDevice::open(backend());
  LossRunner runner(device, {{.parameters = four_directions(), .name = ""}});
  OpenStream stream(device);
  size_t bytes = 0;
  for (const int64_t rows : {20, 7, 20}) {
    const LossInputs inputs = make_inputs(2, rows);
    const std::vector<Rows> zeros = inputs.no_gradients();
    std::vector<DeviceRows> memory;
    for (size_t i = 0; i < 2; ++i) {
      memory.emplace_back(*device, inputs.columns[i]);
      memory.emplace_back(*device, zeros[i]);
    }
    const LossColumn columns[] = {{memory[0].data(), 10, memory[1].data(), 10},
                                  {memory[2].data(), 10, memory[3].data(), 10}};
    const double loss = runner.run(stream, {.columns = columns, .rows = rows, .width = 10}).loss;
    EXPECT_EQ(loss, inputs.run(backend(), runner.losses()).loss);
    if (rows == 20 && bytes == 0) bytes = runner.bytes();
    EXPECT_EQ(runner.bytes(), bytes);
  }
}

void expect_error(Code code, const std::string& sentence, const std::function<void()>& body) {
  try {
    body();
    ADD_FAILURE() << "no error, but expected: " << sentence;
  } catch (const Error& error) {
    EXPECT_EQ(error.code, code) << error.what();
    EXPECT_EQ(error.what(), sentence);
  }
}

TEST(LossRefusals, OfParameters) {
  const DevicePointer device = OpenDevice::open(reference_backend());
  const auto refused = [&](const LossParameters& parameters, const std::string& sentence) {
    expect_error(Code::kInvalidOption, sentence, [&] { LossRunner(device, {{.parameters = parameters, .name = ""}}); });
  };
  expect_error(Code::kInvalidOption, "Expected at least one loss but received none", [&] { LossRunner(device, {}); });
  refused(MultipleNegativesRankingLoss{.scale = 0},
          "Expected a number above 0 for the scale of MultipleNegativesRankingLoss but received 0");
  MultipleNegativesRankingLoss apart = four_directions();
  apart.per_direction = true;
  refused(apart,
          "Expected no query_to_query with the partition mode per_direction of MultipleNegativesRankingLoss: it never "
          "has the positive pair, only a joint softmax can");
  refused(MultipleNegativesRankingLoss{.hardness_strength = -1},
          "Expected a number of at least 0 for the hardness strength of MultipleNegativesRankingLoss but received -1");
  refused(GISTEmbedLoss{.temperature = -2},
          "Expected a number above 0 for the temperature of GISTEmbedLoss but received -2");
  refused(BatchTripletLoss{.mining = TripletMining::kBatchAll, .soft_margin = true},
          "Expected batch-hard mining for the soft margin of BatchAllTripletLoss");
  refused(DistillKLDivLoss{.teacher_temperature = 0},
          "Expected a number above 0 for the teacher's temperature of DistillKLDivLoss but received 0");
  const auto prefixes = [&](const MatryoshkaDims& dims, const std::string& sentence) {
    expect_error(Code::kInvalidOption, sentence,
                 [&] { LossRunner(device, {{.parameters = CoSENTLoss{}, .name = "", .matryoshka = dims}}); });
  };
  prefixes({.dims = {0}, .weights = {}}, "Expected at least 1 for a Matryoshka dimension of CoSENTLoss but received 0");
  prefixes({.dims = {3, 2}, .weights = {1}},
           "Expected a weight for each of the 2 Matryoshka dimensions of CoSENTLoss but received 1");
  prefixes({.dims = {3}, .weights = {}, .n_dims_per_step = 0},
           "Expected -1 or at least 1 for the Matryoshka dimensions per step of CoSENTLoss but received 0");
}

TEST(LossRefusals, OfBatches) {
  const auto refused = [&](
                           Code code, const LossSpec& spec, LossInputs inputs, const std::string& sentence,
                           const std::function<void(LossInputs&)>& change = [](LossInputs&) {}) {
    change(inputs);
    expect_error(code, sentence, [&] { inputs.run(reference_backend(), {spec}); });
  };
  const auto of = [](const LossParameters& parameters) { return LossSpec{.parameters = parameters, .name = ""}; };
  refused(Code::kShapeMismatch, of(MultipleNegativesRankingLoss{}), make_inputs(1),
          "MultipleNegativesRankingLoss needs anchors and positives, but the batch has 1 columns of texts");
  refused(Code::kInvalidOption, of(MultipleNegativesRankingLoss{.mask_texts = true}), make_inputs(2),
          "MultipleNegativesRankingLoss with a mask of equal texts needs their ids, but the batch has none");
  refused(Code::kInvalidOption, of(MultipleNegativesRankingLoss{.mask_labels = true}), make_inputs(2),
          "MultipleNegativesRankingLoss with a mask of labels needs labels of classes, but the batch has none",
          [](LossInputs& inputs) { inputs.groups.clear(); });
  refused(Code::kInvalidOption, of(GISTEmbedLoss{}), make_inputs(2),
          "GISTEmbedLoss needs embeddings of a guide model for all texts, but the batch has none",
          [](LossInputs& inputs) { inputs.guides.clear(); });
  refused(Code::kInvalidOption, of(BatchTripletLoss{}), make_inputs(1),
          "BatchHardTripletLoss of single texts needs labels of classes, but the batch has none",
          [](LossInputs& inputs) { inputs.groups.clear(); });
  refused(Code::kShapeMismatch, of(TripletLoss{}), make_inputs(2),
          "TripletLoss needs anchors, positives and negatives, but the batch has 2 columns of texts");
  refused(Code::kInvalidOption, of(CoSENTLoss{}), make_inputs(2),
          "CoSENTLoss needs scores, but the batch has no labels", [](LossInputs& inputs) { inputs.labels.clear(); });
  refused(Code::kNonFinite, of(CoSENTLoss{}), make_inputs(2), "Expected finite labels for CoSENTLoss but received nan",
          [](LossInputs& inputs) { inputs.labels[3] = std::numeric_limits<float>::quiet_NaN(); });
  refused(Code::kShapeMismatch, of(MarginMSELoss{}), make_inputs(4),
          "MarginMSELoss needs margins, or scores of all documents, 2 a row, but the batch has 1");
  refused(Code::kInvalidOption, of(EmbedDistillLoss{}), make_inputs(1),
          "EmbedDistillLoss needs embeddings of the teacher, but the batch has none");
  refused(Code::kShapeMismatch, of(EmbedDistillLoss{}), make_inputs(1),
          "EmbedDistillLoss needs embeddings of the teacher of the width 10, not 4",
          [](LossInputs& inputs) { inputs.teacher = std::move(Rows(11, 4).each([](float) { return 1.0f; })); });
  refused(Code::kInvalidOption, {.parameters = CoSENTLoss{}, .name = "", .matryoshka = {.dims = {11}, .weights = {}}},
          make_inputs(2),
          "Expected a Matryoshka dimension of CoSENTLoss of at most 10, the embeddings' width, but received 11");
  refused(Code::kInvalidOption, of(MultipleNegativesRankingLoss{.learned_scale = true}), make_inputs(2),
          "Expected a log scale for each of the 1 learned scales but received 0");
  LossInputs inputs = make_inputs(2);
  std::vector<Rows> gradients = inputs.no_gradients();
  expect_error(Code::kShapeMismatch, "Expected rows of a batch of 11 for CoSENTLoss but received 6 to 12",
               [&] { inputs.run(reference_backend(), {of(CoSENTLoss{})}, gradients, 6, 6); });
  expect_error(Code::kShapeMismatch, "Expected at least one row for CoSENTLoss but received 0",
               [&] { inputs.run(reference_backend(), {of(CoSENTLoss{})}, gradients, 6, 0); });
}

// A backend without training is refused before any work.
TEST(LossRefusals, OfBackends) {
  Backend partial = reference_backend();
  partial.name = "partial";
  partial.contrastive = nullptr;
  const DevicePointer device = OpenDevice::open(partial);
  expect_error(Code::kDevice, "the backend partial has no operation contrastive, which GISTEmbedLoss needs",
               [&] { LossRunner(device, {{.parameters = GISTEmbedLoss{}, .name = ""}}); });
  LossRunner(device, {{.parameters = CoSENTLoss{}, .name = ""}});
}

}  // namespace
}  // namespace embedcore::test
