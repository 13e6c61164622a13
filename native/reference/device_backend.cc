#include "reference/device_backend.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "ops/checks.h"
#include "ops/host_device.h"
#include "reference/backend.h"
#include "reference/device_pointers.h"
#include "reference/ops.h"

namespace embedcore {

namespace {

constexpr size_t kSpace = size_t{16} << 30;  // reserved addresses, not memory
constexpr size_t kAlignment = 4096;
constexpr int kPoison = 0xff;  // NaN in every float type

// The device's memory. It is accessible only while an operation runs.
class AddressSpace {
 public:
  AddressSpace() {
    void* space = ::mmap(nullptr, kSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space != MAP_FAILED) base_ = static_cast<std::byte*>(space);
  }

  bool reserved() const { return base_ != nullptr; }

  void* allocate(size_t bytes) {
    std::lock_guard lock(mutex_);
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment + kAlignment;  // a closed page after each block
    size_t begin = 0;
    for (const auto& [used, size] : blocks_) {
      if (used - begin >= bytes) break;
      begin = used + size;
    }
    if (begin + bytes > kSpace) return nullptr;
    try {
      blocks_.emplace(begin, bytes);
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
    open();
    std::memset(base_ + begin, kPoison, bytes - kAlignment);
    close();
    return base_ + begin;
  }

  void release(void* memory) {
    if (!memory) return;
    std::lock_guard lock(mutex_);
    const auto found = blocks_.find(static_cast<size_t>(static_cast<std::byte*>(memory) - base_));
    if (found == blocks_.end()) return;
    ::madvise(memory, found->second, MADV_DONTNEED);
    blocks_.erase(found);
  }

  bool contains(const void* pointer) const {
    const auto* at = static_cast<const std::byte*>(pointer);
    return at >= base_ && at < base_ + kSpace;
  }

  // Runs a function with the memory accessible, one at a time.
  template <typename Body>
  Status with_open(Body&& body) {
    std::lock_guard lock(mutex_);
    open();
    const Status status = body();
    close();
    return status;
  }

 private:
  void open() { protect(PROT_READ | PROT_WRITE); }
  void close() { protect(PROT_NONE); }
  void protect(int access) {
    for (const auto& [begin, size] : blocks_) ::mprotect(base_ + begin, size - kAlignment, access);
  }

  std::byte* base_ = nullptr;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<size_t, size_t> blocks_;  // begin -> bytes
};

AddressSpace& space() {
  static auto* instance = new AddressSpace;  // never destroyed: weights may be released while the process ends
  return *instance;
}

// --- streams ---

// Operations that were launched and have not run yet. A failure is reported by wait().
struct Queue {
  std::vector<std::function<Status(Stream&)>> operations;
};

// Throws std::bad_alloc.
Status enqueue(Stream& stream, std::function<Status(Stream&)> operation) {
  static_cast<Queue*>(stream.queue)->operations.push_back(std::move(operation));
  return kOk;
}

Status enqueue_copy(Stream& stream, void* to, const void* from, size_t bytes) {
  try {
    return enqueue(stream, [=](Stream&) {
      std::memcpy(to, from, bytes);
      return kOk;
    });
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
}

Status open_stream(Stream& stream) {
  stream.queue = new (std::nothrow) Queue;
  return stream.queue ? kOk : kOutOfMemory;
}

void close_stream(Stream& stream) {
  delete static_cast<Queue*>(stream.queue);
  stream.queue = nullptr;
}

Status wait(Stream& stream) {
  auto& operations = static_cast<Queue*>(stream.queue)->operations;
  Status first = kOk;
  for (const auto& operation : operations) {
    first = space().with_open([&] { return operation(stream); });
    if (first != kOk) break;
  }
  operations.clear();
  return first;
}

Status refuse(Stream& stream, const char* what) {
  std::snprintf(stream.message, sizeof stream.message, "%s is not memory of the device", what);
  return kBadArgument;
}

Status upload(Stream& stream, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return kOk;
  if (!space().contains(to)) return refuse(stream, "the target of an upload");
  if (space().contains(from)) return refuse(stream, "the source of an upload is device memory, so it");
  return enqueue_copy(stream, to, from, bytes);
}

Status download(Stream& stream, void* to, const void* from, size_t bytes) {
  if (bytes == 0) return kOk;
  if (!space().contains(from)) return refuse(stream, "the source of a download");
  return enqueue_copy(stream, to, from, bytes);
}

// --- operations ---

template <typename Args>
Status launch(Stream& stream, const Args& args, Status (*run)(Stream&, const Args&)) {
  for (const NamedPointer& named : pointers(args))
    if (named.pointer && !space().contains(named.pointer)) return refuse(stream, named.name);
  return enqueue(stream, [args, run](Stream& later) { return run(later, args); });
}

// The list of tables is host memory that may be gone when the operation runs.
Status launch(Stream& stream, const EmbedArgs& args, Status (*run)(Stream&, const EmbedArgs&)) {
  if (!can_run(stream, args)) return kBadArgument;  // before the list is read
  for (const NamedPointer& named : pointers(args))
    if (named.pointer && !space().contains(named.pointer)) return refuse(stream, named.name);
  return enqueue(stream, [args, tables = std::vector(args.tables, args.tables + args.count), run](Stream& later) {
    EmbedArgs own = args;
    own.tables = tables.data();
    return run(later, own);
  });
}

// The same of the list of blocks.
Status launch(Stream& stream, const ContrastiveArgs& args, Status (*run)(Stream&, const ContrastiveArgs&)) {
  if (!can_run(stream, args)) return kBadArgument;  // before the list is read
  for (const NamedPointer& named : pointers(args))
    if (named.pointer && !space().contains(named.pointer)) return refuse(stream, named.name);
  return enqueue(stream, [args, blocks = std::vector(args.blocks, args.blocks + args.count), run](Stream& later) {
    ContrastiveArgs own = args;
    own.blocks = blocks.data();
    return run(later, own);
  });
}
// The same of the list of LoRA parts.
template <typename Args>
Status launch_with_parts(Stream& stream, const Args& args, Status (*run)(Stream&, const Args&)) {
  for (const NamedPointer& named : pointers(args))
    if (named.pointer && !space().contains(named.pointer)) return refuse(stream, named.name);
  return enqueue(stream, [args, parts = std::vector(args.lora, args.lora + args.lora_parts), run](Stream& later) {
    Args own = args;
    own.lora = parts.data();
    return run(later, own);
  });
}
Status launch(Stream& stream, const LinearArgs& args, Status (*run)(Stream&, const LinearArgs&)) {
  if (!can_run(stream, args, reference::supports, kTakesTraining)) return kBadArgument;
  return launch_with_parts(stream, args, run);
}
Status launch(Stream& stream, const LinearInputGradientArgs& args,
              Status (*run)(Stream&, const LinearInputGradientArgs&)) {
  if (!can_run(stream, args)) return kBadArgument;
  return launch_with_parts(stream, args, run);
}

Status repack_linear(Stream& stream, PackedLinear* packed, const float* weight, const float* bias) {
  if (!can_repack(stream, packed, weight, bias)) return kBadArgument;
  if (weight && !space().contains(weight)) return refuse(stream, "weight");
  if (bias && !space().contains(bias)) return refuse(stream, "bias");
  try {
    return enqueue(stream, [=](Stream& later) { return reference::repack_linear(later, packed, weight, bias); });
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
}

#define EMBEDCORE_LAUNCH(name, Args)                       \
  Status launch_##name(Stream& stream, const Args& args) { \
    try {                                                  \
      return launch(stream, args, reference::name);        \
    } catch (const std::bad_alloc&) {                      \
      return kOutOfMemory;                                 \
    }                                                      \
  }
EMBEDCORE_OPS(EMBEDCORE_LAUNCH)
EMBEDCORE_TRAINING_OPS(EMBEDCORE_LAUNCH)
#undef EMBEDCORE_LAUNCH

Device* open_device(int32_t index, char* message, size_t message_bytes) {
  if (!space().reserved()) {
    std::snprintf(message, message_bytes, "no addresses are left for its memory");
    return nullptr;
  }
  return host_open_device(index, message, message_bytes);
}

void* allocate(Device*, size_t bytes) { return space().allocate(bytes); }
void release(Device*, void* memory) { space().release(memory); }

}  // namespace

const Backend& reference_device_backend() {
#define EMBEDCORE_OWN_SLOT(name, Args) .name = launch_##name,
  static constexpr Backend kTable = {.name = "reference-device",
                                     .host_memory = false,
                                     .batch_tokens = 0,
                                     .batches_in_flight = 2,
                                     .device_count = host_device_count,
                                     .describe_device = host_describe_device,
                                     .open_device = open_device,
                                     .close_device = host_close_device,
                                     .allocate = allocate,
                                     .release = release,
                                     .open_stream = open_stream,
                                     .close_stream = close_stream,
                                     .upload = upload,
                                     .download = download,
                                     .wait = wait,
                                     .supports = reference::supports,
                                     .pack_linear = reference::pack_linear,
                                     .free_linear = reference::free_linear,
                                     .repack_linear = repack_linear,
                                     EMBEDCORE_OPS(EMBEDCORE_OWN_SLOT) EMBEDCORE_TRAINING_OPS(EMBEDCORE_OWN_SLOT)};
#undef EMBEDCORE_OWN_SLOT
  return kTable;
}

}  // namespace embedcore
