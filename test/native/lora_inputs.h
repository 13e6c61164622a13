// A linear with LoRA parts and dropout, forward and backward, and the bounds on the error of its results.
#pragma once

#include "linear_inputs.h"

namespace embedcore::test {

struct PartSpec {
  int64_t first, count, rank;
  float scale = 1;
  float rate = 0;  // of the part's dropout
};

struct LoraCase {
  LinearCase linear;
  std::vector<PartSpec> parts;
  float rate = 0;  // of the layer's dropout
};

// Parts that begin and end inside panels and pairs, beside each other or apart, ranks around vectors; some with
// dropout.
inline const std::vector<LoraCase>& lora_cases() {
  static const std::vector<LoraCase> cases = {
      {{1, 1, 1}, {{0, 1, 1}}},
      {{3, 5, 9}, {{0, 9, 2, 0.5f}}},
      {{7, 33, 70, Activation::kGelu}, {{0, 70, 16, 2.0f}}},
      {{13, 64, 192}, {{0, 64, 8, 2.0f}, {64, 64, 8, 2.0f}, {128, 64, 8, 2.0f}}},
      {{6, 40, 130, Activation::kSilu, true, true}, {{3, 61, 4, 0.7f}, {64, 5, 17, -1.3f}, {77, 50, 1, 3.0f}}},
      {{12, 513, 65, Activation::kIdentity, true, true, true, 3}, {{1, 63, 33, 0.25f, 0.1f}}},
      {{50, 96, 288, Activation::kIdentity, true, false, false, 1},
       {{0, 96, 16, 2.0f, 0.1f}, {96, 96, 16, 2.0f, 0.1f}, {192, 96, 16, 2.0f, 0.1f}},
       0.1f},
      {{241, 24, 72, Activation::kRelu, false}, {{8, 7, 5, 1.0f, 0.5f}, {40, 32, 12}, {15, 25, 3, 1.5f}}, 0.3f},
      {{5, 17, 20, Activation::kTanh, true, true}, {}, 0.5f},
      {{11, 100, 129, Activation::kGelu, true, true, true, 2}, {}, 0.1f},
      {{2, 1030, 600}, {{512, 88, 70, 0.1f}, {0, 200, 64, 0.2f}, {300, 1, 2, 5.0f, 0.2f}}, 0.1f},
      {{0, 8, 8}, {{0, 8, 4, 1.0f, 0.1f}}, 0.1f},
  };
  return cases;
}

inline double cost_of(const LoraCase& c) { return 2 * cost_of(c.linear); }

inline std::string name_of(const LoraCase& c) {
  std::ostringstream text;
  text << name_of(c.linear) << ", dropout " << c.rate;
  for (const PartSpec& part : c.parts)
    text << ", part " << part.first << '+' << part.count << " of rank " << part.rank << ", dropout " << part.rate;
  return text.str();
}

struct LoraInputs {
  explicit LoraInputs(const LoraCase& c) : spec(c), layer(c.linear), dz(c.linear.rows, c.linear.out, c.linear.gap) {
    Random random(static_cast<uint32_t>(c.linear.in + 13 * c.linear.out));
    for (const PartSpec& part : c.parts) {
      a.emplace_back(part.rank, c.linear.in).fill(random).each([&](float w) {
        return w / std::sqrt(static_cast<float>(c.linear.in));
      });
      b.emplace_back(part.count, part.rank).fill(random);
    }
    dz.fill(random);
    for (int64_t row = 0; row < c.linear.rows; ++row)
      keys.push_back({static_cast<int32_t>(row / 5), static_cast<int32_t>(row % 5 * 7)});
  }

  Dropout dropout_of(OpCall& call, float rate, uint32_t site, int64_t begin) const {
    return {.rate = rate, .seed = 42, .site = site, .rows = rate > 0 ? call.in(keys, begin) : nullptr};
  }
  // The parts of a call for rows from `begin` on; middle[i] receives those of part i.
  std::vector<LoraPart> parts_of(OpCall& call, int64_t begin, int64_t end, std::vector<Rows>& middle) const {
    std::vector<LoraPart> parts;
    for (const PartSpec& part : spec.parts) middle.emplace_back(end - begin, part.rank);
    for (size_t i = 0; i < spec.parts.size(); ++i) {
      const PartSpec& part = spec.parts[i];
      parts.push_back({.first = part.first,
                       .count = part.count,
                       .rank = part.rank,
                       .a = call.in(a[i]),
                       .b = call.in(b[i]),
                       .scale = part.scale,
                       .middle = call.out(middle[i]),
                       .dropout = dropout_of(call, part.rate, static_cast<uint32_t>(100 + i), begin)});
    }
    return parts;
  }

  struct Result {
    Rows y;
    std::vector<Rows> middle;
  };

  // Rows begin .. end of the forward pass.
  Result run(const Backend& backend, const PackedLinear* packed, const LinearTypes& types, int64_t begin, int64_t end,
             Order order = Order::kAscending) const {
    const LinearCase& c = spec.linear;
    const TypedRows from(types.x, layer.x, begin, end);
    const bool in_place = c.in_place && types.y == DType::kF32;
    TypedRows y =
        in_place ? TypedRows(types.y, layer.residual, begin, end) : TypedRows(types.y, end - begin, c.out, c.gap);
    Result result{Rows(0, 0), {}};
    result.middle.reserve(spec.parts.size());
    OpCall call(backend, order);
    void* const to = call.out(y);
    const std::vector<LoraPart> parts = parts_of(call, begin, end, result.middle);
    call.run(backend.linear, {.weights = packed,
                              .x = call.in(from),
                              .x_stride = from.stride(),
                              .y = to,
                              .y_stride = y.stride(),
                              .rows = end - begin,
                              .activation = c.activation,
                              .residual = in_place     ? static_cast<const float*>(to)
                                          : c.residual ? call.in(layer.residual, begin)
                                                       : nullptr,
                              .residual_stride = layer.residual.stride(),
                              .x_dtype = types.x,
                              .y_dtype = types.y,
                              .lora = parts.data(),
                              .lora_parts = static_cast<int32_t>(parts.size()),
                              .dropout = dropout_of(call, spec.rate, 5, begin)});
    result.y = y.values();
    return result;
  }

  // Rows begin .. end of the input gradient; added to 0.5 where `add`.
  Result run_backward(const Backend& backend, const PackedLinear* packed, int64_t begin, int64_t end, bool add,
                      Order order = Order::kAscending) const {
    Result result{Rows(end - begin, spec.linear.in, spec.linear.gap), {}};
    if (add) result.y.each([](float) { return 0.5f; });
    result.middle.reserve(spec.parts.size());
    OpCall call(backend, order);
    const std::vector<LoraPart> parts = parts_of(call, begin, end, result.middle);
    call.run(backend.linear_input_gradient, {.weights = packed,
                                             .dz = call.in(dz, begin),
                                             .dz_stride = dz.stride(),
                                             .dx = call.out(result.y),
                                             .dx_stride = result.y.stride(),
                                             .rows = end - begin,
                                             .add = add,
                                             .lora = parts.data(),
                                             .lora_parts = static_cast<int32_t>(parts.size())});
    return result;
  }

  LinearWeights weights(DType dtype, LinearUse use = LinearUse::kForward) const {
    LinearWeights from = layer.weights(dtype);
    from.use = use;
    return from;
  }

  // The same with all numbers replaced by their magnitudes, whose results bound the errors of sums.
  LoraInputs magnitudes() const {
    LoraInputs copy = *this;
    copy.layer.x = layer.x.magnitudes();
    copy.layer.weight = layer.weight.magnitudes();
    copy.layer.bias = layer.bias.magnitudes();
    copy.dz = dz.magnitudes();
    for (Rows& rows : copy.a) rows = rows.magnitudes();
    for (Rows& rows : copy.b) rows = rows.magnitudes();
    for (PartSpec& part : copy.spec.parts) part.scale = std::abs(part.scale);
    copy.spec.linear.activation = Activation::kIdentity;
    copy.spec.linear.residual = copy.spec.linear.in_place = false;
    copy.spec.rate = 0;
    return copy;
  }
  // Without the layer's own matrix and bias.
  LoraInputs parts_alone() const {
    LoraInputs copy = *this;
    copy.layer.weight.each([](float) { return 0.0f; });
    copy.layer.bias.each([](float) { return 0.0f; });
    return copy;
  }

  LoraCase spec;
  LinearInputs layer;
  Rows dz;
  std::vector<Rows> a, b;
  std::vector<RowKey> keys;
};

inline int64_t ranks_of(const LoraCase& c) {
  int64_t ranks = 0;
  for (const PartSpec& part : c.parts) ranks += part.rank;
  return ranks;
}

// A middle in 16 bits is rounded from sums that may differ, so it may be one of two neighbours: a whole unit.
inline double middle_rounding(DType dtype) {
  return dtype == DType::kBF16 ? 2 * kBf16Unit : dtype == DType::kF16 ? 2 * kF16Unit : 0;
}

}  // namespace embedcore::test
