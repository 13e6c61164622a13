// The gradients of an attention case, and how a backend computes them from what a forward pass left.
#pragma once

#include "attention_inputs.h"

namespace embedcore::test {

// The rows of a forward pass and the gradient of its result, for any backend and any part of the texts.
struct Backward {
  Backward(const Inputs& inputs, DType dtype, Result forward)
      : inputs(inputs),
        dtype(dtype),
        forward(std::move(forward)),
        dy(inputs.qkv.rows(), heads_width(), inputs.spec.gap) {
    Random random(static_cast<uint32_t>(inputs.qkv.rows() + 5));
    dy.fill(random);
  }
  Backward(const Inputs& inputs, DType dtype) : Backward(inputs, dtype, inputs.run(reference_backend(), dtype)) {}

  int64_t heads_width() const { return inputs.spec.heads * inputs.spec.head_dim; }

  // Copies of the rows of texts begin .. end, which must outlive the call.
  struct Copies {
    Copies(const Backward& all, const Backend& backend, int64_t begin, int64_t end)
        : part(all.inputs, backend, begin, end),
          qkv(all.dtype, all.forward.qkv, part.first, part.first + part.tokens),
          y(all.dtype, all.forward.y, part.first, part.first + part.tokens),
          lse(all.inputs.spec.heads, part.tokens) {
      for (int64_t token = 0; token < part.tokens; ++token)
        for (int64_t h = 0; h < lse.rows(); ++h) lse.at(h, token) = all.forward.lse.at(part.first + token, h);
    }
    Inputs::Part part;
    TypedRows qkv, y;
    Rows lse;
  };

  // Sets all of a gradient's arguments but where it goes.
  template <typename Args>
  Args arguments(OpCall& call, const Copies& copies) const {
    Args args{.forward = inputs.arguments(call, copies.part, dtype)};
    args.forward.qkv = const_cast<void*>(call.in(copies.qkv));  // only read by a gradient
    args.forward.qkv_stride = copies.qkv.stride();
    args.forward.y = const_cast<void*>(call.in(copies.y));
    args.forward.y_stride = copies.y.stride();
    args.forward.lse = const_cast<float*>(call.in(copies.lse));
    args.dy = call.in(dy, copies.part.first);
    args.dy_stride = dy.stride();
    return args;
  }

  Rows dqkv(const Backend& backend, int64_t begin, int64_t end, Order order = Order::kAscending) const {
    const Copies copies(*this, backend, begin, end);
    Rows result(copies.part.tokens, inputs.qkv.width(), inputs.spec.gap);
    OpCall call(backend, order);
    auto args = arguments<AttentionGradientArgs>(call, copies);
    args.dqkv = call.out(result);
    args.dqkv_stride = result.stride();
    call.run(backend.attention_gradient, args);
    return result;
  }
  Rows dqkv(const Backend& backend) const { return dqkv(backend, 0, inputs.texts()); }

  // Adds to dbias [heads, 2 reach + 1].
  void add_dbias(Rows& dbias, const Backend& backend, int64_t begin, int64_t end,
                 Order order = Order::kAscending) const {
    const Copies copies(*this, backend, begin, end);
    OpCall call(backend, order);
    auto args = arguments<AttentionBiasGradientArgs>(call, copies);
    args.dbias = call.out(dbias);
    call.run(backend.attention_bias_gradient, args);
  }
  Rows no_dbias() const {
    return std::move(Rows(inputs.spec.heads, inputs.bias.width()).each([](float) { return 0.0f; }));
  }
  Rows dbias(const Backend& backend) const {
    Rows sums = no_dbias();
    add_dbias(sums, backend, 0, inputs.texts());
    return sums;
  }

  const Inputs& inputs;
  DType dtype;
  Result forward;
  Rows dy;
};

}  // namespace embedcore::test
