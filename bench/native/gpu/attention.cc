// Attention over packed texts of one length, and of mixed lengths, with the heads of each model.
#include "ops/attention.h"

#include <cmath>

#include "base/error.h"
#include "numbers.h"
#include "record.h"
#include "sampling.h"
#include "shapes.h"
#include "target.h"

namespace embedcore::gpu_bench {

namespace {

struct Case {
  const ModelShape& model;
  const Texts& texts;
  DType dtype;

  Record record() const {
    return Record()
        .text("kernel", "attention")
        .text("dtype", dtype_name(dtype))
        .text("model", model.name)
        .text("texts", texts.name)
        .number("tokens", texts.tokens())
        .number("heads", model.heads)
        .number("kvHeads", model.kv_heads)
        .number("headDim", model.head_dim())
        .flag("causal", model.decoder);
  }
};

void run_case(OpenStream& stream, const Sampling& sampling, const Case& one) {
  const OpenDevice& device = stream.opened();
  const Backend& backend = device.backend();
  const ModelShape& m = one.model;
  const int64_t tokens = one.texts.tokens(), width = m.heads * m.head_dim();
  std::vector<int32_t> offsets{0};
  int32_t longest = 0;
  for (const int32_t n : one.texts.lengths) {
    offsets.push_back(offsets.back() + n);
    longest = std::max(longest, n);
  }
  const auto texts = static_cast<int64_t>(one.texts.lengths.size());
  std::vector<int32_t> plan;
  if (backend.plan_attention) {
    plan.resize(static_cast<size_t>(backend.plan_attention(offsets.data(), texts, nullptr)));
    backend.plan_attention(offsets.data(), texts, plan.data());
  }
  const DeviceArray<int32_t> offsets_there(device, offsets), plan_there(device, plan);
  const auto qkv = random_rows(stream, tokens * m.qkv(), one.dtype, 1);
  const auto y = device.allocate(static_cast<size_t>(tokens * width) * dtype_size(one.dtype));
  // Without norms and rotation of q and k, which would change qkv at every call.
  const AttentionArgs args{.qkv = qkv.get(),
                           .qkv_stride = m.qkv(),
                           .y = y.get(),
                           .y_stride = width,
                           .offsets = offsets_there.data(),
                           .texts = texts,
                           .longest = longest,
                           .plan = plan_there.data(),
                           .host_plan = plan.empty() ? nullptr : plan.data(),
                           .heads = m.heads,
                           .kv_heads = m.kv_heads,
                           .head_dim = m.head_dim(),
                           .scale = 1 / std::sqrt(static_cast<float>(m.head_dim())),
                           .mask = m.decoder ? Mask::kCausal : Mask::kBidirectional,
                           .dtype = one.dtype};
  const Timing timing = measure(stream, sampling, 1, [&](Stream& at, int) { return backend.attention(at, args); });
  const double operations = m.attention_operations(one.texts.lengths) / static_cast<double>(m.layers);
  one.record()
      .real("seconds", timing.median)
      .real("least", timing.least)
      .real("most", timing.most)
      .number("samples", timing.samples)
      .number("calls", timing.calls)
      .flag("graph", timing.recorded)
      .real("operationsPerSecond", operations / timing.median)
      .print();
}

}  // namespace

int attention_mode(const Options& options) {
  const DevicePointer device = OpenDevice::open(find_backend(options));
  OpenStream stream(device);
  const Deadline deadline(options.seconds);
  const Sampling sampling(options.tiny);
  int failed = 0;
  for (const DType dtype : options.dtypes) {
    if (dtype == DType::kI8 || !device->supports(dtype)) continue;  // attention has no int8
    for (const ModelShape& model : models(options.tiny)) {
      if (!options.wants(model.name)) continue;
      for (const Texts& texts : attention_texts(options.tiny, options.batch_tokens())) {
        const Case one{model, texts, dtype};
        if (deadline.passed()) {
          one.record().text("leftOut", "the time was over").print();
          continue;
        }
        try {
          run_case(stream, sampling, one);
        } catch (const Error& error) {
          const bool memory = error.code == Code::kOutOfMemory;
          one.record().text(memory ? "leftOut" : "error", error.what()).print();
          if (!memory) ++failed;
          if (error.code == Code::kDevice) return failed;
        }
      }
    }
  }
  return failed;
}

}  // namespace embedcore::gpu_bench
