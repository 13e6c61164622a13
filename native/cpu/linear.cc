// ops/linear.h on packed weights. W^T is cut into panels of kPanel columns, [in][kPanel] each, so that the inner loop reads
// one stream; the last panel is as many vectors wide as it needs. A task is one panel times one run of rows.
#include "ops/linear.h"

#include <algorithm>
#include <new>

#include "cpu/backend.h"
#include "cpu/math.h"
#include "cpu/tile.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

struct Packed : PackedLinear {
  float* panels;  // 64-byte aligned
  float* bias;    // [out rounded up to kWidth], zeros where there is none
};

constexpr int64_t kDepth = 512;    // in-block: 6 rows of it stay in L1, a panel of it in L2
constexpr int64_t kRowBlock = 240;  // rows that pass one panel block while it is in L2

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Panel {
  const float* weights;
  int64_t column, columns, vectors;
};

Panel panel_at(const Packed& packed, int64_t index) {
  const int64_t column = index * kPanel;
  const int64_t columns = std::min<int64_t>(kPanel, packed.out - column);
  return {packed.panels + column * packed.in, column, columns, divide_up(columns, kWidth)};
}

// One tile: starts from the bias or from what the last in-block left, ends in activation and residual or leaves its sums again.
template <int kRows, int kVectors>
void run_tile(const LinearArgs& args, const Panel& panel, int64_t row, int64_t k, int64_t depth, float* sums) {
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  Vec sum[kRows][kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const Vec bias = load(packed.bias + panel.column + v * kWidth);
    for (int r = 0; r < kRows; ++r) sum[r][v] = k == 0 ? bias : load(sums + r * kPanel + v * kWidth);
  }
  const int64_t b_stride = panel.vectors * kWidth;
  multiply(sum, args.x + row * args.x_stride + k, args.x_stride, panel.weights + k * b_stride, b_stride, depth);
  if (k + depth < packed.in) {
    for (int r = 0; r < kRows; ++r)
      for (int v = 0; v < kVectors; ++v) store(sums + r * kPanel + v * kWidth, sum[r][v]);
    return;
  }
  // The activation is chosen here, once a tile, and not as a parameter of the tile: 24 shapes times 7 activations took minutes to compile.
  with_activation(args.activation, [&]<Activation kActivation>() {
    for (int r = 0; r < kRows; ++r) {
      float* y = args.y + (row + r) * args.y_stride + panel.column;
      const float* residual = args.residual ? args.residual + (row + r) * args.residual_stride + panel.column : nullptr;
      for (int v = 0; v < kVectors; ++v) {
        const int64_t left = panel.columns - v * kWidth;
        Vec value = activate<kActivation>(sum[r][v]);
        if (left >= kWidth) {
          if (residual) value += load(residual + v * kWidth);
          store(y + v * kWidth, value);
        } else {
          if (residual) value += load_part(residual + v * kWidth, left);
          store_part(y + v * kWidth, value, left);
        }
      }
    }
  });
}

void run_panel(const LinearArgs& args, const Panel& panel, int64_t row_begin, int64_t row_end, float* sums) {
  const int64_t in = args.weights->in;
  const int64_t blocks = std::max<int64_t>(1, divide_up(in, kDepth));
  const int64_t depth = divide_up(in, blocks);
  for (int64_t k = 0; k < in; k += depth) {
    const int64_t step = std::min(depth, in - k);
    for (int64_t row = row_begin; row < row_end; row += kTileRows) {
      float* tile_sums = sums + (row - row_begin) * kPanel;
      with_tile(std::min<int64_t>(kTileRows, row_end - row), panel.vectors, [&]<int kRows, int kVectors>() {
        run_tile<kRows, kVectors>(args, panel, row, k, step, tile_sums);
      });
    }
  }
}

}  // namespace

PackedLinear* pack_linear(const LinearWeights& w) {
  auto* packed = new (std::nothrow) Packed{};
  if (!packed) return nullptr;
  const int64_t padded = divide_up(w.out, kWidth) * kWidth;
  packed->in = w.in;
  packed->out = w.out;
  packed->bytes = static_cast<size_t>(padded * (w.in + 1)) * sizeof(float);
  packed->panels = static_cast<float*>(::operator new(packed->bytes, std::align_val_t{64}, std::nothrow));
  if (!packed->panels) {
    delete packed;
    return nullptr;
  }
  packed->bias = packed->panels + padded * w.in;
  for (int64_t i = 0; i < padded; ++i) packed->bias[i] = w.bias && i < w.out ? w.bias[i] : 0.0f;
  for (int64_t column = 0; column < w.out; column += kPanel) {
    const Panel panel = panel_at(*packed, column / kPanel);
    const int64_t stride = panel.vectors * kWidth;
    float* to = packed->panels + column * w.in;
    for (int64_t k = 0; k < w.in; ++k)
      for (int64_t j = 0; j < stride; ++j) to[k * stride + j] = j < panel.columns ? w.weight[(column + j) * w.in + k] : 0.0f;
  }
  return packed;
}

void free_linear(PackedLinear* base) {
  if (!base) return;
  auto* packed = static_cast<Packed*>(base);
  ::operator delete(packed->panels, std::align_val_t{64});
  delete packed;
}

Status linear(Scope& scope, const LinearArgs& args) {
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  const int64_t panels = divide_up(packed.out, kPanel);
  const int64_t row_blocks = divide_up(args.rows, kRowBlock);
  if (row_blocks == 0) return kOk;
  const int64_t block = divide_up(divide_up(args.rows, row_blocks), kTileRows) * kTileRows;
  bool out_of_memory = false;
  run_tasks(scope, panels * row_blocks, [&](int64_t task) {
    const int64_t row_begin = task / panels * block;
    const int64_t row_end = std::min(args.rows, row_begin + block);
    float* sums = thread_scratch(static_cast<size_t>((block + kTileRows) * kPanel));
    if (!sums) {
      __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
      return;
    }
    if (row_begin >= row_end) return;
    run_panel(args, panel_at(packed, task % panels), row_begin, row_end, sums);
  });
  return out_of_memory ? kOutOfMemory : kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
