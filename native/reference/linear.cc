// ops/linear.h. "Packing" rounds each weight to the dtype and keeps it as a float.
#include "reference/linear.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "ops/checks.h"
#include "reference/activation.h"
#include "reference/ops.h"

namespace embedcore::reference {
namespace {

void pack_row(const Packed& packed, const LinearWeights& w, int64_t o) {
  float* to = packed.weight + o * packed.in;
  const auto* row =
      static_cast<const std::byte*>(w.weight) + static_cast<size_t>(o * w.in) * dtype_size(w.weight_dtype);
  to_float32(row, w.weight_dtype, to, static_cast<size_t>(w.in));
  for (int64_t k = 0; k < packed.in; ++k) to[k] = rounded(to[k], packed.dtype);
  if (packed.dtype == DType::kI8) {
    const auto smoothed = [&](int64_t k) { return w.smoothing ? to[k] * w.smoothing[k] : to[k]; };
    float greatest = 0;
    for (int64_t k = 0; k < packed.in; ++k) greatest = std::max(greatest, std::abs(smoothed(k)));
    const float inverse = greatest > 1e-30f ? 127.0f / greatest : 0.0f;
    packed.scale[o] = greatest / 127.0f;
    for (int64_t k = 0; k < packed.in; ++k) to[k] = std::nearbyint(smoothed(k) * inverse);
  }
}

// The row in the dtype: values of a float type, or u - zero in int8. Returns the factor for the sums.
double round_row(const LinearArgs& args, int64_t row, std::vector<float>& x) {
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  for (int64_t k = 0; k < packed.in; ++k)
    x[static_cast<size_t>(k)] = read(args.x, args.x_dtype, row * args.x_stride + k);
  for (float& value : x) value = rounded(value, packed.dtype);
  if (packed.dtype != DType::kI8) return 1.0;
  for (int64_t k = 0; k < packed.in; ++k) x[static_cast<size_t>(k)] *= packed.reciprocal[k];
  float low = 0, high = 0;
  bool finite = true;
  for (const float value : x) {
    low = std::min(low, value);
    high = std::max(high, value);
    finite = finite && std::isfinite(value);
  }
  const RowRange range = row_range(low, high);
  for (float& value : x)
    value = finite ? std::clamp(std::nearbyint(value * range.inverse) + static_cast<float>(range.zero), 0.0f, 255.0f) -
                         static_cast<float>(range.zero)
                   : 0.0f;
  return finite ? range.step : std::numeric_limits<double>::quiet_NaN();
}

// sums[first + o] += scale d(x) A^T B^T of one part and row. middle: room for the rank.
void add_part(const LinearArgs& args, const LoraPart& part, int64_t row, std::vector<double>& middle,
              std::vector<double>& sums) {
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  const DType dtype = lora_dtype(packed);
  for (int64_t j = 0; j < part.rank; ++j) {
    double sum = 0;
    for (int64_t k = 0; k < packed.in; ++k) {
      const double x = dropped(part.dropout, row, k, read(args.x, args.x_dtype, row * args.x_stride + k));
      sum += rounded(static_cast<float>(x), dtype) * lora_a(part, packed, j, k);
    }
    if (part.middle) part.middle[row * part.rank + j] = static_cast<float>(sum);
    middle[static_cast<size_t>(j)] = dtype == DType::kF32 ? sum : rounded(static_cast<float>(sum), dtype);
  }
  for (int64_t o = 0; o < part.count; ++o)
    for (int64_t j = 0; j < part.rank; ++j)
      sums[static_cast<size_t>(part.first + o)] += middle[static_cast<size_t>(j)] * lora_b(part, packed, o, j);
}

}  // namespace

Status pack_linear(Device* device, const LinearWeights& w, PackedLinear** out) {
  if (!can_pack(device, w, supports, kTakesTraining)) return kBadArgument;
  auto* packed = new (std::nothrow) Packed{};
  if (!packed) return kOutOfMemory;
  const size_t elements = static_cast<size_t>(w.out * w.in), outputs = static_cast<size_t>(w.out);
  packed->in = w.in;
  packed->out = w.out;
  packed->dtype = w.dtype;
  packed->backward = w.use == LinearUse::kForwardAndBackward;
  packed->bytes = (elements + 2 * outputs + static_cast<size_t>(w.in)) * sizeof(float);
  packed->weight = static_cast<float*>(::operator new(packed->bytes, std::nothrow));
  if (!packed->weight) {
    delete packed;
    return kOutOfMemory;
  }
  packed->bias = packed->weight + elements;
  packed->scale = packed->bias + outputs;
  std::fill_n(packed->scale, outputs, 1.0f);
  packed->reciprocal = packed->scale + outputs;
  for (int64_t k = 0; k < w.in; ++k) packed->reciprocal[k] = w.smoothing ? 1.0f / w.smoothing[k] : 1.0f;
  for (int64_t o = 0; o < w.out; ++o) {
    packed->bias[o] = w.bias ? w.bias[o] : 0.0f;
    pack_row(*packed, w, o);
  }
  *out = packed;
  return kOk;
}

void free_linear(PackedLinear* base) {
  if (!base) return;
  auto* packed = static_cast<Packed*>(base);
  ::operator delete(packed->weight);
  delete packed;
}

Status repack_linear(Stream& stream, PackedLinear* base, const float* weight, const float* bias) {
  if (!can_repack(stream, base, weight, bias)) return kBadArgument;
  const Packed& packed = *static_cast<const Packed*>(base);
  const LinearWeights w{.weight = weight, .in = packed.in, .out = packed.out, .dtype = packed.dtype};
  for (int64_t o = 0; o < packed.out; ++o) {
    if (bias) packed.bias[o] = bias[o];
    if (weight) pack_row(packed, w, o);
  }
  return kOk;
}

Status linear(Stream& stream, const LinearArgs& args) {
  if (!can_run(stream, args, supports, kTakesTraining)) return kBadArgument;
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  int64_t most_rank = 0;
  for (int32_t i = 0; i < args.lora_parts; ++i) most_rank = std::max(most_rank, args.lora[i].rank);
  std::vector<float> x;
  std::vector<double> sums, middle;
  try {
    x.resize(static_cast<size_t>(packed.in));
    sums.resize(static_cast<size_t>(packed.out));
    middle.resize(static_cast<size_t>(most_rank));
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
  for (int64_t row = 0; row < args.rows; ++row) {
    const double step = round_row(args, row, x);
    for (int64_t o = 0; o < packed.out; ++o) {
      const float* weight = packed.weight + o * packed.in;
      double sum = 0;
      for (int64_t k = 0; k < packed.in; ++k) sum += static_cast<double>(x[static_cast<size_t>(k)]) * weight[k];
      sums[static_cast<size_t>(o)] = sum * step * packed.scale[o];
    }
    for (int32_t i = 0; i < args.lora_parts; ++i) add_part(args, args.lora[i], row, middle, sums);
    for (int64_t o = 0; o < packed.out; ++o) {
      double value = activate(args.activation, sums[static_cast<size_t>(o)] + packed.bias[o]);
      value = dropped(args.dropout, row, o, value);
      if (args.residual) value += args.residual[row * args.residual_stride + o];
      write(args.y, args.y_dtype, row * args.y_stride + o, value);
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
