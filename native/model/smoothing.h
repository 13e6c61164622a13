// int8 rounds a row of inputs by one step, and a few channels that are always large would take the levels from all
// others. Smoothing moves size from the inputs into the weights (Xiao et al. 2023, "SmoothQuant", with alpha = 1/2 and
// the root mean square for the maximum). How large inputs are is measured once at load, in float32, on texts of words
// drawn from the vocabulary.
//
// Only the matrices behind a norm are smoothed: which of their channels are large is the model's own and the same for
// every text. Behind attention it gained nothing; the middle of a feed-forward has channels that wake for single tokens
// (such as [CLS]), and smoothing for texts without them lost three times what it should have gained.
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

// Of the matrices of a layer that a norm feeds.
struct LayerInputScales {
  InputScales qkv, up;
};

// What to divide the inputs by and multiply the weights [out, in] with: sqrt(size of the channel / greatest of its
// weights), finite and above 0, their geometric mean 1. Ones where the sizes are not finite or all zero. The inputs
// must have been seen.
std::vector<float> smoothing(const InputScales& inputs, const std::vector<float>& weight);

// Texts of tokens drawn from a vocabulary, the same every time.
struct CalibrationTexts {
  CalibrationTexts(int64_t vocab, int64_t max_tokens);  // max_tokens: of a text, 0 = no limit
  std::vector<int32_t> ids, offsets, zeros;
  int64_t longest;
};

}  // namespace embedcore
