// ops/attention.h, backward: one query of one head at a time.
#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "ops/checks.h"
#include "reference/attention.h"
#include "reference/dropout.h"
#include "reference/ops.h"
#include "reference/rows.h"

namespace embedcore::reference {
namespace {

// One text: its rows as they are after the forward pass, and where dS goes.
class Text {
 public:
  // Throws std::bad_alloc.
  Text(const AttentionArgs& forward, const float* dy, int64_t dy_stride, int64_t text)
      : args_(forward),
        dy_(dy),
        dy_stride_(dy_stride),
        begin_(forward.offsets[text]),
        n_(forward.offsets[text + 1] - begin_),
        prefix_(forward.mask == Mask::kPrefix ? forward.prefix[text] : 0),
        width_((forward.heads + 2 * forward.kv_heads) * forward.head_dim),
        rows_(static_cast<size_t>(n_ * width_)) {
    for (int64_t i = 0; i < n_; ++i)
      for (int64_t d = 0; d < width_; ++d)
        rows_[static_cast<size_t>(i * width_ + d)] = read(args_.qkv, args_.dtype, (begin_ + i) * args_.qkv_stride + d);
  }

  int64_t begin() const { return begin_; }
  int64_t tokens() const { return n_; }
  int64_t width() const { return width_; }
  int64_t query_at(int64_t head) const { return head * args_.head_dim; }
  int64_t key_at(int64_t head) const { return (args_.heads + head / (args_.heads / args_.kv_heads)) * args_.head_dim; }
  int64_t value_at(int64_t head) const { return key_at(head) + args_.kv_heads * args_.head_dim; }
  const float* row(int64_t token) const { return rows_.data() + token * width_; }
  const float* dy(int64_t head, int64_t i) const { return dy_ + (begin_ + i) * dy_stride_ + head * args_.head_dim; }

  // Calls body(j, weight, dS) for each key j that query i sees, in order; the weight is that after dropout.
  template <typename Body>
  void each_key(int64_t head, int64_t i, Body&& body) const {
    const Dropout dropout = dropout_of(args_, head);
    const double lse = args_.lse[head * args_.offsets[args_.texts] + begin_ + i];
    const float* dy_row = dy(head, i);
    double sum = 0;
    for (int64_t d = 0; d < args_.head_dim; ++d)
      sum += static_cast<double>(dy_row[d]) *
             static_cast<double>(read(args_.y, args_.dtype, (begin_ + i) * args_.y_stride + head * args_.head_dim + d));
    const KeyRange keys = visible_keys(args_.mask, args_.window, prefix_, i, n_);
    for (int64_t j = keys.first; j < keys.last; ++j) {
      const double weight =
          std::exp(score_of(args_, head, row(i) + query_at(head), row(j) + key_at(head), j - i) - lse);
      double gradient = 0;
      for (int64_t d = 0; d < args_.head_dim; ++d)
        gradient += static_cast<double>(dy_row[d]) * static_cast<double>(row(j)[value_at(head) + d]);
      body(j, dropped(dropout, begin_ + i, j, weight), weight * (dropped(dropout, begin_ + i, j, gradient) - sum));
    }
  }

 private:
  const AttentionArgs& args_;
  const float* dy_;
  int64_t dy_stride_, begin_, n_, prefix_, width_;
  std::vector<float> rows_;
};

// The inverse of the rotation is that by the negative angles, and its transpose.
void rotate_head_back(const AttentionArgs& args, int64_t position, double* x) {
  const int64_t half = args.rotary_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const double cosine = args.rope_cos[position * half + i], sine = args.rope_sin[position * half + i];
    const double a = x[i], b = x[i + half];
    x[i] = a * cosine + b * sine;
    x[i + half] = b * cosine - a * sine;
  }
}

void add_text(const AttentionGradientArgs& args, const Text& text, std::vector<double>& sums) {
  const AttentionArgs& forward = args.forward;
  const double scale = forward.scale;
  sums.assign(static_cast<size_t>(text.tokens() * text.width()), 0.0);
  const auto sum = [&](int64_t token) { return sums.data() + token * text.width(); };
  for (int64_t head = 0; head < forward.heads; ++head) {
    for (int64_t i = 0; i < text.tokens(); ++i) {
      const float *q = text.row(i) + text.query_at(head), *dy = text.dy(head, i);
      double* dq = sum(i) + text.query_at(head);
      text.each_key(head, i, [&](int64_t j, double weight, double score_gradient) {
        const float* k = text.row(j) + text.key_at(head);
        double *dk = sum(j) + text.key_at(head), *dv = sum(j) + text.value_at(head);
        for (int64_t d = 0; d < forward.head_dim; ++d) {
          dq[d] += scale * score_gradient * static_cast<double>(k[d]);
          dk[d] += scale * score_gradient * static_cast<double>(q[d]);
          dv[d] += weight * static_cast<double>(dy[d]);
        }
      });
    }
  }
}

}  // namespace

Status attention_gradient(Stream& stream, const AttentionGradientArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  const AttentionArgs& forward = args.forward;
  try {
    std::vector<double> sums;
    for (int64_t index = 0; index < forward.texts; ++index) {
      const Text text(forward, args.dy, args.dy_stride, index);
      add_text(args, text, sums);
      for (int64_t i = 0; i < text.tokens(); ++i) {
        double* row = sums.data() + i * text.width();
        if (forward.rope_cos)
          for (int64_t head = 0; head < forward.heads + forward.kv_heads; ++head)
            rotate_head_back(forward, i, row + head * forward.head_dim);
        std::transform(row, row + text.width(), args.dqkv + (text.begin() + i) * args.dqkv_stride,
                       [](double value) { return static_cast<float>(value); });
      }
    }
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
  return kOk;
}

// Each element is rounded after every query, so that its chain goes on in another call as in the same one.
Status attention_bias_gradient(Stream& stream, const AttentionBiasGradientArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  const AttentionArgs& forward = args.forward;
  const int64_t width = 2 * forward.bias_reach + 1;
  try {
    for (int64_t index = 0; index < forward.texts; ++index) {
      const Text text(forward, args.dy, args.dy_stride, index);
      for (int64_t head = 0; head < forward.heads; ++head)
        for (int64_t i = 0; i < text.tokens(); ++i)
          text.each_key(head, i, [&](int64_t j, double, double score_gradient) {
            float& sum = args.dbias[head * width + forward.bias_reach + (j - i)];
            sum = static_cast<float>(sum + score_gradient);
          });
    }
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
  return kOk;
}

}  // namespace embedcore::reference
