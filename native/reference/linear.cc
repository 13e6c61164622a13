// ops/linear.h. "Packing" is a copy.
#include "ops/linear.h"

#include <algorithm>
#include <new>

#include "reference/activation.h"
#include "reference/ops.h"

namespace embedcore::reference {
namespace {

struct Packed : PackedLinear {
  float* weight;  // [out, in]
  float* bias;    // [out]
};

}  // namespace

PackedLinear* pack_linear(const LinearWeights& w) {
  auto* packed = new (std::nothrow) Packed{};
  if (!packed) return nullptr;
  const size_t elements = static_cast<size_t>(w.out * w.in), out = static_cast<size_t>(w.out);
  packed->in = w.in;
  packed->out = w.out;
  packed->bytes = (elements + out) * sizeof(float);
  packed->weight = static_cast<float*>(::operator new(packed->bytes, std::nothrow));
  if (!packed->weight) {
    delete packed;
    return nullptr;
  }
  packed->bias = packed->weight + elements;
  std::copy_n(w.weight, elements, packed->weight);
  if (w.bias)
    std::copy_n(w.bias, out, packed->bias);
  else
    std::fill_n(packed->bias, out, 0.0f);
  return packed;
}

void free_linear(PackedLinear* base) {
  if (!base) return;
  auto* packed = static_cast<Packed*>(base);
  ::operator delete(packed->weight);
  delete packed;
}

Status linear(Scope&, const LinearArgs& args) {
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    for (int64_t o = 0; o < packed.out; ++o) {
      const float* weight = packed.weight + o * packed.in;
      double sum = packed.bias[o];
      for (int64_t k = 0; k < packed.in; ++k) sum += static_cast<double>(x[k]) * weight[k];
      double value = activate(args.activation, sum);
      if (args.residual) value += args.residual[row * args.residual_stride + o];
      args.y[row * args.y_stride + o] = static_cast<float>(value);
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
