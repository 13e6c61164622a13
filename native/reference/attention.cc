// ops/attention.h, one query of one head at a time.
#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "ops/checks.h"
#include "reference/attention.h"
#include "reference/dropout.h"
#include "reference/ops.h"
#include "reference/rows.h"

namespace embedcore::reference {
namespace {

void normalize_head(const AttentionArgs& args, const float* weight, float* x) {
  double squares = 0;
  for (int64_t d = 0; d < args.head_dim; ++d) squares += static_cast<double>(x[d]) * x[d];
  const double length =
      std::sqrt(squares / static_cast<double>(args.head_dim) + static_cast<double>(args.qk_norm_epsilon));
  for (int64_t d = 0; d < args.head_dim; ++d) x[d] = static_cast<float>(x[d] / length * weight[d]);
}

// "Rotate half": the pair (x_i, x_{i + rotary_dim / 2}) is rotated by angle i of this position.
void rotate_head(const AttentionArgs& args, int64_t position, float* x) {
  const int64_t half = args.rotary_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const double cosine = args.rope_cos[position * half + i], sine = args.rope_sin[position * half + i];
    const double a = x[i], b = x[i + half];
    x[i] = static_cast<float>(a * cosine - b * sine);
    x[i + half] = static_cast<float>(b * cosine + a * sine);
  }
}

void prepare_token(const AttentionArgs& args, int64_t position, float* row) {
  for (int64_t h = 0; h < args.heads + args.kv_heads; ++h) {
    float* x = row + h * args.head_dim;
    const float* weight = h < args.heads ? args.q_norm : args.k_norm;
    if (weight) normalize_head(args, weight, x);
    if (args.rope_cos) rotate_head(args, position, x);
  }
}

// One head of token i of a text; rows [n, width] = the text's q, k and v. scores has one element for each token of the
// text. Writes the row `token` of y and returns the log-sum-exp of the scores.
double attend(const AttentionArgs& args, const float* rows, int64_t width, int64_t head, int64_t i, KeyRange keys,
              std::vector<double>& scores, int64_t token) {
  const int64_t kv_head = head / (args.heads / args.kv_heads);
  const float* q = rows + i * width + head * args.head_dim;
  auto key = [&](int64_t j) { return rows + j * width + (args.heads + kv_head) * args.head_dim; };
  auto value = [&](int64_t j) { return rows + j * width + (args.heads + args.kv_heads + kv_head) * args.head_dim; };

  double greatest = -std::numeric_limits<double>::infinity();
  for (int64_t j = keys.first; j < keys.last; ++j) {
    double& score = scores[static_cast<size_t>(j)];
    score = score_of(args, head, q, key(j), j - i);
    greatest = std::max(greatest, score);
  }
  double total = 0;
  for (int64_t j = keys.first; j < keys.last; ++j) {
    double& score = scores[static_cast<size_t>(j)];
    score = std::exp(score - greatest);
    total += score;
  }
  const Dropout dropout = dropout_of(args, head);
  for (int64_t j = keys.first; j < keys.last; ++j) {
    double& weight = scores[static_cast<size_t>(j)];
    weight = dropped(dropout, token, j, weight);
  }
  for (int64_t d = 0; d < args.head_dim; ++d) {
    double sum = 0;
    for (int64_t j = keys.first; j < keys.last; ++j) sum += scores[static_cast<size_t>(j)] * value(j)[d];
    write(args.y, args.dtype, token * args.y_stride + head * args.head_dim + d, sum / total);
  }
  return greatest + std::log(total);
}

}  // namespace

Status attention(Stream& stream, const AttentionArgs& args) {
  if (!can_run(stream, args, supports, kTakesTraining)) return kBadArgument;
  const int64_t width = (args.heads + 2 * args.kv_heads) * args.head_dim;
  std::vector<double> scores;
  std::vector<float> rows;  // of one text
  for (int64_t text = 0; text < args.texts; ++text) {
    const int64_t begin = args.offsets[text], n = args.offsets[text + 1] - begin;
    try {
      scores.resize(static_cast<size_t>(n));
      rows.resize(static_cast<size_t>(n * width));
    } catch (const std::bad_alloc&) {
      return kOutOfMemory;
    }
    for (int64_t i = 0; i < n; ++i) {
      float* row = rows.data() + i * width;
      const int64_t at = (begin + i) * args.qkv_stride;
      for (int64_t d = 0; d < width; ++d) row[d] = read(args.qkv, args.dtype, at + d);
      if (args.raw)
        std::copy_n(row, (args.heads + args.kv_heads) * args.head_dim, args.raw + (begin + i) * args.raw_stride);
      prepare_token(args, i, row);
      for (int64_t d = 0; d < width; ++d) {
        write(args.qkv, args.dtype, at + d, row[d]);
        row[d] = read(args.qkv, args.dtype, at + d);
      }
    }
    for (int64_t i = 0; i < n; ++i) {
      const KeyRange keys =
          visible_keys(args.mask, args.window, args.mask == Mask::kPrefix ? args.prefix[text] : 0, i, n);
      for (int64_t head = 0; head < args.heads; ++head) {
        const double lse = attend(args, rows.data(), width, head, i, keys, scores, begin + i);
        if (args.lse) args.lse[head * args.offsets[args.texts] + begin + i] = static_cast<float>(lse);
      }
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
