#include "train/loss_runner.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "train/loss_context.h"

namespace embedcore {

namespace {

// Which dimensions of a step: all, or as many as are wanted, drawn from its number (SplitMix64).
std::vector<size_t> drawn_dims(const MatryoshkaDims& m, uint64_t draw) {
  std::vector<size_t> dims(m.dims.size());
  std::iota(dims.begin(), dims.end(), size_t{0});
  const auto wanted = static_cast<size_t>(std::max<int64_t>(m.n_dims_per_step, 0));
  if (m.n_dims_per_step < 0 || wanted >= dims.size()) return dims;
  for (size_t i = 0; i < wanted; ++i) {
    draw += 0x9e3779b97f4a7c15;
    uint64_t z = draw;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    std::swap(dims[i], dims[i + (z ^ z >> 31) % (dims.size() - i)]);
  }
  dims.resize(wanted);
  std::sort(dims.begin(), dims.end());
  return dims;
}

void add_whole(LossContext& context, const LossSpec& spec) {
  std::visit([&](const auto& loss) { add_loss(context, loss); }, spec.parameters);
}

// Of prefixes of the embeddings, normalised.
void add_matryoshka(LossContext& context, const LossSpec& spec) {
  LossOps& ops = context.ops;
  const LossBatch& batch = context.batch;
  const MatryoshkaDims& m = spec.matryoshka;
  const double weight = context.weight;
  double value = 0, dlog_scale = 0;
  for (const size_t i : drawn_dims(m, batch.draw)) {
    const size_t mark = ops.layout().mark();
    const int64_t dim = m.dims[i];
    const double dim_weight = m.weights.empty() ? 1 : m.weights[i];
    std::vector<View> prefixes, gradients;
    std::vector<const float*> lengths;
    LossContext inner{.ops = ops,
                      .batch = batch,
                      .columns = batch.columns.empty() ? std::vector<LossColumn>{}
                                                       : std::vector(batch.columns.begin(), batch.columns.end()),
                      .width = dim,
                      .unit = true,
                      .weight = weight * dim_weight,
                      .log_scale = context.log_scale,
                      .non_finite_rows = {}};
    for (size_t column = 0; column < inner.columns.size(); ++column) {
      prefixes.push_back(ops.rows(batch.rows, dim));
      ops.copy(context.x(column, 0), prefixes.back(), batch.rows, dim);
      lengths.push_back(ops.normalize(prefixes.back(), batch.rows, dim));
      gradients.push_back(ops.zeros(batch.rows, dim));
      LossColumn& own = inner.columns[column];
      own.x = prefixes.back().floats();
      own.dx = gradients.back().floats();
      own.x_stride = own.dx_stride = dim;
    }
    add_whole(inner, spec);
    for (size_t column = 0; column < inner.columns.size(); ++column) {
      ops.normalize_gradient(prefixes[column], lengths[column], gradients[column], batch.rows, dim);
      ops.add(gradients[column], context.dx(column, 0), batch.rows, dim);
    }
    value += dim_weight * inner.value;
    dlog_scale += inner.dlog_scale;
    context.non_finite_rows.insert(context.non_finite_rows.end(), inner.non_finite_rows.begin(),
                                   inner.non_finite_rows.end());
    ops.layout().rewind(mark);
  }
  context.value = value;
  context.dlog_scale = dlog_scale;
}

bool has_learned_scale(const LossSpec& spec) {
  const auto* loss = std::get_if<MultipleNegativesRankingLoss>(&spec.parameters);
  return loss && loss->learned_scale;
}

LossResult run_all(LossOps& ops, const std::vector<LossSpec>& losses, const LossBatch& batch) {
  LossResult result;
  size_t learned = 0;
  for (const LossSpec& spec : losses) {
    const size_t mark = ops.layout().mark();
    LossContext context{.ops = ops,
                        .batch = batch,
                        .columns = std::vector(batch.columns.begin(), batch.columns.end()),
                        .width = batch.width,
                        .weight = spec.weight,
                        .non_finite_rows = {}};
    const bool learns = has_learned_scale(spec);
    if (learns) context.log_scale = batch.log_scales[learned++];
    if (spec.matryoshka.dims.empty())
      add_whole(context, spec);
    else
      add_matryoshka(context, spec);
    if (learns) result.dlog_scales.push_back(context.dlog_scale);
    std::vector<int64_t>& rows = context.non_finite_rows;
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    result.loss += spec.weight * context.value;
    result.parts.push_back(
        {spec.name.empty() ? loss_name(spec.parameters) : spec.name, spec.weight, context.value, std::move(rows)});
    ops.layout().rewind(mark);
  }
  return result;
}

}  // namespace

const LossPart* LossResult::non_finite() const {
  for (const LossPart& part : parts)
    if (!std::isfinite(part.value)) return &part;
  return nullptr;
}

LossRunner::LossRunner(DevicePointer device, std::vector<LossSpec> losses)
    : device_(std::move(device)), losses_(std::move(losses)) {
  const Backend& backend = device_->backend();
  if (losses_.empty()) fail(Code::kInvalidOption, "Expected at least one loss but received none");
  for (const LossSpec& spec : losses_) {
    check_loss(spec);
    const bool in_batch = std::holds_alternative<MultipleNegativesRankingLoss>(spec.parameters) ||
                          std::holds_alternative<GISTEmbedLoss>(spec.parameters);
    const bool mined = std::holds_alternative<BatchTripletLoss>(spec.parameters);
    const std::pair<const char*, bool> needed[] = {
        {"contrastive", !in_batch || backend.contrastive},
        {"triplet", !mined || backend.triplet},
        {"pair_scores", in_batch || mined || backend.pair_scores},
        {"pair_gradient", backend.pair_gradient != nullptr},
        {"squared_error", backend.squared_error != nullptr},
        {"normalize_gradient", backend.normalize_gradient != nullptr},
        {"axpby", backend.axpby != nullptr},
    };
    for (const auto& [operation, is_there] : needed)
      if (!is_there)
        fail(Code::kDevice, "the backend %s has no operation %s, which %s needs", backend.name, operation,
             loss_name(spec.parameters));
  }
}

int64_t LossRunner::learned_scales() const { return std::count_if(losses_.begin(), losses_.end(), has_learned_scale); }

LossResult LossRunner::run(OpenStream& stream, const LossBatch& given) {
  LossBatch batch = given;
  if (batch.count < 0) batch.count = batch.rows - batch.begin;
  for (const LossSpec& spec : losses_) {
    check_batch(spec.parameters, batch);
    for (const int64_t dim : spec.matryoshka.dims)
      if (dim > batch.width)
        fail(Code::kInvalidOption,
             "Expected a Matryoshka dimension of %s of at most %lld, the embeddings' width, but received %lld",
             loss_name(spec.parameters), static_cast<long long>(batch.width), static_cast<long long>(dim));
  }
  if (static_cast<int64_t>(batch.log_scales.size()) != learned_scales())
    fail(Code::kInvalidOption, "Expected a log scale for each of the %lld learned scales but received %zu",
         static_cast<long long>(learned_scales()), batch.log_scales.size());
  for (const double log_scale : batch.log_scales)
    if (!std::isfinite(log_scale))
      fail(Code::kNonFinite, "Expected a finite log scale of a loss but received %g", log_scale);
  const Backend& backend = device_->backend();
  const Layout layout = workspace_.fit(*device_, [&](Layout& measured) {
    LossOps ops(backend, nullptr, measured);
    run_all(ops, losses_, batch);
    measured = ops.layout();
  });
  LossOps ops(backend, &stream, layout);
  try {
    LossResult result = run_all(ops, losses_, batch);
    stream.wait();
    return result;
  } catch (...) {
    backend.wait(stream);  // what was launched reads lists of `ops`
    throw;
  }
}

}  // namespace embedcore
