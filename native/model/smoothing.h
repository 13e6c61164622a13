// In int8 a row of inputs has one step size, so a few channels that are always large would leave few levels for all
// others. Smoothing moves size from the inputs into the weights (Xiao et al. 2023, "SmoothQuant", with alpha = 1/2 and
// the root mean square instead of the maximum). The sizes of the inputs are measured once at load, in float32, on texts
// of random tokens of the vocabulary.
//
// Only the matrices after a norm are smoothed, because there the same channels are large for every text. After
// attention it gained nothing. The intermediate of a feed-forward has channels that are large only for single tokens
// (such as [CLS]), and smoothing measured without them lost three times what it should have gained.
#pragma once

#include <cstdint>
#include <vector>

namespace embedcore {

// Root mean square of each channel of a matrix's inputs.
class InputScales {
 public:
  void add(const float* x, int64_t stride, int64_t rows, int64_t width);
  std::vector<float> root_mean_squares() const;

 private:
  std::vector<double> squares_;
  int64_t rows_ = 0;
};

// For the matrices of a layer that follow a norm.
struct LayerInputScales {
  InputScales qkv, up;
};

// The factors that the inputs are divided by and the weights [out, in] are multiplied with: sqrt(size of the channel /
// greatest of its weights), finite and above 0, with a geometric mean of 1. All ones if the sizes are not finite or all
// zero. The inputs must have been measured.
std::vector<float> smoothing(const InputScales& inputs, const std::vector<float>& weight);

// Texts of random tokens of a vocabulary, the same every time.
struct CalibrationTexts {
  CalibrationTexts(int64_t vocab, int64_t max_tokens);  // max_tokens: of a text, 0 = no limit
  std::vector<int32_t> ids, offsets, zeros;
  int64_t longest;
};

}  // namespace embedcore
