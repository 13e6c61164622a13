#include "train/trainer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/optimizer.h"

namespace embedcore {

namespace {

void refuse_untrainable(const OpenDevice& device, DType dtype) {
  const Backend& backend = device.backend();
  const char* missing = nullptr;
#define EMBEDCORE_MISSING(name, Args) \
  if (!backend.name && !missing) missing = #name;
  EMBEDCORE_TRAINING_OPS(EMBEDCORE_MISSING)
#undef EMBEDCORE_MISSING
  if (!backend.repack_linear && !missing) missing = "repack_linear";
  if (missing) fail(Code::kDevice, "%s cannot train yet (it has no \"%s\"): use device: 'cpu'", backend.name, missing);
  if (dtype != DType::kF32 && dtype != DType::kBF16)
    fail(Code::kInvalidOption, "Expected 'float32' or 'bfloat16' for the dtype of training but received \"%s\"",
         dtype_name(dtype));
}

std::unique_ptr<TrainedWeights> trainable(std::unique_ptr<TrainedWeights> weights) {
  refuse_untrainable(weights->device(), weights->dtype());
  return weights;
}

void stop_unless(const Trainer::Wanted& wanted) {
  if (wanted && !wanted()) fail(Code::kAborted, "the training step was aborted");
}

// The seed of dropout in one step.
uint64_t seed_of_step(uint64_t seed, uint64_t draw) {
  uint64_t mixed = seed + 0x9E3779B97F4A7C15u * (draw + 1);  // splitmix64
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
  return mixed ^ (mixed >> 31);
}

int64_t longest_of(const std::vector<Slab>& slabs) {
  int64_t longest = 0;
  for (const Slab& slab : slabs)
    for (const Group& group : slab.groups) longest = std::max(longest, group.builder.longest());
  return longest;
}

}  // namespace

Trainer::Trainer(std::unique_ptr<TrainedWeights> weights, std::unique_ptr<TrainedHead> head, const EncodePlan& plan,
                 std::vector<LossSpec> losses, const TrainerOptions& options)
    : weights_(trainable(std::move(weights))),
      head_(std::move(head)),
      plan_(plan),
      options_(options),
      encoder_(*weights_, plan),
      head_pass_(*head_),
      losses_(weights_->shared_device(), std::move(losses)) {
  dimension_ = head_->out_width(encoder_.pooled_width());
  for (const LossSpec& spec : losses_.losses())
    if (const auto* ranking = std::get_if<MultipleNegativesRankingLoss>(&spec.parameters))
      if (ranking->learned_scale) log_scales_.push_back(std::log(ranking->scale));
  dlog_scales_.resize(log_scales_.size());
  first_.resize(log_scales_.size());
  second_.resize(log_scales_.size());
  set_optimizer({}, {}, {});
}

void Trainer::set_optimizer(std::vector<ParameterGroup> encoder, std::vector<ParameterGroup> head,
                            const OptimizerSettings& settings) {
  std::vector<TrainedBlock> blocks = {{&weights_->values(), &weights_->gradients(), std::move(encoder)},
                                      {&head_->values(), &head_->gradients(), std::move(head)}};
  std::erase_if(blocks, [](const TrainedBlock& block) { return block.values->list().elements() == 0; });
  refuse_average("set_optimizer");
  optimizer_.reset();  // before memory is taken for the next
  optimizer_ = std::make_unique<Optimizer>(weights_->shared_device(), std::move(blocks), settings);
}

StepResult Trainer::accumulate(OpenStream& stream, const StepInput& input, const Wanted& wanted) {
  refuse_average("accumulate");
  std::vector<Slab> slabs = cut_texts(input.texts, weights_->config(), SlabSizes::of(device().backend()));
  const int64_t texts = input.texts.count(), width = encoder_.pooled_width();
  View pooled, drows;
  const auto place = [&](Layout& layout) {
    pooled = layout.rows(texts, width);
    drows = layout.rows(texts, dimension_);
  };
  Layout layout = rows_memory_.fit(device(), place);
  place(layout);

  encoder_.begin_step(stream, seed_of_step(options_.seed, input.draw), longest_of(slabs));
  const Keeping keeping{.backward = true, .recomputed = options_.recompute};
  const Keeping first = options_.gradient_cache ? Keeping{} : keeping;
  const size_t kept = options_.gradient_cache ? 1 : slabs.size();
  while (kept_.size() < kept) kept_.push_back(std::make_unique<KeptSlab>());
  const auto kept_of = [&](size_t slab) -> KeptSlab& { return *kept_[options_.gradient_cache ? 0 : slab]; };
  for (size_t i = 0; i < slabs.size(); ++i) {
    stop_unless(wanted);
    encoder_.forward(stream, slabs[i], kept_of(i), pooled, first, options_.dropout);
  }
  const View rows = head_pass_.forward(stream, pooled, texts, width, options_.normalize);
  StepResult result{.loss = run_losses(stream, input, rows, drows),
                    .tokens = static_cast<int64_t>(input.texts.ids.size())};
  const View dpooled = head_pass_.backward(stream, drows);
  for (size_t i = 0; i < slabs.size(); ++i) {
    stop_unless(wanted);
    if (options_.gradient_cache) encoder_.forward(stream, slabs[i], kept_of(i), pooled, keeping, options_.dropout);
    encoder_.backward(stream, slabs[i], kept_of(i), dpooled);
    // The slab's lists must stay until the device has read them.
    if (!device().backend().host_memory) stream.wait();
  }
  encoder_.finish_gradients(stream);
  stream.wait();
  return result;
}

LossResult Trainer::run_losses(OpenStream& stream, const StepInput& input, const View& rows, const View& drows) {
  const Backend& backend = device().backend();
  check_status(backend.axpby(stream, {.y = drows.floats(), .elements = input.texts.count() * drows.stride, .beta = 0}),
               stream, "axpby");
  float *guide = nullptr, *teacher = nullptr;
  const auto place = [&](Layout& layout) {
    guide = layout.array<float>(static_cast<int64_t>(input.guide.size()));
    teacher = layout.array<float>(static_cast<int64_t>(input.teacher.size()));
  };
  Layout layout = loss_memory_.fit(device(), place);
  place(layout);
  const auto upload = [&](float* to, const std::vector<float>& from) {
    if (from.empty()) return;
    check_status(backend.upload(stream, to, from.data(), from.size() * sizeof(float)), stream, "an upload");
  };
  upload(guide, input.guide);
  upload(teacher, input.teacher);

  std::vector<LossColumn> columns;
  for (int64_t column = 0; column < input.columns; ++column) {
    const int64_t first = column * input.rows;
    columns.push_back({.x = rows.from_row(first).floats(),
                       .x_stride = rows.stride,
                       .dx = drows.from_row(first).floats(),
                       .dx_stride = drows.stride,
                       .guide = input.guide.empty() ? nullptr : guide + first * input.guide_width,
                       .guide_stride = input.guide_width});
  }
  LossResult result = losses_.run(stream, {.columns = columns,
                                           .rows = input.rows,
                                           .width = dimension_,
                                           .labels = input.labels,
                                           .label_width = input.label_width,
                                           .text_ids = input.text_ids,
                                           .groups = input.groups,
                                           .log_scales = log_scales_,
                                           .guide_width = input.guide_width,
                                           .teacher = input.teacher.empty() ? nullptr : teacher,
                                           .teacher_columns = input.teacher_columns,
                                           .teacher_width = input.teacher_width,
                                           .draw = input.draw});
  if (const LossPart* part = result.non_finite()) {
    std::string where;
    for (size_t i = 0; i < std::min<size_t>(part->non_finite_rows.size(), 8); ++i)
      where += (i == 0 ? " (rows " : ", ") + std::to_string(part->non_finite_rows[i]);
    if (!where.empty()) where += part->non_finite_rows.size() > 8 ? ", ...)" : ")";
    fail(Code::kNonFinite, "the loss %s is %g%s", part->name.c_str(), part->value, where.c_str());
  }
  for (size_t i = 0; i < dlog_scales_.size(); ++i) dlog_scales_[i] += result.dlog_scales[i];
  return result;
}

double Trainer::update(OpenStream& stream, double rate, double factor) {
  refuse_average("update");
  double squares = std::pow(optimizer_->gradient_norm(stream), 2);
  for (const double gradient : dlog_scales_) squares += gradient * gradient;
  const double norm = std::sqrt(squares) * factor;
  if (!std::isfinite(norm)) fail(Code::kNonFinite, "the norm of the gradients is %g", norm);
  optimizer_->step(stream, rate, norm, factor);
  update_scales(rate);
  follow_values(stream);
  optimizer_->clear_gradients(stream);
  stream.wait();
  return norm;
}

// Adam without decay; scales are limited to 100, as CLIP does.
void Trainer::update_scales(double rate) {
  const double count = static_cast<double>(optimizer_->steps()), beta1 = 0.9, beta2 = 0.999;
  for (size_t i = 0; i < log_scales_.size(); ++i) {
    first_[i] += (1 - beta1) * (dlog_scales_[i] - first_[i]);
    second_[i] = beta2 * second_[i] + (1 - beta2) * dlog_scales_[i] * dlog_scales_[i];
    const double length = std::sqrt(second_[i] / (1 - std::pow(beta2, count))) + 1e-8;
    log_scales_[i] -= rate * first_[i] / (1 - std::pow(beta1, count)) / length;
    log_scales_[i] = std::min(log_scales_[i], std::log(100.0));
    dlog_scales_[i] = 0;
  }
}

std::vector<double> Trainer::host_state() const {
  std::vector<double> state = {static_cast<double>(optimizer_->steps())};
  for (const auto* list : {&log_scales_, &first_, &second_}) state.insert(state.end(), list->begin(), list->end());
  return state;
}

void Trainer::set_host_state(const std::vector<double>& state) {
  optimizer_->set_steps(static_cast<int64_t>(state.front()));
  auto at = state.begin() + 1;
  for (auto* list : {&log_scales_, &first_, &second_})
    for (double& value : *list) value = *at++;
}

void Trainer::follow_values(Stream& stream) {
  weights_->follow_values(stream);
  head_->follow_values(stream);
}

void Trainer::use_average(OpenStream& stream, bool use) {
  if (!optimizer_->has_average()) fail(Code::kInvalidOption, "the run keeps no average of its weights");
  if (use == uses_average_) return;
  optimizer_->swap_averages(stream);
  uses_average_ = use;
  follow_values(stream);
  stream.wait();
}

void Trainer::refuse_average(const char* call) const {
  if (uses_average_) fail(Code::kInternal, "%s was called while the average is in the place of the weights", call);
}

void Trainer::encode(OpenStream& stream, const StepTexts& texts, float* rows, const Wanted& wanted) {
  std::vector<Slab> slabs = cut_texts(texts, weights_->config(), SlabSizes::of(device().backend()));
  View pooled;
  const auto place = [&](Layout& layout) { pooled = layout.rows(texts.count(), encoder_.pooled_width()); };
  Layout layout = rows_memory_.fit(device(), place);
  place(layout);
  if (kept_.empty()) kept_.push_back(std::make_unique<KeptSlab>());
  encoder_.begin_step(stream, 0, longest_of(slabs));
  for (Slab& slab : slabs) {
    stop_unless(wanted);
    encoder_.forward(stream, slab, *kept_.front(), pooled, Keeping{}, false);
    if (!device().backend().host_memory) stream.wait();
  }
  const View out = head_pass_.forward(stream, pooled, texts.count(), encoder_.pooled_width(), options_.normalize);
  check_status(device().backend().download(stream, rows, out.data,
                                           static_cast<size_t>(texts.count() * dimension_) * sizeof(float)),
               stream, "a download");
  stream.wait();
}

size_t Trainer::activation_bytes() const {
  size_t bytes = rows_memory_.bytes() + loss_memory_.bytes() + losses_.bytes() + encoder_.scratch_bytes();
  for (const auto& kept : kept_) bytes += kept->workspace.bytes();
  return bytes;
}

}  // namespace embedcore
