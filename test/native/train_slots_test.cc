// train/slots.h: the sum of gradients of a step in slots has the bits of the sums of as many processes, each of which
// computes the embeddings and the losses of its own rows, and sees the embeddings of all.
#include <cstring>
#include <optional>

#include "train/loss_runner.h"
#include "trainer_support.h"

namespace embedcore::test {
namespace {

class TrainSlots : public OpTest {};
EMBEDCORE_EVERY_BACKEND(TrainSlots);

constexpr uint64_t kSeed = 7;

struct Sums {
  std::vector<float> encoder, head;
  double loss = 0;
};

void add(std::vector<float>& sum, const std::vector<float>& more) {
  if (sum.empty())
    sum = more;
  else
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
}

// One of several processes, without a Trainer: its own weights, rows and gradients.
class Process {
 public:
  Process(const Backend& backend, const std::string& model, std::vector<LossSpec> losses, SlotRows rows)
      : rows_(rows),
        device_(OpenDevice::open(backend)),
        weights_(std::string(EMBEDCORE_ROOT) + "/test/golden/models/" + model, device_, WeightOptions{}, {}),
        head_(projection_to(weights_.config().hidden), device_, 3),
        encoder_(weights_, mean_plan(weights_.config())),
        head_pass_(head_),
        losses_(device_, std::move(losses)),
        stream_(device_) {}

  // [columns, rows of the process, kProjected]
  std::vector<float> embed(const StepInput& input, uint64_t seed) {
    texts_ = StepTexts{};
    for (int64_t column = 0; column < input.columns; ++column)
      for (int64_t row = rows_.begin; row < rows_.begin + rows_.count; ++row) {
        const int64_t text = column * input.rows + row;
        texts_.add(input.texts.text(text));
        texts_.numbers.push_back(static_cast<int32_t>(text));
      }
    slabs_ = cut_texts(texts_, weights_.config(), SlabSizes::of(device_->backend()));
    kept_ = std::vector<KeptSlab>(slabs_.size());
    pooled_ = device_->allocate(static_cast<size_t>(texts_.count() * encoder_.pooled_width()) * sizeof(float));
    const View pooled{pooled_.get(), encoder_.pooled_width()};
    encoder_.begin_step(stream_, seed, 16);
    for (size_t i = 0; i < slabs_.size(); ++i)
      encoder_.forward(stream_, slabs_[i], kept_[i], pooled, {.backward = true}, true);
    stream_.wait();
    const View rows = head_pass_.forward(stream_, pooled, texts_.count(), encoder_.pooled_width(), true);
    return download(stream_, rows.floats(), texts_.count() * kProjected);
  }

  // The share of the loss that its rows have, and the gradient of all embeddings [columns, rows, kProjected].
  std::vector<float> loss(const StepInput& input, const std::vector<float>& all, double& value) {
    const auto x = device_->upload(all.data(), all.size() * sizeof(float));
    const std::vector<float> zeros(all.size());
    const auto dx = device_->upload(zeros.data(), zeros.size() * sizeof(float));
    std::vector<LossColumn> columns;
    for (int64_t column = 0; column < input.columns; ++column)
      columns.push_back({.x = static_cast<float*>(x.get()) + column * input.rows * kProjected,
                         .x_stride = kProjected,
                         .dx = static_cast<float*>(dx.get()) + column * input.rows * kProjected,
                         .dx_stride = kProjected});
    value += losses_
                 .run(stream_, {.columns = columns,
                                .rows = input.rows,
                                .width = kProjected,
                                .begin = rows_.begin,
                                .count = rows_.count})
                 .loss;
    return download(stream_, static_cast<float*>(dx.get()), static_cast<int64_t>(all.size()));
  }

  // drows: of the process's own rows.
  void backward(std::vector<float> drows) {
    const auto memory = device_->upload(drows.data(), drows.size() * sizeof(float));
    const View dpooled = head_pass_.backward(stream_, {memory.get(), kProjected}, 0, texts_.count());
    for (size_t i = 0; i < slabs_.size(); ++i) {
      encoder_.backward(stream_, slabs_[i], kept_[i], dpooled);
      stream_.wait();
    }
    encoder_.finish_gradients(stream_);
    stream_.wait();
  }

  SlotRows rows() const { return rows_; }
  void add_gradients(Sums& sums) {
    add(sums.encoder, download(stream_, weights_.gradients()));
    add(sums.head, download(stream_, head_.gradients()));
  }

 private:
  const SlotRows rows_;
  const DevicePointer device_;
  TrainedWeights weights_;
  TrainedHead head_;
  EncoderPass encoder_;
  HeadPass head_pass_;
  LossRunner losses_;
  TeamStream stream_;
  StepTexts texts_;
  std::vector<Slab> slabs_;
  std::vector<KeptSlab> kept_;
  std::shared_ptr<void> pooled_;
};

// The seed of dropout that a trainer has in a step.
uint64_t seed_of_step(uint64_t seed, uint64_t draw) {
  uint64_t mixed = seed + 0x9E3779B97F4A7C15u * (draw + 1);
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
  return mixed ^ (mixed >> 31);
}

Sums by_processes(const Backend& backend, const std::string& model, const std::vector<LossSpec>& losses,
                  const std::vector<StepInput>& steps, int64_t count) {
  Sums sums;
  std::vector<std::unique_ptr<Process>> processes;
  for (const SlotRows& rows : cut_rows(steps.front().rows, count))
    processes.push_back(std::make_unique<Process>(backend, model, losses, rows));
  for (const StepInput& input : steps) {
    std::vector<float> all(static_cast<size_t>(input.texts.count() * kProjected)), drows;
    const auto each_column = [&](const Process& process, auto&& visit) {
      for (int64_t column = 0; column < input.columns; ++column)
        visit((column * input.rows + process.rows().begin) * kProjected, column * process.rows().count * kProjected,
              process.rows().count * kProjected);
    };
    for (const auto& process : processes) {
      const std::vector<float> own = process->embed(input, seed_of_step(kSeed, input.draw));
      each_column(*process, [&](int64_t to, int64_t from, int64_t values) {
        std::copy_n(own.begin() + from, values, all.begin() + to);
      });
    }
    for (const auto& process : processes) add(drows, process->loss(input, all, sums.loss));
    for (const auto& process : processes) {
      std::vector<float> own;
      each_column(*process, [&](int64_t from, int64_t, int64_t values) {
        own.insert(own.end(), drows.begin() + from, drows.begin() + from + values);
      });
      process->backward(std::move(own));
    }
  }
  for (const auto& process : processes) process->add_gradients(sums);
  return sums;
}

Sums by_slots(const Backend& backend, const std::string& model, const std::vector<LossSpec>& losses,
              const std::vector<StepInput>& steps, const TrainerOptions& options, Order order = Order::kAscending) {
  const auto trainer = make_trainer(backend, model, losses, options);
  TeamStream stream(trainer->weights().shared_device(), order);
  Sums sums;
  for (const StepInput& input : steps) sums.loss += trainer->accumulate(stream, input, {}).loss.loss;
  trainer->slots().add_up(stream);
  sums.encoder = download(stream, trainer->weights().gradients());
  sums.head = download(stream, trainer->head().gradients());
  return sums;
}

void expect_same(const Sums& got, const Sums& wanted) {
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  EXPECT_TRUE(same(got.encoder, wanted.encoder));
  EXPECT_TRUE(same(got.head, wanted.head));
}

std::vector<LossSpec> in_batch() {
  MultipleNegativesRankingLoss loss;
  loss.query_to_query = loss.doc_to_query = loss.doc_to_doc = true;
  return {{.parameters = loss, .name = ""},
          {.parameters = MultipleNegativesRankingLoss{},
           .name = "prefixes",
           .weight = 0.5,
           .matryoshka = {.dims = {6, 3}, .weights = {}}}};
}

TEST_P(TrainSlots, HaveTheBitsOfAsManyProcesses) {
  if (!backend().adamw) GTEST_SKIP() << backend().name << " does not train";
  const std::vector<StepInput> steps = {make_step(11, 0), make_step(11, 1)};
  // mpnet has relative positions, whose gradient is summed over a step apart from the others.
  for (const std::string model : {"bert", "mpnet", "qwen2"}) {
    for (const int64_t count : {1, 2, 3}) {
      SCOPED_TRACE(model + " in " + std::to_string(count));
      const Sums slots = by_slots(backend(), model, in_batch(), steps, {.seed = kSeed, .slots = count});
      const Sums processes = by_processes(backend(), model, in_batch(), steps, count);
      expect_same(slots, processes);
      EXPECT_DOUBLE_EQ(slots.loss, processes.loss);
    }
  }
}

TEST_P(TrainSlots, HaveTheSameBitsHoweverTheStepIsRun) {
  if (!backend().adamw) GTEST_SKIP() << backend().name << " does not train";
  const std::vector<StepInput> steps = {make_step(11, 0), make_step(11, 1)};
  const Sums wanted = by_slots(backend(), "bert", in_batch(), steps, {.seed = kSeed, .slots = 3});
  for (const TrainerOptions& options :
       {TrainerOptions{.gradient_cache = true, .seed = kSeed, .slots = 3},
        TrainerOptions{.recompute = 1, .seed = kSeed, .slots = 3},
        TrainerOptions{.gradient_cache = true, .recompute = 9, .seed = kSeed, .slots = 3}})
    expect_same(by_slots(backend(), "bert", in_batch(), steps, options), wanted);
  expect_same(by_slots(backend(), "bert", in_batch(), steps, {.seed = kSeed, .slots = 3}, Order::kThreads), wanted);
}

// More slots than rows: some are empty, and the sum is that of the others.
TEST_P(TrainSlots, MayBeEmpty) {
  if (!backend().adamw) GTEST_SKIP() << backend().name << " does not train";
  const std::vector<StepInput> steps = {make_step(2)};
  const Sums slots = by_slots(backend(), "bert", in_batch(), steps, {.seed = kSeed, .slots = 5});
  const Sums two = by_slots(backend(), "bert", in_batch(), steps, {.seed = kSeed, .slots = 2});
  // Zeros of empty slots are added, so only the sign of a zero may differ.
  for (size_t i = 0; i < two.encoder.size(); ++i) ASSERT_EQ(slots.encoder[i], two.encoder[i]) << i;
  EXPECT_EQ(slots.head, two.head);
  EXPECT_EQ(slots.loss, two.loss);
}

// An update uses the sums of all slots, and leaves none behind.
TEST_P(TrainSlots, AreAddedUpForTheUpdate) {
  if (!backend().adamw) GTEST_SKIP() << backend().name << " does not train";
  MultipleNegativesRankingLoss learned;
  learned.learned_scale = true;
  const std::vector<LossSpec> losses = {{.parameters = learned, .name = ""}};
  const auto trainer = make_trainer(backend(), "bert", losses, {.seed = kSeed, .slots = 3});
  TeamStream stream(trainer->weights().shared_device());
  const StepInput input = make_step(11);
  trainer->accumulate(stream, input, {});
  trainer->slots().add_up(stream);
  double squares = 0;
  for (const Parameters* block : {&trainer->weights().gradients(), &trainer->head().gradients()})
    for (const float value : download(stream, *block)) squares += static_cast<double>(value) * value;
  const double before = trainer->log_scales()[0];
  const double norm = trainer->update(stream, 0.01, 1);
  // The gradient of the scale is in the norm too.
  EXPECT_GE(norm * norm, squares * (1 - 1e-12));
  EXPECT_LT(norm * norm, 4 * squares);
  EXPECT_NE(trainer->log_scales()[0], before);
  trainer->slots().add_up(stream);
  for (const float value : download(stream, trainer->weights().gradients())) ASSERT_EQ(value, 0.0f);
  EXPECT_THROW(make_trainer(backend(), "bert", losses, {.slots = 0}), Error);
}

TEST(CutRows, AreRunsThatDifferByOneRowAtMost) {
  for (const int64_t rows : {0, 1, 5, 32, 33})
    for (const int64_t slots : {1, 2, 3, 8}) {
      const std::vector<SlotRows> list = cut_rows(rows, slots);
      ASSERT_EQ(static_cast<int64_t>(list.size()), slots);
      int64_t next = 0;
      for (const SlotRows& slot : list) {
        EXPECT_EQ(slot.begin, next);
        EXPECT_GE(slot.count, rows / slots);
        EXPECT_LE(slot.count, (rows + slots - 1) / slots);
        next += slot.count;
      }
      EXPECT_EQ(next, rows);
    }
}

}  // namespace
}  // namespace embedcore::test
