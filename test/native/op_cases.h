// The list of cases of each operation, for all backends. Sizes are around those of blocks in implementations: vectors
// of 4, 8 or 16 floats, words of 2 bfloat16 or 4 bytes, tiles of 6 rows and 8, 16 or 64 columns, blocks of 240 rows and
// a depth of 512; runs of 256 queries, blocks of 512 keys.
#pragma once

#include <algorithm>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "ops/attention.h"
#include "ops/norm.h"
#include "ops/pool.h"
#include "ops/vectors.h"

namespace embedcore::test {

struct LinearCase {
  int64_t rows, in, out;
  Activation activation = Activation::kIdentity;
  bool bias = true;
  bool residual = false;
  bool in_place = false;  // y is the residual
  int64_t gap = 0;        // strides beyond widths
};

constexpr Activation kEveryActivation[] = {Activation::kIdentity, Activation::kGelu, Activation::kGeluTanh,
                                           Activation::kRelu,     Activation::kSilu, Activation::kTanh,
                                           Activation::kSigmoid};

inline const std::vector<LinearCase>& linear_cases() {
  static const std::vector<LinearCase> cases = [] {
    std::vector<LinearCase> list = {
        {1, 1, 1},
        {1, 1, 1, Activation::kTanh, false},
        {1, 384, 384},
        {1, 3, 65, Activation::kRelu},
        {2, 5, 63, Activation::kGelu},
        {5, 17, 15, Activation::kSilu, true, true},
        {6, 16, 64, Activation::kGeluTanh},
        {7, 100, 129, Activation::kSigmoid, true, false, false, 3},
        {12, 511, 31, Activation::kIdentity, false, true, false, 1},
        {13, 512, 33, Activation::kGelu, true, true, true, 5},
        {11, 513, 48, Activation::kTanh, true, true, true},
        {3, 1537, 100, Activation::kIdentity, true, true},
        {239, 24, 17},
        {241, 40, 70, Activation::kGelu, true, false, false, 7},
        {481, 33, 80, Activation::kIdentity, true, true, true, 2},
        {64, 384, 1536, Activation::kGelu},
        {0, 8, 8},
        // around tiles of 64, 128 and 256 rows or columns; sums that end around steps of 32 and 64
        {65, 31, 257, Activation::kGelu, true, true},
        {130, 72, 264, Activation::kSilu, true, false, false, 8},
        {129, 65, 136, Activation::kIdentity, true, true, true, 4},
        {257, 96, 128},
        {31, 160, 300, Activation::kGeluTanh},
    };
    // The last word of a row whole or in part, at the start and around blocks, each with rows 1 to 13 and columns
    // around 16 and 64 in turn.
    constexpr int64_t kOut[] = {1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 47, 48, 49};
    size_t i = 0;
    for (const int64_t in : {1, 2, 3, 4, 5, 7, 510, 511, 512, 513, 514, 2047, 2048, 2049, 4097}) {
      for (int repeat = 0; repeat < (in < 2000 ? 3 : 1); ++repeat, ++i) {
        const bool residual = i % 3 == 1;
        const auto rows = static_cast<int64_t>(1 + i % 13), gap = static_cast<int64_t>(i % 5 / 3);
        list.push_back({rows, in, kOut[(i * 5 + i / 13) % 13], kEveryActivation[i % 7], i % 4 != 2, residual,
                        residual && i % 2 == 0, gap});
      }
    }
    return list;
  }();
  return cases;
}

// About how many products an operation computes.
inline double cost_of(const LinearCase& c) {
  return static_cast<double>(c.rows) * static_cast<double>(c.in) * static_cast<double>(c.out);
}

inline std::string name_of(const LinearCase& c) {
  std::ostringstream text;
  text << "linear rows " << c.rows << ", in " << c.in << ", out " << c.out << ", activation "
       << static_cast<int>(c.activation) << (c.bias ? ", bias" : "") << (c.residual ? ", residual" : "")
       << (c.in_place ? " in place" : "") << ", gap " << c.gap;
  return text.str();
}

// Whether q and k are RMS-normalised first.
enum class HeadNorms { kNone, kBoth, kQuery, kKey };

struct AttentionCase {
  std::vector<int32_t> lengths;
  int64_t heads, kv_heads, head_dim;
  Mask mask = Mask::kBidirectional;
  int64_t window = 0;
  std::vector<int32_t> prefix = {};  // for kPrefix
  int64_t rotary_dim = 0;
  HeadNorms norms = HeadNorms::kNone;
  bool bias = false;
  int64_t gap = 0;
  float size = 1;   // of q, k and v
  float slope = 0;  // of the bias: the score added per key to the right
  float sign = 1;   // of the scale; 0: all scores are equal
};

inline const std::vector<AttentionCase>& attention_cases() {
  constexpr Mask kBoth = Mask::kBidirectional, kCausal = Mask::kCausal, kPrefix = Mask::kPrefix;
  constexpr HeadNorms kNone = HeadNorms::kNone, kNorms = HeadNorms::kBoth;
  static const std::vector<AttentionCase> cases = {
      {{1}, 1, 1, 8},
      {{1, 1, 1}, 2, 2, 64, kCausal},
      {{0}, 2, 2, 16},
      {{0, 3, 0, 0, 1, 0}, 2, 2, 16},
      {{2, 5, 7, 16, 17}, 12, 12, 32},
      {{33, 4, 65, 1}, 3, 3, 20, kBoth, 0, {}, 0, kNone, false, 5},
      {{9, 48, 49}, 2, 2, 128},
      {{23, 6}, 1, 1, 256, kCausal},
      {{31, 2}, 2, 1, 80, kBoth, 0, {}, 0, kNone, false, 1},
      // grouped heads, rotary positions, norms, biases
      {{40, 13, 1}, 14, 2, 64, kCausal, 0, {}, 64},
      {{19, 64, 5}, 8, 4, 128, kCausal, 0, {}, 128, kNorms},
      {{10, 50}, 6, 1, 24, kBoth, 0, {}, 12, kNorms, true, 3},
      {{17, 3, 70}, 4, 4, 16, kBoth, 0, {}, 0, kNone, true},
      {{6, 11}, 2, 1, 20, kBoth, 0, {}, 0, HeadNorms::kQuery},
      {{6, 11}, 2, 1, 20, kBoth, 0, {}, 0, HeadNorms::kKey},
      {{21}, 2, 2, 40, kCausal, 0, {}, 2, kNone, true},
      // windows: nothing but itself, around the vector and tile widths, wider than the text
      {{12, 30}, 2, 2, 16, kCausal, 1},
      {{12, 30, 1}, 2, 2, 16, kBoth, 1, {}, 16},
      {{100, 90}, 2, 2, 32, kBoth, 16, {}, 32, kNone, true},
      {{150, 7}, 2, 2, 32, kCausal, 17},
      {{20}, 1, 1, 64, kCausal, 500},
      {{20}, 1, 1, 64, kBoth, 19},
      // prefixes: none, part, all and more than all; with a window
      {{10, 10, 10, 10, 1, 0}, 2, 2, 16, kPrefix, 0, {0, 1, 10, 99, 1, 3}},
      {{60, 45}, 4, 2, 32, kPrefix, 0, {20, 44}, 32, kNorms},
      {{80, 33}, 2, 2, 16, kPrefix, 9, {30, 5}, 0, kNone, true},
      // more than one run of queries; fewer rows in a block because the text is long
      {{257, 5, 256, 513}, 2, 1, 16, kCausal, 0, {}, 16},
      {{300}, 3, 3, 64, kBoth, 64, {}, 64},
      {{2100}, 1, 1, 8},
      {{17000, 4}, 1, 1, 8, kCausal, 40},
      // pairs that are not whole, and heads of 96
      {{9, 34}, 2, 1, 5, kBoth, 0, {}, 0, kNone, false, 1},
      {{35, 7}, 3, 1, 96, kCausal, 0, {}, 96},
      // around blocks of 512 keys: all seen, causal, windows that begin and end in every block, prefixes that end after
      // one
      {{511, 512, 513}, 2, 1, 16},
      {{513, 1}, 2, 2, 64, kCausal, 0, {}, 64, kNorms},
      {{1023, 2}, 2, 1, 32, kCausal, 0, {}, 0, kNone, true},
      {{1024}, 1, 1, 40, kBoth, 511},
      {{1025}, 2, 1, 20, kCausal, 17},
      {{1025}, 1, 1, 8, kCausal, 513, {}, 0, kNone, true},
      {{600, 1025}, 1, 1, 16, kPrefix, 0, {520, 1000}, 16},
      {{3100}, 1, 1, 8, kCausal},
      // each block's greatest score is far above, or far below, that of the blocks before it
      {{1025}, 1, 1, 8, kBoth, 0, {}, 0, kNone, true, 0, 1, 0.05f},
      {{1300}, 1, 1, 8, kCausal, 0, {}, 0, kNone, true, 0, 1, -0.05f},
      {{700}, 1, 1, 32, kBoth, 16, {}, 0, kNone, true, 0, 1, 3.0f},
      // scores of a few hundred: one key takes all
      {{30, 8}, 2, 2, 64, kBoth, 0, {}, 0, kNone, false, 0, 30.0f},
      {{25}, 2, 2, 16, kCausal, 0, {}, 0, kNone, false, 0, 1e-12f},
      // around the tokens that a block of a GPU takes, 16, 32, 64 and 128; groups of heads that share its rows; each
      // width of its tiles
      {{15, 16, 17, 31, 32, 33}, 3, 3, 64},
      {{63, 64, 65, 127, 128, 129}, 2, 2, 32},
      {{129, 1, 64, 33}, 8, 4, 64, kCausal, 0, {}, 64},
      {{10, 3, 70}, 14, 2, 64, kCausal, 0, {}, 64},
      {{10, 16}, 8, 1, 128, kBoth, 0, {}, 128, kNorms},
      {{17, 130}, 3, 1, 128, kPrefix, 33, {5, 90}},
      {{70, 9}, 4, 2, 80, kBoth, 0, {}, 0, kNone, true},
      {{12, 66}, 5, 5, 96, kCausal, 20},
      {{67, 16, 4}, 4, 2, 256, kBoth, 0, {}, 256},
      {{33, 5}, 2, 1, 264, kCausal, 0, {}, 8},
      // scales that turn the order of the scores, or make them equal; with and without a bias
      {{30, 70}, 2, 1, 64, kCausal, 0, {}, 0, kNone, false, 0, 1, 0, -1},
      {{67, 9}, 2, 2, 32, kBoth, 0, {}, 0, kNone, true, 0, 1, 0, -1},
      {{20, 65}, 2, 1, 32, kBoth, 0, {}, 0, kNone, false, 0, 1, 0, 0},
  };
  return cases;
}

inline double cost_of(const AttentionCase& c) {
  double pairs = 0;
  for (const int32_t n : c.lengths) {
    const double prefix = c.mask == Mask::kPrefix ? n : 0.0;
    pairs += static_cast<double>(n) * (c.window > 0 ? std::min<double>(n, 2.0 * static_cast<double>(c.window) + prefix)
                                                    : static_cast<double>(n));
  }
  return 2 * pairs * static_cast<double>(c.heads * c.head_dim);
}

inline std::string name_of(const AttentionCase& c) {
  std::ostringstream text;
  text << "attention lengths";
  for (const int32_t length : c.lengths) text << ' ' << length;
  text << ", heads " << c.heads << '/' << c.kv_heads << " of " << c.head_dim << ", mask " << static_cast<int>(c.mask)
       << ", window " << c.window << ", rotary " << c.rotary_dim << ", norms " << static_cast<int>(c.norms)
       << (c.bias ? ", bias" : "") << ", gap " << c.gap << ", size " << c.size << ", slope " << c.slope << ", sign "
       << c.sign;
  return text.str();
}

struct NormCase {
  int64_t rows, width;
  bool weight = true, bias = true, in_place = false;
  int64_t gap = 0;
  float epsilon = 1e-12f;
  double offset = 0;  // the rows' mean
  double size = 1;
};

inline const NormCase kNormCases[] = {
    {1, 1, true, true, false, 0, 1e-5f},
    {1, 384},
    {3, 15, true, false},
    {5, 16, false, false},
    {7, 17, true, true, true, 3},
    {65, 33, true, true, true},
    {130, 768, true, false, false, 1, 1e-6f},
    {4, 1025, false, true, false, 0, 1e-5f},
    {3, 384, true, true, false, 0, 1e-12f, 1000},
    {3, 384, true, true, false, 0, 1e-5f, 3, 0},    // all elements of a row are equal
    {3, 64, true, true, false, 0, 1e-5f, 0, 1e-4},  // epsilon counts
    {2, 50, true, true, false, 0, 1e-12f, 0, 1e15},
    // shared by more and more threads
    {3, 896, true, true, true, 4},
    {2, 1024, true, false},
    {2, 3584},
    {3, 6001, true, true, false, 2},
    {2, 8192, true, true, true},
    {2, 9001, true, true, true, 3},
    {0, 8},
};

inline double cost_of(const NormCase& c) { return static_cast<double>(c.rows * c.width); }

inline std::string name_of(const NormCase& c) {
  std::ostringstream text;
  text << "norm rows " << c.rows << ", width " << c.width << (c.weight ? ", weight" : "") << (c.bias ? ", bias" : "")
       << (c.in_place ? ", in place" : "") << ", gap " << c.gap << ", epsilon " << c.epsilon << ", offset " << c.offset
       << ", size " << c.size;
  return text.str();
}

// Rows and widths for operations that go element by element.
struct ElementCase {
  int64_t rows, width;
  int64_t gap = 0;
};

inline const ElementCase kElementCases[] = {{1, 1},     {1, 384},  {2, 15},      {3, 16, 1}, {31, 17, 3}, {33, 64},
                                            {65, 7, 2}, {70, 131}, {3, 1000, 4}, {2, 3584},  {1, 9001},   {0, 8}};

inline double cost_of(const ElementCase& c) { return static_cast<double>(c.rows * c.width); }

struct EmbedPart {
  DType dtype;
  bool ids = true;  // else null: row 0 for every token
};

struct EmbedCase {
  int64_t tokens, width, vocab;
  std::vector<EmbedPart> tables;
  int64_t gap = 0;
};

inline double cost_of(const EmbedCase& c) {
  return static_cast<double>(c.tokens * c.width) * static_cast<double>(c.tables.size());
}

inline const std::vector<EmbedCase>& embed_cases() {
  constexpr DType kF32 = DType::kF32, kF16 = DType::kF16, kBF16 = DType::kBF16;
  static const std::vector<EmbedCase> cases = {
      {1, 1, 1, {{kF32}, {kF32}, {kF32, false}}},
      {1, 384, 10, {{kF16}, {kF32}, {kBF16, false}}},
      {129, 33, 7, {{kF32}, {kBF16}}, 5},
      {128, 16, 50, {{kF32}}},
      {130, 17, 50, {{kF16}}, 1},
      {127, 15, 50, {{kBF16}}},
      {9, 40, 3, {{kF16, false}}},
      {300, 65, 20, {{kF32}, {kF32, false}}},
      {70, 100, 30, {{kBF16}, {kF16}, {kF32}, {kBF16}}, 3},
      {5, 31, 4, {{kF32, false}, {kF16}, {kF16}, {kF32}, {kBF16}, {kF32}, {kF16, false}, {kBF16}}},
      {3, 1028, 5, {{kBF16}, {kF32}, {kF16, false}}, 4},
      {0, 8, 1, {{kF32}}},
  };
  return cases;
}

struct BagCase {
  std::vector<int32_t> lengths;
  int64_t width, table_rows;
  DType dtype;
  bool scales, weights;
  int64_t gap = 0;
};

inline double tokens_of(const std::vector<int32_t>& lengths) {
  return std::accumulate(lengths.begin(), lengths.end(), 0.0);
}

inline double cost_of(const BagCase& c) { return tokens_of(c.lengths) * static_cast<double>(c.width); }

inline const std::vector<BagCase>& bag_cases() {
  static const std::vector<BagCase> cases = {
      {{1}, 1, 1, DType::kF32, false, false},
      {{3, 0, 5, 1}, 256, 40, DType::kF32, false, false},
      {{2, 9, 100}, 17, 300, DType::kF16, false, true, 3},
      {{0, 4, 33}, 64, 50, DType::kBF16, true, true},
      {{7, 1, 0}, 15, 9, DType::kI8, true, false},
      {{12, 30}, 130, 20, DType::kI8, true, true, 1},
      {{5}, 16, 6, DType::kI8, false, false},
      {{0, 0}, 8, 1, DType::kF32, false, false},
      {{4, 1, 0, 5}, 516, 30, DType::kI8, true, false},
  };
  return cases;
}

struct PoolCase {
  std::vector<int32_t> lengths;
  std::vector<int32_t> skip;  // empty = null
  int64_t width;
  int64_t gap = 0;
};

inline double cost_of(const PoolCase& c) { return tokens_of(c.lengths) * static_cast<double>(c.width); }

inline const std::vector<PoolCase>& pool_cases() {
  static const std::vector<PoolCase> cases = {
      {{1}, {}, 1},
      {{1, 2, 17}, {}, 384},
      {{0, 5, 0}, {}, 33, 3},
      {{4, 9, 3, 1, 0}, {0, 2, 3, 5, 1}, 17, 1},
      {{300, 40}, {7, 39}, 64},
      {{8, 9, 1}, {}, 1028, 4},
      {{}, {}, 8},
  };
  return cases;
}

constexpr Pooling kEveryPooling[] = {Pooling::kCls,         Pooling::kMean,         Pooling::kMax,
                                     Pooling::kMeanSqrtLen, Pooling::kWeightedMean, Pooling::kLastToken};
constexpr Similarity kEverySimilarity[] = {Similarity::kCosine, Similarity::kDot, Similarity::kEuclidean,
                                           Similarity::kManhattan};
constexpr Precision kEveryPrecision[] = {Precision::kInt8, Precision::kUint8, Precision::kBinary, Precision::kUbinary};

// The offsets of texts of these lengths.
inline std::vector<int32_t> offsets_of(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> offsets = {0};
  for (const int32_t length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}

}  // namespace embedcore::test
