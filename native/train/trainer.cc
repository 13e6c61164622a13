#include "train/trainer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/fuse.h"
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
  dlog_scales_.assign(static_cast<size_t>(std::max<int64_t>(options.slots, 1)),
                      std::vector<double>(log_scales_.size()));
  first_.resize(log_scales_.size());
  second_.resize(log_scales_.size());
  slots_ = std::make_unique<SlotSums>(weights_->shared_device(),
                                      std::vector{&weights_->gradients(), &head_->gradients()}, options.slots);
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

// One slot of a step on its way: its texts in the order of columns and rows.
struct Trainer::Slot {
  SlotRows rows;
  StepTexts texts;
  std::vector<Slab> slabs;
  int64_t first_text = 0;  // texts of the slots before
  size_t first_slab = 0;
};

// Rows of all texts. With several slots, `pooled` and `drows` are slot after slot and the others in the order of the
// step.
struct Trainer::Rows {
  View pooled, drows;
  View gathered, dgathered, part;  // null with one slot, whose order is that of the step
};

std::vector<Trainer::Slot> Trainer::cut_slots(const StepInput& input) const {
  std::vector<Slot> slots;
  int64_t first_text = 0;
  size_t first_slab = 0;
  for (const SlotRows& rows : cut_rows(input.rows, options_.slots)) {
    Slot& slot = slots.emplace_back();
    slot.rows = rows;
    slot.first_text = first_text;
    slot.first_slab = first_slab;
    for (int64_t column = 0; column < input.columns; ++column)
      for (int64_t row = rows.begin; row < rows.begin + rows.count; ++row) {
        const int64_t text = column * input.rows + row;
        slot.texts.add(input.texts.text(text), input.texts.skip[static_cast<size_t>(text)],
                       input.texts.prefix[static_cast<size_t>(text)]);
        slot.texts.numbers.push_back(static_cast<int32_t>(text));
      }
    slot.slabs = cut_texts(slot.texts, weights_->config(), SlabSizes::of(device().backend()), weights_->only_token());
    first_text += slot.texts.count();
    first_slab += slot.slabs.size();
  }
  return slots;
}

Trainer::Rows Trainer::place_rows(int64_t texts) {
  Rows at;
  const auto place = [&](Layout& layout) {
    at.pooled = layout.rows(texts, encoder_.pooled_width());
    at.drows = layout.rows(texts, dimension_);
    if (options_.slots == 1) return;
    for (View* view : {&at.gathered, &at.dgathered, &at.part}) *view = layout.rows(texts, dimension_);
  };
  Layout layout = rows_memory_.fit(device(), place);
  place(layout);
  return at;
}

StepResult Trainer::accumulate(OpenStream& stream, const StepInput& input, const Wanted& wanted) {
  refuse_average("accumulate");
  std::vector<Slot> slots = cut_slots(input);
  const int64_t texts = input.texts.count(), width = encoder_.pooled_width();
  const Rows at = place_rows(texts);
  int64_t longest = 0;
  for (const Slot& slot : slots) longest = std::max(longest, longest_of(slot.slabs));
  const uint64_t seed = seed_of_step(options_.seed, input.draw);

  encoder_.begin_step(stream, seed, longest);
  const Keeping keeping{.backward = true, .recomputed = options_.recompute};
  const Keeping first = options_.gradient_cache ? Keeping{} : keeping;
  const size_t kept = options_.gradient_cache ? 1 : slots.back().first_slab + slots.back().slabs.size();
  while (kept_.size() < kept) kept_.push_back(std::make_unique<KeptSlab>());
  const auto kept_of = [&](const Slot& slot, size_t slab) -> KeptSlab& {
    return *kept_[options_.gradient_cache ? 0 : slot.first_slab + slab];
  };
  for (Slot& slot : slots)
    for (size_t i = 0; i < slot.slabs.size(); ++i) {
      stop_unless(wanted);
      encoder_.forward(stream, slot.slabs[i], kept_of(slot, i), at.pooled.from_row(slot.first_text), first,
                       options_.dropout);
    }
  const View rows = head_pass_.forward(stream, at.pooled, texts, width, options_.normalize);
  StepResult result{.loss = run_losses(stream, input, slots, at, rows),
                    .tokens = static_cast<int64_t>(input.texts.ids.size())};
  for (size_t number = 0; number < slots.size(); ++number) {
    Slot& slot = slots[number];
    if (slot.rows.count == 0) continue;
    slots_->begin(stream, static_cast<int64_t>(number));
    if (slots.size() > 1) encoder_.begin_step(stream, seed, longest);  // what is summed over a step, for this slot
    const View dpooled =
        head_pass_.backward(stream, at.drows.from_row(slot.first_text), slot.first_text, slot.texts.count());
    for (size_t i = 0; i < slot.slabs.size(); ++i) {
      stop_unless(wanted);
      Slab& slab = slot.slabs[i];
      KeptSlab& own = kept_of(slot, i);
      if (options_.gradient_cache)
        encoder_.forward(stream, slab, own, at.pooled.from_row(slot.first_text), keeping, options_.dropout);
      encoder_.backward(stream, slab, own, dpooled);
      // The slab's lists must stay until the device has read them.
      if (!device().backend().host_memory) stream.wait();
    }
    encoder_.finish_gradients(stream);
    slots_->end(stream, static_cast<int64_t>(number));
  }
  stream.wait();
  return result;
}

void Trainer::to_step_order(Stream& stream, const StepInput& input, const std::vector<Slot>& slots, const View& by_slot,
                            const View& by_step, bool back) const {
  for (const Slot& slot : slots)
    for (int64_t column = 0; column < input.columns && slot.rows.count > 0; ++column) {
      const View own = by_slot.from_row(slot.first_text + column * slot.rows.count),
                 step = by_step.from_row(column * input.rows + slot.rows.begin);
      const View &from = back ? step : own, &to = back ? own : step;
      check_status(device().backend().fuse(stream, {.x = from.floats(),
                                                    .x_stride = from.stride,
                                                    .y = to.floats(),
                                                    .y_stride = to.stride,
                                                    .rows = slot.rows.count,
                                                    .width = dimension_,
                                                    .first = true}),
                   stream, "fuse");
    }
}

// Each slot's losses have gradients of their own for all texts, which are added in the order of the slots.
LossResult Trainer::run_losses(OpenStream& stream, const StepInput& input, const std::vector<Slot>& slots,
                               const Rows& at, const View& rows) {
  const Backend& backend = device().backend();
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

  const bool several = slots.size() > 1;
  if (several) to_step_order(stream, input, slots, rows, at.gathered, false);
  const View x = several ? at.gathered : rows, total = several ? at.dgathered : at.drows;
  const int64_t elements = input.texts.count() * dimension_;
  LossResult result;
  bool first = true;
  for (size_t slot = 0; slot < slots.size(); ++slot) {
    if (slots[slot].rows.count == 0) continue;
    const View dx = first ? total : at.part;
    check_status(backend.axpby(stream, {.y = dx.floats(), .elements = elements, .beta = 0}), stream, "axpby");
    std::vector<LossColumn> columns;
    for (int64_t column = 0; column < input.columns; ++column) {
      const int64_t row = column * input.rows;
      columns.push_back({.x = x.from_row(row).floats(),
                         .x_stride = x.stride,
                         .dx = dx.from_row(row).floats(),
                         .dx_stride = dx.stride,
                         .guide = input.guide.empty() ? nullptr : guide + row * input.guide_width,
                         .guide_stride = input.guide_width});
    }
    LossResult part = losses_.run(stream, {.columns = columns,
                                           .rows = input.rows,
                                           .width = dimension_,
                                           .begin = slots[slot].rows.begin,
                                           .count = slots[slot].rows.count,
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
    refuse_non_finite(part);
    for (size_t i = 0; i < part.dlog_scales.size(); ++i) dlog_scales_[slot][i] += part.dlog_scales[i];
    if (first) {
      result = std::move(part);
    } else {
      check_status(backend.axpby(stream, {.x = dx.floats(), .y = total.floats(), .elements = elements, .beta = 1}),
                   stream, "axpby");
      result.loss += part.loss;
      for (size_t i = 0; i < part.parts.size(); ++i) result.parts[i].value += part.parts[i].value;
    }
    first = false;
  }
  if (several) to_step_order(stream, input, slots, at.drows, at.dgathered, true);
  return result;
}

void Trainer::refuse_non_finite(const LossResult& result) const {
  const LossPart* part = result.non_finite();
  if (!part) return;
  std::string where;
  for (size_t i = 0; i < std::min<size_t>(part->non_finite_rows.size(), 8); ++i)
    where += (i == 0 ? " (rows " : ", ") + std::to_string(part->non_finite_rows[i]);
  if (!where.empty()) where += part->non_finite_rows.size() > 8 ? ", ...)" : ")";
  fail(Code::kNonFinite, "the loss %s is %g%s", part->name.c_str(), part->value, where.c_str());
}

double Trainer::update(OpenStream& stream, double rate, double factor) {
  refuse_average("update");
  slots_->add_up(stream);
  double squares = std::pow(optimizer_->gradient_norm(stream), 2);
  const std::vector<double> scales = scale_gradients();
  for (const double gradient : scales) squares += gradient * gradient;
  const double norm = std::sqrt(squares) * factor;
  if (!std::isfinite(norm)) fail(Code::kNonFinite, "the norm of the gradients is %g", norm);
  optimizer_->step(stream, rate, norm, factor);
  update_scales(rate, scales);
  follow_values(stream);
  clear_gradients(stream);
  stream.wait();
  return norm;
}

void Trainer::clear_gradients(OpenStream& stream) {
  optimizer_->clear_gradients(stream);
  slots_->clear(stream);
  for (std::vector<double>& slot : dlog_scales_) std::fill(slot.begin(), slot.end(), 0.0);
}

std::vector<double> Trainer::scale_gradients() const {
  std::vector<double> sums = dlog_scales_.front();
  for (size_t slot = 1; slot < dlog_scales_.size(); ++slot)
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += dlog_scales_[slot][i];
  return sums;
}

// Adam without decay; scales are limited to 100, as CLIP does.
void Trainer::update_scales(double rate, const std::vector<double>& gradients) {
  const double count = static_cast<double>(optimizer_->steps()), beta1 = 0.9, beta2 = 0.999;
  for (size_t i = 0; i < log_scales_.size(); ++i) {
    first_[i] += (1 - beta1) * (gradients[i] - first_[i]);
    second_[i] = beta2 * second_[i] + (1 - beta2) * gradients[i] * gradients[i];
    const double length = std::sqrt(second_[i] / (1 - std::pow(beta2, count))) + 1e-8;
    log_scales_[i] -= rate * first_[i] / (1 - std::pow(beta1, count)) / length;
    log_scales_[i] = std::min(log_scales_[i], std::log(100.0));
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
