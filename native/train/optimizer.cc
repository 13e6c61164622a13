#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "ops/optimizer.h"

namespace embedcore {

namespace {

void check_groups(const std::vector<ParameterGroup>& groups, int64_t elements) {
  int64_t next = 0;
  for (const ParameterGroup& group : groups) {
    if (group.begin != next || group.end < group.begin || group.end > elements)
      fail(Code::kInvalidOption, "Expected a parameter group from element %lld on but received %lld to %lld",
           static_cast<long long>(next), static_cast<long long>(group.begin), static_cast<long long>(group.end));
    next = group.end;
  }
  if (next != elements)
    fail(Code::kInvalidOption, "Expected parameter groups up to element %lld but received %lld",
         static_cast<long long>(elements), static_cast<long long>(next));
}

constexpr int64_t kSwappedAtOnce = 1 << 18;  // elements

}  // namespace

Optimizer::Optimizer(DevicePointer device, std::vector<TrainedBlock> blocks, const OptimizerSettings& settings)
    : device_(std::move(device)), settings_(settings), sum_(device_->allocate(sizeof(double))) {
  OpenStream stream(device_);
  for (TrainedBlock& trained : blocks) {
    const auto list = trained.values->shared_list();
    if (trained.groups.empty()) trained.groups = {{.begin = 0, .end = list->elements()}};
    check_groups(trained.groups, list->elements());
    Block& block = blocks_.emplace_back();
    block.first = std::make_unique<Parameters>(list, device_);
    block.second = std::make_unique<Parameters>(list, device_);
    if (settings.average_decay > 0) {
      block.average = std::make_unique<Parameters>(list, device_);
      check_status(
          device_->backend().axpby(
              stream,
              {.x = trained.values->data(), .y = block.average->data(), .elements = list->elements(), .beta = 0}),
          stream, "axpby");
    }
    block.trained = std::move(trained);
  }
  stream.wait();
}

void Optimizer::clear_gradients(Stream& stream) {
  for (const Block& block : blocks_)
    check_status(device_->backend().axpby(stream, {.y = block.trained.gradients->data(),
                                                   .elements = block.trained.gradients->list().elements(),
                                                   .beta = 0}),
                 stream, "axpby");
}

double Optimizer::gradient_norm(Stream& stream) {
  auto* sum = static_cast<double*>(sum_.get());
  bool add = false;
  for (const Block& block : blocks_) {
    check_status(device_->backend().sum_squares(stream, {.x = block.trained.gradients->data(),
                                                         .elements = block.trained.gradients->list().elements(),
                                                         .sum = sum,
                                                         .add = add}),
                 stream, "sum_squares");
    add = true;
  }
  double squares = 0;
  if (!add) return 0;
  check_status(device_->backend().download(stream, &squares, sum, sizeof squares), stream, "a download");
  check_status(device_->backend().wait(stream), stream, "waiting for the device");
  return std::sqrt(squares);
}

void Optimizer::step(Stream& stream, double rate, double norm, double factor) {
  ++steps_;
  // As torch.nn.utils.clip_grad_norm_.
  if (settings_.max_norm > 0 && norm > 0) factor *= std::min(1.0, settings_.max_norm / (norm + 1e-6));
  const auto count = static_cast<double>(steps_);
  for (const Block& block : blocks_) {
    for (const ParameterGroup& group : block.trained.groups) {
      if (group.end == group.begin) continue;
      check_status(device_->backend().adamw(stream, {.values = block.trained.values->data() + group.begin,
                                                     .gradients = block.trained.gradients->data() + group.begin,
                                                     .first = block.first->data() + group.begin,
                                                     .second = block.second->data() + group.begin,
                                                     .elements = group.end - group.begin,
                                                     .rate = rate * group.rate_factor,
                                                     .beta1 = settings_.beta1,
                                                     .beta2 = settings_.beta2,
                                                     .epsilon = settings_.epsilon,
                                                     .decay = group.decay,
                                                     .correction1 = 1 - std::pow(settings_.beta1, count),
                                                     .correction2 = 1 - std::pow(settings_.beta2, count),
                                                     .gradient_factor = static_cast<float>(factor)}),
                   stream, "adamw");
    }
    if (block.average)
      check_status(device_->backend().axpby(stream, {.x = block.trained.values->data(),
                                                     .y = block.average->data(),
                                                     .elements = block.trained.values->list().elements(),
                                                     .alpha = static_cast<float>(1 - settings_.average_decay),
                                                     .beta = static_cast<float>(settings_.average_decay)}),
                   stream, "axpby");
  }
}

void Optimizer::swap_averages(OpenStream& stream) {
  const std::shared_ptr<void> memory = device_->allocate(kSwappedAtOnce * sizeof(float));
  auto* spare = static_cast<float*>(memory.get());
  const Backend& backend = device_->backend();
  for (const Block& block : blocks_) {
    if (!block.average) continue;
    const int64_t elements = block.average->list().elements();
    for (int64_t first = 0; first < elements; first += kSwappedAtOnce) {
      const int64_t count = std::min(kSwappedAtOnce, elements - first);
      float *values = block.trained.values->data() + first, *average = block.average->data() + first;
      copy_floats(backend, stream, values, spare, count);
      copy_floats(backend, stream, average, values, count);
      copy_floats(backend, stream, spare, average, count);
    }
  }
  stream.wait();
}

}  // namespace embedcore
