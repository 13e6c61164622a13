#include "numbers.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "base/dtype.h"

namespace embedcore::gpu_bench {

namespace {

// Odd, so that rows of common widths do not repeat each other.
constexpr int64_t kBlock = (int64_t{1} << 21) - 1;

const std::vector<float>& normal_block() {
  static const std::vector<float> block = [] {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal(0, 1);
    std::vector<float> numbers(static_cast<size_t>(kBlock));
    for (float& number : numbers) number = normal(engine);
    return numbers;
  }();
  return block;
}

// As many as there are, up to a block; of any type of 16 or 32 bits.
std::vector<std::byte> converted_block(int64_t count, DType dtype, float deviation) {
  const auto& block = normal_block();
  const auto size = static_cast<size_t>(std::min(count, kBlock));
  std::vector<std::byte> bytes(size * dtype_size(dtype));
  for (size_t i = 0; i < size; ++i) {
    const float number = block[i] * deviation;
    if (dtype == DType::kF32) {
      std::memcpy(bytes.data() + 4 * i, &number, 4);
    } else {
      const uint16_t half = dtype == DType::kF16 ? f32_to_f16(number) : f32_to_bf16(number);
      std::memcpy(bytes.data() + 2 * i, &half, 2);
    }
  }
  return bytes;
}

}  // namespace

void fill_random(uint16_t* to, int64_t count, DType dtype, float deviation) {
  const auto block = converted_block(count, dtype, deviation);
  const int64_t size = static_cast<int64_t>(block.size() / sizeof(uint16_t));
  for (int64_t first = 0; first < count; first += size)
    std::memcpy(to + first, block.data(), static_cast<size_t>(std::min(size, count - first)) * sizeof(uint16_t));
}

std::vector<uint16_t> random_halves(int64_t count, DType dtype, float deviation) {
  std::vector<uint16_t> halves(static_cast<size_t>(count));
  fill_random(halves.data(), count, dtype, deviation);
  return halves;
}

std::shared_ptr<void> random_rows(OpenStream& stream, int64_t count, DType dtype, float deviation) {
  const size_t bytes = static_cast<size_t>(count) * dtype_size(dtype);
  std::shared_ptr<void> memory = stream.opened().allocate(bytes);
  const auto block = converted_block(count, dtype, deviation);
  for (size_t first = 0; first < bytes; first += block.size())
    check_status(stream.opened().backend().upload(stream, static_cast<std::byte*>(memory.get()) + first, block.data(),
                                                  std::min(block.size(), bytes - first)),
                 stream, "an upload");
  stream.wait();
  return memory;
}

DType rows_dtype(const OpenDevice& device, DType arithmetic) {
  if (arithmetic != DType::kI8) return arithmetic;
  return device.supports(DType::kBF16) ? DType::kBF16 : DType::kF16;
}

}  // namespace embedcore::gpu_bench
