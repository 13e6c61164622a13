// Matrices that detect reads and writes outside of their elements, in float32 and in the dtypes that operations accept,
// and their comparison.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "base/dtype.h"

namespace embedcore::test {

// Numbers that are the same on every run.
class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  // Uniform in [low, high); [-1, 1) has the standard deviation 0.58.
  float value(double low = -1, double high = 1) {
    return static_cast<float>(low + (high - low) * (static_cast<double>(engine_()) * 0x1p-32));
  }
  int64_t integer(int64_t count) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(count)); }
  template <typename Element>
  void shuffle(std::vector<Element>& list) {
    std::shuffle(list.begin(), list.end(), engine_);
  }

 private:
  std::mt19937 engine_;
};

// [rows, width] with a row stride. The memory ends with the last row's last element, so that the address sanitizer
// detects a read beyond it; the gaps between rows hold NaNs, so that a read of them spoils the result and a write is
// found by expect_gaps_kept.
class Rows {
 public:
  Rows(int64_t rows, int64_t width, int64_t gap = 0) : rows_(rows), width_(width), stride_(width + gap) {
    size_ = rows > 0 ? static_cast<size_t>((rows - 1) * stride_ + width) : 0;
    memory_.reset(new float[size_]);
    std::fill_n(memory_.get(), size_, std::bit_cast<float>(kPoison));
  }
  Rows(const Rows& other) : Rows(other.rows_, other.width_, other.stride_ - other.width_) {
    if (size_ > 0) std::memcpy(memory_.get(), other.memory_.get(), size_ * sizeof(float));
  }
  Rows(Rows&&) = default;
  Rows& operator=(Rows&&) = default;

  Rows& fill(Random& random, double low = -1, double high = 1) {
    return each([&](float) { return random.value(low, high); });
  }
  template <typename Change>
  Rows& each(Change&& change) {
    for (int64_t row = 0; row < rows_; ++row)
      for (int64_t column = 0; column < width_; ++column) at(row, column) = change(at(row, column));
    return *this;
  }
  Rows magnitudes() const {
    return std::move(Rows(*this).each([](float value) { return std::abs(value); }));
  }

  float* data(int64_t row = 0) { return memory_.get() + row * stride_; }
  const float* data(int64_t row = 0) const { return memory_.get() + row * stride_; }
  size_t bytes() const { return size_ * sizeof(float); }
  float& at(int64_t row, int64_t column) { return memory_[static_cast<size_t>(row * stride_ + column)]; }
  float at(int64_t row, int64_t column) const { return memory_[static_cast<size_t>(row * stride_ + column)]; }
  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }
  int64_t stride() const { return stride_; }

  void expect_gaps_kept() const {
    for (int64_t row = 0; row + 1 < rows_; ++row)
      for (int64_t column = width_; column < stride_; ++column)
        ASSERT_EQ(std::bit_cast<uint32_t>(at(row, column)), kPoison)
            << "written beyond row " << row << ", column " << column;
  }

 private:
  static constexpr uint32_t kPoison = 0x7fc0dead;
  int64_t rows_, width_, stride_;
  size_t size_ = 0;
  std::unique_ptr<float[]> memory_;
};

// A copy of rows, or new ones, in memory of a dtype that operations accept: float32, or float16 or bfloat16 rounded to
// nearest even. Ends and gaps as Rows.
class TypedRows {
 public:
  TypedRows(DType dtype, int64_t rows, int64_t width, int64_t gap = 0)
      : dtype_(dtype), rows_(rows), width_(width), stride_(width + gap) {
    const size_t size = rows > 0 ? static_cast<size_t>((rows - 1) * stride_ + width) : 0;
    bytes_ = size * dtype_size(dtype);
    memory_.reset(new std::byte[bytes_]);
    for (size_t i = 0; i < size; ++i) put(static_cast<int64_t>(i), std::bit_cast<float>(poison()));
  }
  // Rows begin .. end.
  TypedRows(DType dtype, const Rows& from, int64_t begin, int64_t end)
      : TypedRows(dtype, end - begin, from.width(), from.stride() - from.width()) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t column = 0; column < width_; ++column) put((row - begin) * stride_ + column, from.at(row, column));
  }
  TypedRows(DType dtype, const Rows& from) : TypedRows(dtype, from, 0, from.rows()) {}

  void* data() { return memory_.get(); }
  const void* data() const { return memory_.get(); }
  size_t bytes() const { return bytes_; }
  int64_t stride() const { return stride_; }

  // The exact values, so results with equal values have the same bits. Fails if something was written into the gaps.
  Rows values() const {
    Rows values(rows_, width_, stride_ - width_);
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t column = 0; column < stride_; ++column) {
        if (column < width_)
          values.at(row, column) = get(row * stride_ + column);
        else if (row + 1 < rows_ && std::bit_cast<uint32_t>(get(row * stride_ + column)) != poison())
          ADD_FAILURE() << "written beyond row " << row << ", column " << column;
      }
    }
    return values;
  }

 private:
  // A NaN that each dtype has.
  uint32_t poison() const {
    return dtype_ == DType::kF32 ? 0x7fc0dead : dtype_ == DType::kBF16 ? 0x7fde0000 : 0x7fd5a000;
  }
  float get(int64_t i) const {
    if (dtype_ == DType::kF32) return reinterpret_cast<const float*>(memory_.get())[i];
    const uint16_t bits = reinterpret_cast<const uint16_t*>(memory_.get())[i];
    return dtype_ == DType::kBF16 ? bf16_to_f32(bits) : f16_to_f32(bits);
  }
  void put(int64_t i, float value) {
    if (dtype_ == DType::kF32)
      reinterpret_cast<float*>(memory_.get())[i] = value;
    else
      reinterpret_cast<uint16_t*>(memory_.get())[i] = dtype_ == DType::kBF16 ? f32_to_bf16(value) : f32_to_f16(value);
  }

  DType dtype_;
  int64_t rows_, width_, stride_;
  size_t bytes_ = 0;
  std::unique_ptr<std::byte[]> memory_;
};

inline bool same_values(const Rows& a, const Rows& b) {
  for (int64_t row = 0; row < a.rows(); ++row)
    if (!std::equal(a.data(row), a.data(row) + a.width(), b.data(row))) return false;
  return true;
}

// Every element is the expected one or within tolerance(row, column) of it; a NaN never is.
template <typename Tolerance>
void expect_close(const Rows& got, const Rows& wanted, Tolerance&& tolerance) {
  ASSERT_EQ(got.rows(), wanted.rows());
  ASSERT_EQ(got.width(), wanted.width());
  for (int64_t row = 0; row < got.rows(); ++row) {
    for (int64_t column = 0; column < got.width(); ++column) {
      if (got.at(row, column) == wanted.at(row, column)) continue;  // infinities too
      const double allowed = tolerance(row, column);
      const double error =
          std::abs(static_cast<double>(got.at(row, column)) - static_cast<double>(wanted.at(row, column)));
      ASSERT_TRUE(error <= allowed) << "row " << row << ", column " << column << ": " << got.at(row, column)
                                    << " instead of " << wanted.at(row, column) << ", off by " << error << ", allowed "
                                    << allowed;
    }
  }
  got.expect_gaps_kept();
}

// Rows begin .. of `all` are bit for bit the rows of `part`.
inline void expect_same_bits(const Rows& part, const Rows& all, int64_t begin = 0) {
  ASSERT_EQ(part.width(), all.width());
  ASSERT_LE(begin + part.rows(), all.rows());
  for (int64_t row = 0; row < part.rows(); ++row) {
    for (int64_t column = 0; column < part.width(); ++column) {
      const float got = part.at(row, column), wanted = all.at(begin + row, column);
      ASSERT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(wanted))
          << "row " << begin + row << ", column " << column << ": " << got << " and " << wanted;
    }
  }
  part.expect_gaps_kept();
}

}  // namespace embedcore::test
