// Small batches are short on the GPU and long on the host, which launches each of their kernels. Work that comes again
// is therefore recorded as a graph and launched as a whole.
//
// The first time a key is seen its work runs as it is given: kernels are loaded, scratch memory grows. The second time
// it is recorded. A graph remembers addresses: it is dropped when memory of its device was released or scratch memory
// of its stream moved since it was recorded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "ops/backend.h"
#include "runtime.h"

namespace embedcore::cuda {

// The recorded work of one stream. Used by one thread at a time.
class Replays {
 public:
  // What a graph's addresses depend on: two counts that rise when one of them becomes invalid.
  struct Memory {
    uint64_t releases = 0, moves = 0;
    bool operator==(const Memory&) const = default;
  };

  ~Replays() { clear(); }

  // As the slots of the Backend. Throws std::bad_alloc; then nothing has begun.
  Error begin(StreamHandle stream, const void* key, size_t key_bytes, Memory now, bool* replayed, ReplayNote* note);
  // Null note: the work is incomplete. Where it was being recorded it has not run, and is forgotten.
  Error end(StreamHandle stream, const ReplayNote* note, Memory now);
  bool begun() const { return current_ != nullptr; }
  // No graph may be running.
  void clear();

 private:
  struct Entry {
    std::vector<std::byte> key;
    uint64_t last_use = 0;
    GraphHandle graph;  // null: not recorded
    Memory memory;
    ReplayNote note;
  };

  Entry* find(const void* key, size_t key_bytes);
  // Throws std::bad_alloc.
  Entry* add(StreamHandle stream, const void* key, size_t key_bytes);
  // Waits for the stream first, because the graph may be running.
  void drop(StreamHandle stream, Entry& entry);

  std::vector<std::unique_ptr<Entry>> entries_;
  Entry* current_ = nullptr;  // between begin and end
  bool recording_ = false;
  uint64_t uses_ = 0;
};

}  // namespace embedcore::cuda
