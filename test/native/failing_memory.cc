#include "failing_memory.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>

namespace embedcore::test {

namespace {

std::atomic<int64_t> left{0};  // allocations until one fails; 0 or less = none fails
std::atomic<Whose> failing{Whose::kAllThreads};
thread_local bool own_thread = false;  // the thread that made the MemoryFailure

bool fails() noexcept {
  if (left.load(std::memory_order_relaxed) <= 0) return false;
  const Whose whose = failing.load(std::memory_order_relaxed);
  if (whose != Whose::kAllThreads && own_thread != (whose == Whose::kThisThread)) return false;
  return left.fetch_sub(1) == 1;
}

void* allocate(std::size_t size) noexcept {
  if (fails()) return nullptr;
  void* memory = std::malloc(size > 0 ? size : 1);
  if (memory) live_blocks.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void* allocate(std::size_t size, std::align_val_t alignment) noexcept {
  if (refuse_memory || fails()) return nullptr;
  const auto step = static_cast<std::size_t>(alignment);
  void* memory = std::aligned_alloc(step, (size + step - 1) / step * step);
  if (!memory) return nullptr;
  aligned_blocks.fetch_add(1, std::memory_order_relaxed);
  live_blocks.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void give_back(void* memory) noexcept {
  if (memory) live_blocks.fetch_sub(1, std::memory_order_relaxed);
  std::free(memory);
}

void give_back_aligned(void* memory) noexcept {
  if (memory) aligned_blocks.fetch_sub(1, std::memory_order_relaxed);
  give_back(memory);
}

void* or_throw(void* memory) {
  if (!memory) throw std::bad_alloc();
  return memory;
}

// Ends the process when nothing has moved for a while.
class Watchdog {
 public:
  explicit Watchdog(const char* operation) : operation_(operation), thread_([this] { watch(); }) {}
  ~Watchdog() {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  void moved_to(int64_t n) { n_ = n; }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    for (int64_t seen = -1; !ended_;) {
      if (changed_.wait_for(lock, std::chrono::seconds(60), [&] { return ended_; })) return;
      if (n_ == seen) {
        std::fprintf(stderr, "%s does not end when allocation %lld fails\n", operation_, static_cast<long long>(seen));
        std::abort();
      }
      seen = n_;
    }
  }

  const char* const operation_;
  std::atomic<int64_t> n_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace

MemoryFailure::MemoryFailure(Whose whose, int64_t n) {
  own_thread = true;
  failing = whose;
  left = n;
}

MemoryFailure::~MemoryFailure() {
  own_thread = false;
  left = 0;
}

bool MemoryFailure::happened() { return left <= 0; }

void for_each_allocation(const char* operation, const std::function<bool(int64_t n)>& attempt) {
  Watchdog watchdog(operation);
  int64_t n = 1;
  for (; !testing::Test::HasFatalFailure(); ++n) {
    watchdog.moved_to(n);
    if (!attempt(n)) break;
    ASSERT_FALSE(testing::Test::HasFailure()) << operation << ": allocation " << n;
  }
  EXPECT_GT(n, 1) << operation << " allocates nothing";
}

}  // namespace embedcore::test

namespace memory = embedcore::test;

void* operator new(std::size_t size) { return memory::or_throw(memory::allocate(size)); }
void* operator new[](std::size_t size) { return memory::or_throw(memory::allocate(size)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return memory::allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return memory::allocate(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return memory::or_throw(memory::allocate(size, alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return memory::or_throw(memory::allocate(size, alignment));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return memory::allocate(size, alignment);
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return memory::allocate(size, alignment);
}

void operator delete(void* block) noexcept { memory::give_back(block); }
void operator delete[](void* block) noexcept { memory::give_back(block); }
void operator delete(void* block, std::size_t) noexcept { memory::give_back(block); }
void operator delete[](void* block, std::size_t) noexcept { memory::give_back(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { memory::give_back(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { memory::give_back(block); }
void operator delete(void* block, std::align_val_t) noexcept { memory::give_back_aligned(block); }
void operator delete[](void* block, std::align_val_t) noexcept { memory::give_back_aligned(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { memory::give_back_aligned(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { memory::give_back_aligned(block); }
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  memory::give_back_aligned(block);
}
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  memory::give_back_aligned(block);
}
