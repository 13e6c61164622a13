// The inputs of an attention case and how a backend runs them.
#pragma once

#include <algorithm>
#include <cmath>

#include "op_support.h"
#include "ops/attention.h"

namespace embedcore::test {

struct Result {
  Rows qkv, y, lse;  // lse [tokens, heads], where it was kept
};

enum class Lse { kDropped, kKept };

inline bool trains(const Backend& backend) { return backend.attention_gradient != nullptr; }

struct Inputs {
  explicit Inputs(const AttentionCase& c)
      : spec(c),
        offsets(offsets_of(c.lengths)),
        longest(*std::max_element(c.lengths.begin(), c.lengths.end())),
        qkv(offsets.back(), (c.heads + 2 * c.kv_heads) * c.head_dim, c.gap),
        reach(longest + 2),
        bias(c.heads, 2 * reach + 1),
        cosine(longest + 1, c.rotary_dim / 2),
        sine(longest + 1, c.rotary_dim / 2),
        q_norm(1, c.head_dim),
        k_norm(1, c.head_dim) {
    Random random(static_cast<uint32_t>(offsets.back() * 31 + c.head_dim));
    for (int32_t text = 0; text < static_cast<int32_t>(c.lengths.size()); ++text)
      for (int32_t i = 0; i < c.lengths[static_cast<size_t>(text)]; ++i) keys_of_rows.push_back({text + 3, i});
    qkv.fill(random, -static_cast<double>(c.size), static_cast<double>(c.size));
    bias.fill(random, -2, 2);
    for (int64_t h = 0; h < c.heads; ++h)
      for (int64_t i = 0; i < bias.width(); ++i) bias.at(h, i) += c.slope * static_cast<float>(i - reach);
    q_norm.fill(random, 0.5, 1.5);
    k_norm.fill(random, 0.5, 1.5);
    for (int64_t position = 0; position < cosine.rows(); ++position) {
      for (int64_t i = 0; i < cosine.width(); ++i) {
        const double angle = static_cast<double>(position) /
                             std::pow(100.0, static_cast<double>(i) / static_cast<double>(cosine.width()));
        cosine.at(position, i) = static_cast<float>(std::cos(angle));
        sine.at(position, i) = static_cast<float>(std::sin(angle));
      }
    }
  }

  // The same texts with q and k that are already normalised and rotated.
  Inputs with_prepared(const Rows& prepared) const {
    Inputs other = *this;
    other.qkv = Rows(prepared);
    other.spec.norms = HeadNorms::kNone;
    other.spec.rotary_dim = 0;
    return other;
  }

  float scale() const { return spec.sign / std::sqrt(static_cast<float>(spec.head_dim)); }
  int64_t texts() const { return static_cast<int64_t>(spec.lengths.size()); }
  KeyRange keys(int64_t text, int64_t i) const {
    return visible_keys(spec.mask, spec.window, spec.prefix.empty() ? 0 : spec.prefix[static_cast<size_t>(text)], i,
                        spec.lengths[static_cast<size_t>(text)]);
  }

  // Texts begin .. end, as a call of their own; it must outlive the call.
  struct Part {
    Part(const Inputs& inputs, const Backend& backend, int64_t begin, int64_t end)
        : begin(begin), end(end), first(inputs.offsets[static_cast<size_t>(begin)]) {
      for (int64_t text = begin; text <= end; ++text)
        offsets.push_back(inputs.offsets[static_cast<size_t>(text)] - static_cast<int32_t>(first));
      tokens = offsets.back();
      for (int64_t text = begin; text < end; ++text)
        longest = std::max<int64_t>(longest, inputs.spec.lengths[static_cast<size_t>(text)]);
      plan = plan_of(backend, offsets);
    }
    int64_t begin, end, first, tokens = 0, longest = 0;
    std::vector<int32_t> offsets, plan;
  };

  // All but the rows.
  AttentionArgs arguments(OpCall& call, const Part& part, DType dtype) const {
    AttentionArgs args{.offsets = call.in(part.offsets),
                       .texts = part.end - part.begin,
                       .longest = part.longest,
                       .plan = part.plan.empty() ? nullptr : call.in(part.plan),
                       .host_plan = part.plan.empty() ? nullptr : part.plan.data(),
                       .heads = spec.heads,
                       .kv_heads = spec.kv_heads,
                       .head_dim = spec.head_dim,
                       .scale = scale(),
                       .mask = spec.mask,
                       .window = spec.window,
                       .prefix = spec.prefix.empty() ? nullptr : call.in(spec.prefix, part.begin)};
    if (spec.rotary_dim > 0) {
      args.rope_cos = call.in(cosine);
      args.rope_sin = call.in(sine);
      args.rotary_dim = spec.rotary_dim;
    }
    if (spec.norms == HeadNorms::kBoth || spec.norms == HeadNorms::kQuery) args.q_norm = call.in(q_norm);
    if (spec.norms == HeadNorms::kBoth || spec.norms == HeadNorms::kKey) args.k_norm = call.in(k_norm);
    args.qk_norm_epsilon = 1e-6f;
    if (spec.bias) {
      args.bias = call.in(bias);
      args.bias_reach = reach;
    }
    args.dtype = dtype;
    if (dropout_rate > 0)
      args.dropout = {.rate = dropout_rate, .seed = kSeed, .site = kSite, .rows = call.in(keys_of_rows, part.first)};
    return args;
  }

  // Texts begin .. end, their rows copied out.
  Result run(const Backend& backend, DType dtype, int64_t begin, int64_t end, Order order = Order::kAscending,
             Lse keep = Lse::kKept, Rows* raw = nullptr) const {
    const Part part(*this, backend, begin, end);
    TypedRows in(dtype, qkv, part.first, part.first + part.tokens),
        y(dtype, part.tokens, spec.heads * spec.head_dim, spec.gap);
    OpCall call(backend, order);
    AttentionArgs args = arguments(call, part, dtype);
    args.qkv = call.out(in);
    args.qkv_stride = in.stride();
    args.y = call.out(y);
    args.y_stride = y.stride();
    Rows kept(spec.heads, part.tokens), lse(part.tokens, spec.heads);
    if (keep == Lse::kKept) args.lse = call.out(kept);
    if (raw) {
      *raw = Rows(part.tokens, (spec.heads + spec.kv_heads) * spec.head_dim, spec.gap);
      args.raw = call.out(*raw);
      args.raw_stride = raw->stride();
    }
    call.run(backend.attention, args);
    for (int64_t token = 0; token < part.tokens; ++token)
      for (int64_t h = 0; h < spec.heads; ++h) lse.at(token, h) = kept.at(h, token);
    return {in.values(), y.values(), std::move(lse)};
  }
  Result run(const Backend& backend, DType dtype) const { return run(backend, dtype, 0, texts()); }

  // Empty where the backend makes no plans.
  static std::vector<int32_t> plan_of(const Backend& backend, const std::vector<int32_t>& offsets) {
    if (!backend.plan_attention) return {};
    const auto texts = static_cast<int64_t>(offsets.size()) - 1;
    std::vector<int32_t> plan(static_cast<size_t>(backend.plan_attention(offsets.data(), texts, nullptr)));
    backend.plan_attention(offsets.data(), texts, plan.data());
    return plan;
  }

  static constexpr uint64_t kSeed = 0x123456789abcdef0;
  static constexpr uint32_t kSite = 7;  // of the first head

  // The factor of the weights that dropout keeps.
  double dropout_factor() const { return static_cast<double>(embedcore::dropout_factor(dropout_rate)); }

  AttentionCase spec;
  float dropout_rate = 0;
  std::vector<RowKey> keys_of_rows;  // as if other texts came before these in the batch
  std::vector<int32_t> offsets;
  int32_t longest;
  Rows qkv;
  int64_t reach;
  Rows bias, cosine, sine, q_norm, k_norm;
};

}  // namespace embedcore::test
