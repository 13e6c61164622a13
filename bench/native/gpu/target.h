// The backend and the device that a mode measures, and the time that is left.
#pragma once

#include <chrono>

#include "model/device.h"
#include "options.h"

namespace embedcore::gpu_bench {

// Throws Error.
const Backend& find_backend(const Options& options);

class Deadline {
 public:
  explicit Deadline(double seconds)
      : end_(std::chrono::steady_clock::now() +
             std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))) {}
  bool passed() const { return Clock::now() >= end_; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point end_;
};

// Modes; each prints its lines and returns the number of cases that failed. They throw Error.
int device_mode(const Options& options);
int golden_mode(const Options& options);
int linear_mode(const Options& options);
int attention_mode(const Options& options);
int encode_mode(const Options& options);

}  // namespace embedcore::gpu_bench
