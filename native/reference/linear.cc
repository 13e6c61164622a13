// ops/linear.h. "Packing" rounds each weight to the dtype and keeps it as a float.
#include "ops/linear.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "ops/checks.h"
#include "reference/activation.h"
#include "reference/ops.h"
#include "reference/rows.h"

namespace embedcore::reference {
namespace {

struct Packed : PackedLinear {
  float* weight;      // [out, in]; int8: whole numbers
  float* bias;        // [out]
  float* scale;       // [out]; int8 only
  float* reciprocal;  // [in]: 1 / smoothing
};

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

}  // namespace

Status pack_linear(Device* device, const LinearWeights& w, PackedLinear** out) {
  if (!can_pack(device, w, supports)) return kBadArgument;
  auto* packed = new (std::nothrow) Packed{};
  if (!packed) return kOutOfMemory;
  const size_t elements = static_cast<size_t>(w.out * w.in), outputs = static_cast<size_t>(w.out);
  packed->in = w.in;
  packed->out = w.out;
  packed->dtype = w.dtype;
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

Status linear(Stream& stream, const LinearArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  std::vector<float> x;
  try {
    x.resize(static_cast<size_t>(packed.in));
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
  for (int64_t row = 0; row < args.rows; ++row) {
    const double step = round_row(args, row, x);
    for (int64_t o = 0; o < packed.out; ++o) {
      const float* weight = packed.weight + o * packed.in;
      double sum = 0;
      for (int64_t k = 0; k < packed.in; ++k) sum += static_cast<double>(x[static_cast<size_t>(k)]) * weight[k];
      double value = activate(args.activation, sum * step * packed.scale[o] + packed.bias[o]);
      if (args.residual) value += args.residual[row * args.residual_stride + o];
      write(args.y, args.y_dtype, row * args.y_stride + o, value);
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
