// A trainer of a golden model with a new Dense module, and a batch for it, on any backend.
#pragma once

#include <memory>

#include "model/forward_plan.h"
#include "op_support.h"
#include "train/trainer.h"

namespace embedcore::test {

constexpr int64_t kProjected = 6;

inline std::vector<float> download(OpenStream& stream, const float* from, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  EXPECT_EQ(stream.opened().backend().download(stream, values.data(), from, values.size() * sizeof(float)), kOk);
  stream.wait();
  return values;
}
inline std::vector<float> download(OpenStream& stream, const Parameters& parameters) {
  return download(stream, parameters.data(), parameters.list().elements());
}

// The stream of a device, with threads where groups can run on some.
class TeamStream : public OpenStream {
 public:
  explicit TeamStream(const DevicePointer& device, Order order = Order::kAscending) : OpenStream(device), team_(order) {
    if (!device->backend().host_memory) return;
    team = team_.team;
    parallel = team_.parallel;
  }

 private:
  TestStream team_;
};

inline std::vector<TrainedModule> projection_to(int64_t in, bool normalize = true) {
  HeadModule dense;
  dense.kind = HeadModule::Kind::kDense;
  dense.in = in;
  dense.out = kProjected;
  std::vector<TrainedModule> modules = {{.module = dense}};
  if (normalize) modules.push_back({.module = HeadModule{}});
  return modules;
}

inline EncodePlan mean_plan(const ModelConfig& config) {
  PlanOptions options;
  options.pooling = {Pooling::kMean};
  EncodePlan plan;
  plan.forward = forward_plan(config, options);
  plan.pooling = options.pooling;
  return plan;
}

inline std::unique_ptr<Trainer> make_trainer(const Backend& backend, const std::string& model,
                                             const std::vector<LossSpec>& losses, const TrainerOptions& options) {
  const DevicePointer device = OpenDevice::open(backend);
  auto weights = std::make_unique<TrainedWeights>(std::string(EMBEDCORE_ROOT) + "/test/golden/models/" + model, device,
                                                  WeightOptions{}, KeepLoading{});
  const EncodePlan plan = mean_plan(weights->config());
  auto head = std::make_unique<TrainedHead>(projection_to(weights->config().hidden), device, 3);
  return std::make_unique<Trainer>(std::move(weights), std::move(head), plan, losses, options);
}

// Pairs of texts of one to nine tokens.
inline StepInput make_step(int64_t rows, uint64_t draw = 0) {
  StepInput input;
  input.columns = 2;
  input.rows = rows;
  input.draw = draw;
  Random random(static_cast<uint32_t>(100 * rows) + static_cast<uint32_t>(draw));
  for (int64_t i = 0; i < 2 * rows; ++i) {
    std::vector<int32_t> ids(1 + static_cast<size_t>(random.integer(9)));
    for (int32_t& id : ids) id = 5 + static_cast<int32_t>(random.integer(50));
    input.texts.add(ids);
  }
  return input;
}

}  // namespace embedcore::test
