#include "emulator/launch.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "emulator/block.h"
#include "emulator/device.h"
#include "emulator/memory.h"
#include "emulator/numbers.h"
#include "emulator/report.h"
#include "emulator/settings.h"
#include "emulator/shadow.h"
#include "emulator/stream.h"

namespace embedcore::cuda::emulator {

uint64_t error_seed = 0;

namespace {

constexpr auto kInvalidConfiguration = static_cast<Error>(9);

// A launch that waits in a stream or a graph.
struct KeptLaunch {
  KernelInfo kernel;
  uint32_t grid[3];
  size_t shared_bytes;
  bool may_overlap;
  size_t args_bytes;
  alignas(128) unsigned char args[4096];
};

uint64_t next_random(uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  uint64_t x = state;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Runs all blocks; the order is shuffled by the seed.
bool run_grid(const LaunchInfo& launch, uint64_t seed, int threads) {
  const uint64_t blocks = uint64_t{launch.grid[0]} * launch.grid[1] * launch.grid[2];
  std::vector<uint32_t> order;
  if (seed != 0 && blocks > 1 && blocks <= 1u << 20) {
    order.resize(blocks);
    for (uint32_t i = 0; i < blocks; ++i) order[i] = i;
    uint64_t random = seed;
    for (uint32_t i = static_cast<uint32_t>(blocks) - 1; i > 0; --i)
      std::swap(order[i], order[next_random(random) % (i + 1)]);
  }
  std::atomic<uint64_t> next{0};
  std::atomic<bool> ok{true};
  auto run_some = [&]() noexcept {
    Block* block = take_block();
    if (!block) {
      add_report("no memory for the emulator's own stacks");
      ok = false;
      return;
    }
    block->launch = &launch;
    std::memcpy(block->grid, launch.grid, sizeof block->grid);
    block->architecture = launch.architecture;
    block->device = launch.device;
    block->thread_count = launch.kernel.threads;
    block->warp_count = launch.kernel.threads / 32;
    block->shared_bytes = static_cast<uint32_t>(launch.shared_bytes);
    while (ok) {
      uint64_t i = next.fetch_add(1);
      if (i >= blocks) break;
      if (!order.empty()) i = order[i];
      block->index[0] = static_cast<uint32_t>(i % launch.grid[0]);
      block->index[1] = static_cast<uint32_t>(i / launch.grid[0] % launch.grid[1]);
      block->index[2] = static_cast<uint32_t>(i / launch.grid[0] / launch.grid[1]);
      if (!run_block(*block)) ok = false;
    }
    give_block(block);
  };
  std::vector<std::thread> helpers;
  for (int i = 1; i < threads && static_cast<uint64_t>(i) < blocks; ++i) helpers.emplace_back(run_some);
  run_some();
  for (std::thread& helper : helpers) helper.join();
  return ok;
}

Error run_kernel(const KeptLaunch& kept, QueuedStream& stream) {
  DeviceState& device = *stream.device;
  const Settings& what = settings();
  const Fault& fault = what.fault;
  if (fault.what != Fault::What::kNothing && !fault.in_allocations && device.launches >= fault.after)
    return fault.what == Fault::What::kIllegalAddress ? Error::kIllegalAddress
           : fault.what == Fault::What::kLaunchFailed ? Error::kLaunchFailed
                                                      : Error::kOutOfMemory;
  ++device.launches;
  error_seed = what.seed;
  uint64_t seed = 0;
  if (what.seed != 0) {
    seed = what.seed ^ device.runs++ << 32;
    seed = next_random(seed) | 1;
  }
  LaunchInfo launch{
      .kernel = kept.kernel,
      .grid = {kept.grid[0], kept.grid[1], kept.grid[2]},
      .shared_bytes = kept.shared_bytes,
      .args = kept.args,
      .args_bytes = kept.args_bytes,
      .architecture = code_architecture(),
      .device = device.index,
      .seed = seed,
  };
#ifdef EMBEDCORE_EMULATED_CHECKED
  LaunchCheck check;
  if (kept.may_overlap) check.previous_epoch = stream.last_kernel_epoch;
  begin_launch_check(check);
  launch.check = &check;
  stream.last_kernel_epoch = check.first_epoch;
  constexpr int kThreads = 1;  // one thread of the system at a time knows what others access
#else
  const int kThreads = what.threads;
#endif
  return run_grid(launch, seed, kThreads) ? Error::kOk : Error::kIllegalAddress;
}

}  // namespace

Error enqueue_kernel(StreamHandle stream, const KernelInfo& kernel, Grid grid, size_t shared_bytes, const void* args,
                     size_t args_bytes, bool may_overlap) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return Error::kOk;
  std::lock_guard lock(runtime_lock());
  if (!stream.stream) return Error::kInvalidValue;
  DeviceState& device = *static_cast<QueuedStream*>(stream.stream)->device;
  if (device.error != Error::kOk) return device.error;
  const int code = code_architecture();
  const bool runs = kernel.architecture == static_cast<int>(Arch::kSm90a) ? code == 90 : kernel.architecture <= code;
  if (!runs) return Error::kNoKernelImage;
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) return kInvalidConfiguration;
  const Card& card = card_of(settings().architecture);
  if (shared_bytes > static_cast<size_t>(card.shared_bytes_per_block)) return Error::kInvalidValue;
  auto kept = std::make_shared<KeptLaunch>();
  kept->kernel = kernel;
  kept->grid[0] = grid.x, kept->grid[1] = grid.y, kept->grid[2] = grid.z;
  kept->shared_bytes = shared_bytes;
  kept->may_overlap = may_overlap;
  kept->args_bytes = args_bytes;
  std::memcpy(kept->args, args, args_bytes);
  return enqueue(stream, [kept](QueuedStream& runs_in) { return run_kernel(*kept, runs_in); });
}

const char* kernel_name(const char* function) {
  static std::mutex mutex;
  static auto* names = new std::set<std::string>;  // guarded by mutex
  std::string name = function;
  const size_t begin = name.find("Kernel = ");
  if (begin != std::string::npos) {
    name = name.substr(begin + 9);
    int depth = 0;
    size_t end = 0;
    for (; end < name.size(); ++end) {
      if (name[end] == '<') ++depth;
      if (name[end] == '>') --depth;
      if (depth == 0 && (name[end] == ';' || name[end] == ']')) break;
    }
    name = name.substr(0, end);
  }
  for (const char* space : {"embedcore::cuda::", "{anonymous}::", "(anonymous namespace)::"})
    for (size_t at; (at = name.find(space)) != std::string::npos;) name.erase(at, std::strlen(space));
  std::lock_guard lock(mutex);
  return names->insert(name).first->c_str();
}

}  // namespace embedcore::cuda::emulator
