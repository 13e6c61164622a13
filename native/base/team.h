// Lets idle workers help a busy one with the tasks of a single operation.
//
// A leader calls run(); workers without other work call help() in a loop. The result of a task does not depend on the
// thread that runs it, so a helper may come late, leave early or never come: the leader does the rest.
#pragma once

#include <atomic>
#include <cstdint>

namespace embedcore {

class Team {
 public:
  using Body = void (*)(void* arg, int64_t task);

  // Runs body(arg, 0 .. tasks-1), each once; returns when all are done. One caller at a time: the leader.
  void run(int64_t tasks, Body body, void* arg);

  // Takes part in the open run, if there is one; returns whether a task was done.
  bool help();

  // Set by a leader that expects helpers, for the time of its work; helpers stay while it is set.
  std::atomic<bool> wants_help{false};
  std::atomic<int> helpers{0};

 private:
  bool take();

  std::atomic<bool> open_{false};
  std::atomic<int> inside_{0};
  std::atomic<int64_t> next_{0};
  int64_t tasks_ = 0;
  Body body_ = nullptr;
  void* arg_ = nullptr;
};

inline void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace embedcore
