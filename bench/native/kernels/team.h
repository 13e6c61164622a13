// The Stream of the kernel bench: helpers that spin while a measurement with several threads runs and sleep otherwise.
//
// The engine's workers are not used, because their number varies from call to call, and here every call needs the same.
// A helper that spins and loses its core to another process delays the whole call, so timing.cc determines before and
// after each sample for how long each thread had no core, and drops samples in which one lost it.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include <time.h>

#include "ops/backend.h"

namespace embedcore::bench {

class Team {
 public:
  explicit Team(int threads) {
    absent_.resize(static_cast<size_t>(threads));
    for (int i = 1; i < threads; ++i) helpers_.emplace_back([this, i] { help(i); });
  }
  ~Team() {
    state_ = kEnding;
    state_.notify_all();
    for (auto& helper : helpers_) helper.join();
  }
  Team(const Team&) = delete;

  int threads() const { return static_cast<int>(helpers_.size()) + 1; }
  void wake() { state_ = kSpinning, state_.notify_all(); }
  void sleep() { state_ = kAsleep; }

  // The total seconds for which the caller and, with `all`, every helper had no core; helpers must be awake. Each
  // thread reads its two clocks one directly after the other, so a delay between the readings of two threads does not
  // count.
  const std::vector<double>& absent(bool all) {
    absent_[0] = own_absence();
    if (all && !helpers_.empty()) {
      asking_ = true;
      run_on_all(this, 0, nullptr, nullptr);
      asking_ = false;
    }
    return absent_;
  }

  // A stream of all threads, or of the caller alone.
  Stream stream(bool all) {
    Stream stream;
    stream.team = this;
    if (all && !helpers_.empty()) stream.parallel = run_on_all;
    return stream;
  }

 private:
  enum State : int { kAsleep, kSpinning, kEnding };
  using Body = void (*)(void* arg, int64_t task);

  static void run_on_all(void* self, int64_t tasks, Body body, void* arg) {
    Team& team = *static_cast<Team*>(self);
    team.tasks_ = tasks;
    team.body_ = body;
    team.arg_ = arg;
    team.next_.store(0, std::memory_order_relaxed);
    team.done_.store(0, std::memory_order_relaxed);
    team.round_.fetch_add(1);  // publishes the fields above
    team.take_tasks();
    // All helpers have left the round before its fields may change.
    while (team.done_.load() != static_cast<int>(team.helpers_.size())) pause();
  }

  static double seconds(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
  static double own_absence() { return seconds(CLOCK_MONOTONIC) - seconds(CLOCK_THREAD_CPUTIME_ID); }

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  void take_tasks() {
    for (int64_t task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) body_(arg_, task);
  }

  void help(int self) {
    for (uint64_t seen = 0;;) {
      state_.wait(kAsleep);
      if (state_ == kEnding) return;
      const uint64_t round = round_.load();
      if (round == seen) {
        pause();
        continue;
      }
      seen = round;
      if (asking_) absent_[static_cast<size_t>(self)] = own_absence();
      take_tasks();
      done_.fetch_add(1);
    }
  }

  std::atomic<int> state_{kAsleep};
  alignas(64) std::atomic<uint64_t> round_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> done_{0};
  int64_t tasks_ = 0;
  Body body_ = nullptr;
  void* arg_ = nullptr;
  bool asking_ = false;
  std::vector<double> absent_;
  std::vector<std::thread> helpers_;  // last: they use all of the above
};

// A kernel that fails must not be timed.
inline void must(Status status, const Stream& stream) {
  if (status == kOk) return;
  std::fprintf(stderr, "kernels: an op failed with status %d: %s\n", static_cast<int>(status), stream.message);
  std::exit(1);
}

}  // namespace embedcore::bench
