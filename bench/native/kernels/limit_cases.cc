#include "limit_cases.h"

#include <memory>

#include "../limits.h"

namespace embedcore::bench {
namespace {

constexpr int64_t kPeakRounds = 20000;
constexpr int64_t kClockRounds = 20000, kChain = 8;
constexpr size_t kColdBytes = size_t{192} << 20;  // as of the weights in linear.cc
constexpr size_t kReadBytes = size_t{32} << 20;   // of a call; the next call takes the next piece

struct Memory {
  void* data = ::operator new (kColdBytes, std::align_val_t{64});
  size_t next = 0;

  Memory() { std::memset(data, 1, kColdBytes); }
  ~Memory() { ::operator delete (data, std::align_val_t{64}); }
  Memory(const Memory&) = delete;
};

struct Part {
  const char* data;
  size_t bytes;
};

const Loop& loop_of(DType dtype) {
  const Loop& own = dtype == DType::kI8 ? kInt8Loop : dtype == DType::kBF16 ? kBfloat16Loop : kFloat32Loop;
  return own.run ? own : kFloat32Loop;
}

int add(std::vector<Case>& cases, Fields fields, bool all_threads, double work, std::function<void(Stream&)> call) {
  cases.push_back({std::move(fields), all_threads, std::move(call), work});
  return static_cast<int>(cases.size()) - 1;
}

}  // namespace

int add_peak(std::vector<Case>& cases, const Context& context, DType dtype, bool all_threads) {
  const Loop& loop = loop_of(dtype);
  const int64_t threads = all_threads ? context.team.threads() : 1;
  const double work = static_cast<double>(threads) * static_cast<double>(kPeakRounds) * loop.operations;
  auto fields = Fields()
                    .text("kernel", "peak")
                    .text("dtype", loop.precision)
                    .text("instructions", loop.instructions)
                    .number("operations", static_cast<int64_t>(work));
  return add(cases, std::move(fields), all_threads, work, [threads, &loop](Stream& stream) {
    stream.parallel(
        stream.team, threads, [](void* arg, int64_t) { static_cast<const Loop*>(arg)->run(kPeakRounds); },
        const_cast<Loop*>(&loop));
  });
}

int add_read(std::vector<Case>& cases, const Context& context, bool all_threads) {
  static const auto memory = std::make_shared<Memory>();
  const int64_t threads = all_threads ? context.team.threads() : 1;
  const size_t bytes = kReadBytes / static_cast<size_t>(threads) / 256 * 256;
  const double work = static_cast<double>(bytes) * static_cast<double>(threads);
  return add(cases, Fields().text("kernel", "read").number("bytes", static_cast<int64_t>(work)), all_threads, work,
             [threads, bytes](Stream& stream) {
               Part part{static_cast<const char*>(memory->data) + memory->next, bytes};
               memory->next = (memory->next + kReadBytes) % kColdBytes;
               stream.parallel(
                   stream.team, threads,
                   [](void* arg, int64_t thread) {
                     const auto& part = *static_cast<const Part*>(arg);
                     read_bytes(part.data + static_cast<size_t>(thread) * part.bytes, part.bytes);
                   },
                   &part);
             });
}

int add_clock(std::vector<Case>& cases) {
  return add(cases, Fields().text("kernel", "clock").number("cycles", kClockRounds * kChain), false,
             static_cast<double>(kClockRounds * kChain), [](Stream&) {
               uint64_t sum = 0;
               for (int64_t i = 0; i < kClockRounds; ++i) {
#pragma GCC unroll 8
                 for (int64_t j = 0; j < kChain; ++j) {
                   ++sum;
                   asm volatile("" : "+r"(sum));  // one addition after the other
                 }
               }
             });
}

}  // namespace embedcore::bench
