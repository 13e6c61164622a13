#include "train/loss_ops.h"

#include "ops/activation.h"
#include "ops/optimizer.h"
#include "ops/pairs.h"
#include "ops/vectors.h"

namespace embedcore {

View LossOps::zeros(int64_t rows, int64_t width) {
  const View view = layout_.rows(rows, width);
  run(&Backend::axpby, {.x = nullptr, .y = view.floats(), .elements = rows * width, .alpha = 0, .beta = 0},
      "clearing gradients");
  return view;
}

std::vector<float> LossOps::download(const float* from, int64_t count) {
  std::vector<float> list(static_cast<size_t>(count));
  if (!stream_ || count == 0) return list;
  check_status(backend_.download(*stream_, list.data(), from, list.size() * sizeof(float)), *stream_,
               "downloading losses");
  stream_->wait();
  return list;
}

void LossOps::copy(View from, View to, int64_t rows, int64_t width) {
  run(&Backend::activation,
      {.x = from.data, .x_stride = from.stride, .y = to.data, .y_stride = to.stride, .rows = rows, .width = width},
      "copying embeddings");
}

// The gradient of a dot product with the rows, whose own gradients are 1.
void LossOps::add(View from, View to, int64_t rows, int64_t width) {
  const float* ones = upload(std::vector<float>(static_cast<size_t>(rows), 1.0f));
  run(&Backend::pair_gradient,
      {.kind = PairScore::kDot,
       .a = from.floats(),
       .a_stride = from.stride,
       .b = from.floats(),
       .b_stride = from.stride,
       .rows = rows,
       .width = width,
       .dscores = ones,
       .da = to.floats(),
       .da_stride = to.stride},
      "adding gradients");
}

const float* LossOps::normalize(View x, int64_t rows, int64_t width) {
  auto* lengths = layout_.array<float>(rows);
  run(&Backend::normalize, {.x = x.floats(), .stride = x.stride, .rows = rows, .width = width, .lengths = lengths},
      "normalising embeddings");
  return lengths;
}

void LossOps::normalize_gradient(View y, const float* lengths, View dy, int64_t rows, int64_t width) {
  run(&Backend::normalize_gradient,
      {.y = y.floats(),
       .y_stride = y.stride,
       .lengths = lengths,
       .dy = dy.floats(),
       .dy_stride = dy.stride,
       .dx = dy.floats(),
       .dx_stride = dy.stride,
       .rows = rows,
       .width = width},
      "the gradient of a normalisation");
}

}  // namespace embedcore
