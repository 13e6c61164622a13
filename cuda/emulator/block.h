// A block of threads on the CPU. Its threads are fibers of one thread of the system: a fiber runs until it waits (for
// the other lanes of its warp, for a barrier) and then continues as the next one that can run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "emulator/checks.h"

namespace embedcore::cuda::emulator {

constexpr int kMaxThreads = 1024;
constexpr int kMaxWarps = kMaxThreads / 32;
constexpr size_t kArenaBytes = 232 * 1024;  // of a block's shared memory, at most
constexpr uint32_t kAllLanes = 0xffffffffu;

struct Block;
struct Sm90;  // sm90.h
struct Warp;

// The operations that the 32 lanes of a warp execute together.
enum class Operation : uint8_t {
  kSync,
  kShuffle,
  kBallot,
  kLoadMatrix,
  kLoadMatrixTransposed,
  kMma16816Bf16,
  kMma16816F16,
  kMma1688F16,
  kMma16832U8S8,
  kMma8816U8S8,
  kWgmmaFence,
  kWgmma,
  kWgmmaCommit,
  kWgmmaWait,
  kSetRegisters,
};
const char* operation_name(Operation operation);

// What a thread waits for.
enum class Wait : uint8_t { kNothing, kWarp, kBarrier, kMbarrier, kRegisters, kExited };

// A copy of copy_async16 that has not happened yet.
struct PendingCopy {
  const void* from;
  uint32_t to;
  int32_t bytes;
  const void* site;
};

struct Thread {
  void* stack_pointer = nullptr;
  Warp* warp = nullptr;
  Block* block = nullptr;
  uint32_t bit = 0;
  int index = 0, lane = 0;
  const unsigned char* stack = nullptr;  // its lowest address
  Wait wait = Wait::kNothing;
  int wait_id = 0;             // the barrier's number or offset
  int wait_parity = 0;         // of a barrier in shared memory
  const void* site = nullptr;  // where in the kernel it waits
  bool outside = false;        // in code of the emulator, whose accesses are not the kernel's

  // Copies in the order of issue; `groups` are the ends of committed groups.
  std::vector<PendingCopy> copies;
  std::vector<uint32_t> groups;
  uint32_t first_copy = 0, first_group = 0;
};

// What lanes hand over to a matrix operation, row-major, and its result.
struct Fragments {
  alignas(64) uint32_t a[16 * 8];
  alignas(64) uint32_t b[8 * 8];  // [pair or four of k][column]
  union {
    alignas(64) float c[16 * 8];
    int32_t i[16 * 8];
  };
};

struct alignas(64) Warp {
  uint32_t ready = 0;    // lanes that can run
  uint32_t arrived = 0;  // lanes that wait in `operation`
  uint32_t exited = 0;
  Operation operation = Operation::kSync;
  uint8_t parity = 0;  // which half of `values` the current operation uses
  bool backward = false;
  int index = 0;
  Thread* threads = nullptr;  // of lane 0
  // A lane may begin the next operation while others still take the result of the last one, hence two.
  alignas(64) uint32_t values[2][32];
  uint32_t votes[2];
  alignas(64) uint32_t matrices[32][4];
  Fragments fragments;
};

struct NamedBarrier {
  int expected = 0;  // 0 = nobody has arrived
  int arrived = 0;
};

// A kernel as the emulator sees it.
struct KernelInfo {
  const char* name;
  int threads, min_blocks, architecture;
  void (*run)(const void* args);
};

// One launch, shared by the threads of the system that run its blocks.
struct LaunchInfo {
  KernelInfo kernel;
  uint32_t grid[3];
  size_t shared_bytes;
  const void* args;
  size_t args_bytes;
  int architecture, device;
  uint64_t seed = 0;
  LaunchCheck* check = nullptr;
};

struct Block {
  const LaunchInfo* launch = nullptr;
  uint32_t index[3] = {};
  uint32_t grid[3] = {};
  int architecture = 0;
  int thread_count = 0, warp_count = 0;
  int running = 0;  // threads that have not ended
  bool failed = false;
  int device = 0;
  unsigned char* arena = nullptr;
  uint32_t shared_bytes = 0;
  void* main_stack = nullptr;
  int warp_order[kMaxWarps] = {};  // the position of a warp in warp_at
  int warp_at[kMaxWarps] = {};
  NamedBarrier barriers[16];
  BlockCheck* check = nullptr;
  Sm90* sm90 = nullptr;
  Thread threads[kMaxThreads];
  Warp warps[kMaxWarps];
};

// The fiber that runs on this thread of the system, or null.
extern thread_local constinit Thread* current __attribute__((tls_model("initial-exec")));

// Around code of the emulator that uses the standard library: the linker may have taken the kernels' instrumented
// copies of its templates.
class OutsideKernel {
 public:
  explicit OutsideKernel(Thread& thread) : thread_(thread), before_(thread.outside) { thread_.outside = true; }
  ~OutsideKernel() { thread_.outside = before_; }
  OutsideKernel(const OutsideKernel&) = delete;

 private:
  Thread& thread_;
  bool before_;
};

extern "C" __attribute__((visibility("hidden"))) void embedcore_emulator_switch(void** save, void* load);

// Continues with a fiber of another warp; reports a deadlock if none can run.
void run_other_warp(Thread& me);
// A lane arrived at another operation than the lanes before it.
[[noreturn]] void report_different_operation(Thread& me, Operation operation);
// Reports an instruction that the emulated architecture does not have.
void need_newer_architecture(int architecture, const void* site);
EMULATED_PART void need_architecture(int architecture, const void* site) {
  if (current->block->architecture < architecture) [[unlikely]]
    need_newer_architecture(architecture, site);
}
// Ends the launch with this report. Called by a fiber, never returns to it.
[[noreturn]] __attribute__((format(printf, 2, 3))) void fail(const void* site, const char* format, ...);
[[noreturn]] void report_misaligned(const void* at, int bytes, const void* site);

EMULATED_PART void switch_to(Thread& me, Thread& next) {
  current = &next;
  embedcore_emulator_switch(&me.stack_pointer, next.stack_pointer);
}

// The caller has taken itself out of warp->ready.
EMULATED_PART void run_others(Thread& me) {
  Warp& warp = *me.warp;
  if (warp.ready == 0) {
    run_other_warp(me);
    return;
  }
  const int lane = me.lane;
  int next;
  if (!warp.backward) {
    const uint32_t after = warp.ready >> lane | static_cast<uint32_t>(static_cast<uint64_t>(warp.ready) << (32 - lane));
    next = (lane + __builtin_ctz(after)) & 31;
  } else {
    const uint32_t before =
        warp.ready << (31 - lane) | static_cast<uint32_t>(static_cast<uint64_t>(warp.ready) >> (lane + 1));
    next = (lane - __builtin_clz(before)) & 31;
  }
  switch_to(me, warp.threads[next]);
}

// The lanes of a warp meet; the last one executes `body` for all of them.
template <typename Body>
EMULATED_PART void meet(Thread& me, Operation operation, const void* site, Body&& body) {
  Warp& warp = *me.warp;
  if (warp.arrived == 0) {
    warp.operation = operation;
  } else if (warp.operation != operation) [[unlikely]] {
    me.site = site;
    report_different_operation(me, operation);
  }
  warp.arrived |= me.bit;
  if (warp.arrived == kAllLanes) {
    warp.arrived = 0;
    warp.ready = kAllLanes;
    warp.parity ^= 1;
    body(warp);
  } else {
    warp.ready &= ~me.bit;
    me.wait = Wait::kWarp;
    me.site = site;
    run_others(me);
    me.wait = Wait::kNothing;
  }
}

// Runs one block from its first to its last thread. False if it failed; the report is in report.h.
bool run_block(Block& block);
constexpr size_t kStackStride = 48 * 1024 + 1216;  // see block.cc
// The thread whose stack holds the address, or -1.
int stack_owner(const Block& block, const unsigned char* at);
// Memory for a block and its fibers, kept for the next one. Null if there is none.
Block* take_block();
void give_block(Block* block);

}  // namespace embedcore::cuda::emulator
