// The gradients of ops/linear.h.
#include <algorithm>
#include <new>
#include <vector>

#include "ops/checks.h"
#include "reference/linear.h"
#include "reference/ops.h"

namespace embedcore::reference {
namespace {

// sums[k] += d(scale dz B A) of one part and row, and the part's middle.
void add_part(const LinearInputGradientArgs& args, const LoraPart& part, int64_t row, std::vector<double>& sums) {
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  float* middle = part.middle + row * part.rank;
  for (int64_t j = 0; j < part.rank; ++j) {
    double sum = 0;
    for (int64_t o = 0; o < part.count; ++o)
      sum += rounded(args.dz[row * args.dz_stride + part.first + o], packed.dtype) * lora_b(part, packed, o, j);
    middle[j] = static_cast<float>(sum);
  }
  for (int64_t k = 0; k < packed.in; ++k) {
    double sum = 0;
    for (int64_t j = 0; j < part.rank; ++j) sum += rounded(middle[j], packed.dtype) * lora_a(part, packed, j, k);
    sums[static_cast<size_t>(k)] += dropped(part.dropout, row, k, sum);
  }
}

}  // namespace

Status linear_input_gradient(Stream& stream, const LinearInputGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  std::vector<double> sums;
  try {
    sums.resize(static_cast<size_t>(packed.in));
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
  for (int64_t row = 0; row < args.rows; ++row) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int64_t o = 0; o < packed.out; ++o) {
      const double dz = rounded(args.dz[row * args.dz_stride + o], packed.dtype);
      for (int64_t k = 0; k < packed.in; ++k) sums[static_cast<size_t>(k)] += dz * packed.weight[o * packed.in + k];
    }
    for (int32_t i = 0; i < args.lora_parts; ++i) add_part(args, args.lora[i], row, sums);
    for (int64_t k = 0; k < packed.in; ++k) {
      float& dx = args.dx[row * args.dx_stride + k];
      dx = static_cast<float>(sums[static_cast<size_t>(k)] + (args.add ? dx : 0.0f));
    }
  }
  return kOk;
}

Status linear_weight_gradient(Stream& stream, const LinearWeightGradientArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  const auto dz = [&](int64_t row, int64_t o) { return args.dz[row * args.dz_stride + o]; };
  for (int64_t o = 0; o < args.out; ++o) {
    if (args.dbias) {
      double sum = args.dbias[o];
      for (int64_t row = 0; row < args.rows; ++row) sum += static_cast<double>(args.scale) * dz(row, o);
      args.dbias[o] = static_cast<float>(sum);
    }
    for (int64_t k = 0; args.dweight && k < args.in; ++k) {
      double sum = args.dweight[o * args.in + k];
      for (int64_t row = 0; row < args.rows; ++row)
        sum += static_cast<double>(rounded(args.scale * dz(row, o), args.dtype)) *
               rounded(read(args.x, args.x_dtype, row * args.x_stride + k), args.dtype);
      args.dweight[o * args.in + k] = static_cast<float>(sum);
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
