#include "model/replay.h"

#include "model/device.h"

namespace embedcore {

Replay::Replay(const Backend& backend, Stream& stream, std::span<const uint64_t> key)
    : backend_(backend), stream_(stream) {
  check_status(backend.begin_replay(stream, key.data(), key.size_bytes(), &replayed_, &note_), stream, "a replay");
  open_ = !replayed_;
}

Replay::~Replay() {
  if (open_) backend_.end_replay(stream_, nullptr);
}

void Replay::complete(const ReplayNote& note) {
  open_ = false;
  check_status(backend_.end_replay(stream_, &note), stream_, "the launch of a batch");
}

}  // namespace embedcore
