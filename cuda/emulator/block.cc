#include "emulator/block.h"

#include <sys/mman.h>

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <string>

#include "emulator/memory.h"
#include "emulator/report.h"
#include "emulator/shadow.h"
#include "emulator/shared.h"
#include "emulator/sm90.h"

namespace embedcore::cuda::emulator {

thread_local constinit Thread* current __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

// Stacks are kStackStride apart: not a multiple of a page, so that the parts in use fall into different sets of the
// cache.
constexpr size_t kStacksBytes = (kStackStride * kMaxThreads + 8191) / 4096 * 4096;
constexpr size_t kPage = 4096;
constexpr uint64_t kCanary = 0x5ca1ab1e0ddba11;
constexpr size_t kSlack = 1024;  // of the arena's end, watched

// The memory of one thread of the system that runs blocks.
struct Worker {
  Block block;
  unsigned char* stacks = nullptr;
  unsigned char* arena = nullptr;
};

struct Workers {
  std::mutex mutex;
  std::vector<Worker*> idle;  // guarded by mutex
};
Workers& workers() {
  static auto* instance = new Workers;
  return *instance;
}

Worker& worker_of(Block& block) { return reinterpret_cast<Worker&>(block); }  // its first member

unsigned char* stack_of(Worker& worker, int thread) { return worker.stacks + kStackStride * thread; }

void thread_main() {
  Thread& me = *current;
  Block& block = *me.block;
  block.launch->kernel.run(block.launch->args);
  leave(me);
  me.wait = Wait::kExited;
  me.warp->ready &= ~me.bit;
  me.warp->exited |= me.bit;
  if (--block.running == 0) {
    current = nullptr;
    embedcore_emulator_switch(&me.stack_pointer, block.main_stack);
  }
  run_others(me);
  __builtin_unreachable();
}

// The stack of a fiber that begins in thread_main.
void* prepare_stack(unsigned char* bottom) {
  std::memcpy(bottom, &kCanary, sizeof kCanary);
  auto top = reinterpret_cast<uintptr_t>(bottom + kStackStride) & ~uintptr_t{63};
  auto* at = reinterpret_cast<void**>(top);
#if defined(__x86_64__)
  *--at = nullptr;  // the return address of thread_main, which never returns
  *--at = reinterpret_cast<void*>(thread_main);
  for (int i = 0; i < 6; ++i) *--at = nullptr;
#elif defined(__aarch64__)
  at -= 20;
  for (int i = 0; i < 20; ++i) at[i] = nullptr;
  at[11] = reinterpret_cast<void*>(thread_main);  // x30
#endif
  return at;
}

uint64_t scramble(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

void order_warps(Block& block) {
  for (int w = 0; w < block.warp_count; ++w) block.warp_at[w] = w;
  uint64_t random = block.launch->seed;
  for (int w = 0; w < block.warp_count; ++w) block.warps[w].backward = false;
  if (random != 0) {
    random = scramble(random ^ block.index[0] ^ uint64_t{block.index[1]} << 24 ^ uint64_t{block.index[2]} << 44);
    for (int w = block.warp_count - 1; w > 0; --w) {
      random = scramble(random);
      std::swap(block.warp_at[w], block.warp_at[random % (w + 1)]);
    }
    random = scramble(random);
    for (int w = 0; w < block.warp_count; ++w) block.warps[w].backward = random >> w & 1;
  }
  for (int p = 0; p < block.warp_count; ++p) block.warp_order[block.warp_at[p]] = p;
}

void start_threads(Worker& worker) {
  Block& block = worker.block;
  for (int w = 0; w < block.warp_count; ++w) {
    Warp& warp = block.warps[w];
    warp.ready = kAllLanes;
    warp.arrived = warp.exited = 0;
    warp.parity = 0;
    warp.index = w;
    warp.threads = &block.threads[32 * w];
  }
  for (int t = 0; t < block.thread_count; ++t) {
    Thread& thread = block.threads[t];
    thread.stack_pointer = prepare_stack(stack_of(worker, t));
    thread.warp = &block.warps[t / 32];
    thread.block = &block;
    thread.stack = stack_of(worker, t);
    thread.index = t;
    thread.lane = t % 32;
    thread.bit = 1u << t % 32;
    thread.wait = Wait::kNothing;
    thread.site = nullptr;
    thread.outside = false;
    thread.copies.clear();
    thread.groups.clear();
    thread.first_copy = thread.first_group = 0;
  }
  for (NamedBarrier& barrier : block.barriers) barrier = {};
}

std::string where(const Block& block) {
  return format("%s, block (%u, %u, %u)", block.launch->kernel.name, block.index[0], block.index[1], block.index[2]);
}

std::string waits(const Thread& thread) {
  switch (thread.wait) {
    case Wait::kNothing: return "runs";
    case Wait::kWarp:
      return format("waits in %s for the other lanes of its warp", operation_name(thread.warp->operation));
    case Wait::kBarrier:
      if (thread.wait_id == 0) return "waits in sync_block";
      return format("waits at the named barrier %d, where %d of %d threads have arrived", thread.wait_id,
                    thread.block->barriers[thread.wait_id].arrived, thread.block->barriers[thread.wait_id].expected);
    case Wait::kMbarrier:
      return format("waits for the parity %d of %s", thread.wait_parity,
                    describe_mbarrier(*thread.block, thread.wait_id).c_str());
    case Wait::kRegisters: return format("waits for %d registers a thread", thread.wait_id);
    case Wait::kExited: return "has ended";
  }
  return "";
}

// Who waits where, equal neighbours in one line.
std::string list_waits(const Block& block) {
  std::string list, last;
  int first = 0;
  auto flush = [&](int end) {
    if (end == first) return;
    list += end - first == 1 ? format("\n  thread %d %s", first, last.c_str())
                             : format("\n  threads %d to %d: each %s", first, end - 1, last.c_str());
    first = end;
  };
  for (int t = 0; t < block.thread_count; ++t) {
    const Thread& thread = block.threads[t];
    std::string text = waits(thread);
    if (thread.wait != Wait::kNothing && thread.wait != Wait::kExited && thread.site)
      text += " (" + place_of(thread.site) + ")";
    if (text != last) {
      flush(t);
      last = text;
    }
  }
  flush(block.thread_count);
  return list;
}

// Leaves the block for ever; its fibers are never continued.
[[noreturn]] void abandon(Thread& me, std::string sentence) {
  Block& block = *me.block;
  add_report(std::move(sentence));
  block.failed = true;
  current = nullptr;
  embedcore_emulator_switch(&me.stack_pointer, block.main_stack);
  __builtin_unreachable();
}

}  // namespace

const char* operation_name(Operation operation) {
  switch (operation) {
    case Operation::kSync: return "sync_warp";
    case Operation::kShuffle: return "a shuffle";
    case Operation::kBallot: return "ballot";
    case Operation::kLoadMatrix: return "ldmatrix4";
    case Operation::kLoadMatrixTransposed: return "ldmatrix4_transposed";
    case Operation::kMma16816Bf16: return "mma_16816<bf16>";
    case Operation::kMma16816F16: return "mma_16816<f16>";
    case Operation::kMma1688F16: return "mma_1688_f16";
    case Operation::kMma16832U8S8: return "mma_16832_u8s8";
    case Operation::kMma8816U8S8: return "mma_8816_u8s8";
    case Operation::kWgmmaFence: return "wgmma_fence";
    case Operation::kWgmma: return "wgmma";
    case Operation::kWgmmaCommit: return "wgmma_commit";
    case Operation::kWgmmaWait: return "wgmma_wait";
    case Operation::kSetRegisters: return "release_registers or claim_registers";
  }
  return "";
}

void run_other_warp(Thread& me) {
  Block& block = *me.block;
  const int position = block.warp_order[me.warp->index];
  for (;;) {
    for (int step = 1; step <= block.warp_count; ++step) {
      int p = position + step;
      if (p >= block.warp_count) p -= block.warp_count;
      Warp& warp = block.warps[block.warp_at[p]];
      if (warp.ready == 0) continue;
      const int lane = warp.backward ? 31 - __builtin_clz(warp.ready) : __builtin_ctz(warp.ready);
      Thread& next = warp.threads[lane];
      if (&next != &me) switch_to(me, next);
      return;
    }
    const OutsideKernel outside(me);
    if (block.architecture < 90 || !copy_one(block)) break;
  }
  me.outside = true;
  abandon(me, where(block) + ": no thread can continue:" + list_waits(block));
}

void report_different_operation(Thread& me, Operation operation) {
  me.outside = true;
  int other = 0;
  for (int lane = 31; lane >= 0; --lane)
    if (me.warp->arrived >> lane & 1) other = lane;
  const Thread& first = me.warp->threads[other];
  const std::string there = first.site ? " (" + place_of(first.site) + ")" : "";
  fail(me.site,
       "thread %d calls %s while thread %d of its warp waits in %s%s: the lanes of a warp must call it together",
       me.index, operation_name(operation), first.index, operation_name(me.warp->operation), there.c_str());
}

void fail(const void* site, const char* format_, ...) {
  Thread& me = *current;
  me.outside = true;  // for ever
  char sentence[1024];
  va_list list;
  va_start(list, format_);
  std::vsnprintf(sentence, sizeof sentence, format_, list);
  va_end(list);
  const std::string place = place_of(site);
  abandon(me, format("%s, thread %d%s%s%s: %s", where(*me.block).c_str(), me.index, place.empty() ? "" : " (",
                     place.c_str(), place.empty() ? "" : ")", sentence));
}

void report_fault(void* address) { fail(nullptr, "access to %p, %s", address, describe_address(address).c_str()); }

bool run_block(Block& block) {
  Worker& worker = worker_of(block);
  const size_t end = block.shared_bytes;
  poison(worker.arena, end + kSlack < kArenaBytes ? end + kSlack : kArenaBytes);
  block.arena = worker.arena;
  block.running = block.thread_count;
  block.failed = false;
  order_warps(block);
  start_threads(worker);
  if constexpr (kChecked) begin_block_check(block);
  if (block.architecture >= 90) begin_sm90(block);
  Warp& warp = block.warps[block.warp_at[0]];
  Thread& first = warp.threads[warp.backward ? 31 : 0];
  current = &first;
  embedcore_emulator_switch(&block.main_stack, first.stack_pointer);
  current = nullptr;
  for (int t = 0; t < block.thread_count && !block.failed; ++t) {
    if (std::memcmp(stack_of(worker, t), &kCanary, sizeof kCanary) == 0) continue;
    add_report(format("%s, thread %d: the emulator's stack of a thread overflowed", where(block).c_str(), t));
    block.failed = true;
  }
  if (!block.failed && end + kSlack <= kArenaBytes && !is_poison(worker.arena + end, kSlack)) {
    add_report(where(block) + format(": a write past the end of the %zu bytes of shared memory", end));
    block.failed = true;
  }
  if (!block.failed && block.architecture >= 90) {
    const std::string left = finish_sm90(block);
    if (!left.empty()) {
      add_report(where(block) + ": " + left);
      block.failed = true;
    }
  }
  return !block.failed;
}

int stack_owner(const Block& block, const unsigned char* at) {
  const unsigned char* stacks = reinterpret_cast<const Worker&>(block).stacks;
  if (at < stacks || at >= stacks + kStackStride * static_cast<size_t>(block.thread_count)) return -1;
  return static_cast<int>(static_cast<size_t>(at - stacks) / kStackStride);
}

Block* take_block() {
  {
    std::lock_guard lock(workers().mutex);
    if (!workers().idle.empty()) {
      Worker* worker = workers().idle.back();
      workers().idle.pop_back();
      return &worker->block;
    }
  }
  auto* worker = new (std::nothrow) Worker;
  if (!worker) return nullptr;
  worker->block.sm90 = new (std::nothrow) Sm90;
  if (!worker->block.sm90) return nullptr;
  auto map = [](size_t bytes) {
    void* at = ::mmap(nullptr, bytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return static_cast<unsigned char*>(nullptr);
    auto* inside = static_cast<unsigned char*>(at) + kPage;
    ::mprotect(inside, bytes, PROT_READ | PROT_WRITE);
    return inside;
  };
  worker->stacks = map(kStacksBytes);
  worker->arena = map(kArenaBytes);
  if (!worker->stacks || !worker->arena) return nullptr;
  if constexpr (kChecked) {
    worker->block.check = make_block_check(worker->arena, kArenaBytes);
    if (!worker->block.check) return nullptr;
  }
  return &worker->block;
}

void give_block(Block* block) {
  std::lock_guard lock(workers().mutex);
  workers().idle.push_back(&worker_of(*block));
}

}  // namespace embedcore::cuda::emulator
