// What is behind a Stream: a queue of the GPU, pinned memory that its copies go through, and scratch memory.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "runtime.h"
#include "stream_replay.h"

namespace embedcore {
struct Device;
}

namespace embedcore::cuda {

// Pinned host memory that copies of a stream go through, because the host memory of a caller may be paged out. Cut into
// pieces of one size: an upload is copied into free pieces at once, a download is copied out when it has arrived. Used
// by one thread at a time.
class Staging {
 public:
  ~Staging();

  Error upload(void* to, const void* from, size_t bytes, StreamHandle stream);
  // The bytes may arrive at `to` at any time up to finish().
  Error download(void* to, const void* from, size_t bytes, StreamHandle stream);
  // Waits for all copies. After a failure it forgets them.
  Error finish();
  bool busy() const { return !under_way_.empty(); }

 private:
  struct Piece {
    ~Piece();
    std::byte* memory = nullptr;
    EventHandle arrived;
    // Of a download under way: where its bytes go, else null.
    void* to = nullptr;
    size_t bytes = 0;
  };

  Error add_piece();
  // Ends the oldest copy.
  Error retire();
  // A free piece: at most `most` are made, then it waits for the oldest copy.
  Error take(size_t most, Piece** piece);
  Error launched(Piece* piece, StreamHandle stream);

  std::vector<std::unique_ptr<Piece>> pieces_;
  // Both have room for every piece.
  std::vector<Piece*> free_;
  std::vector<Piece*> under_way_;  // oldest first: a stream runs its work in order
};

class StreamState {
 public:
  explicit StreamState(Device& device) : device_(device) {}
  ~StreamState();
  StreamState(const StreamState&) = delete;
  StreamState& operator=(const StreamState&) = delete;

  Error open();
  // Until everything is done, without spinning.
  Error wait();
  Replays::Memory memory() const;
  // Null with the error.
  void* scratch(size_t bytes, Error* error);

  StreamHandle handle;
  Staging staging;
  Replays replays;

 private:
  Device& device_;
  EventHandle done_;
  void* scratch_ = nullptr;
  size_t scratch_bytes_ = 0;
  uint64_t scratch_moves_ = 0;
  std::vector<void*> outgrown_;  // scratch that launched work may still use, until the next wait
};

}  // namespace embedcore::cuda
