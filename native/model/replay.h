// The operations of a small batch on a device that records them (Backend::begin_replay).
#pragma once

#include <cstdint>
#include <span>

#include "ops/backend.h"

namespace embedcore {

// Launching takes longer than the work up to about this many tokens.
constexpr int64_t kMostReplayTokens = 256;

class Replay {
 public:
  // Begins. Throws Error.
  Replay(const Backend& backend, Stream& stream, std::span<const uint64_t> key);
  // Ends work that was not given completely.
  ~Replay();
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  // The note of the work, if it is launched already; else it must be given.
  const ReplayNote* replayed() const { return replayed_ ? &note_ : nullptr; }
  // All operations were given. Throws Error.
  void complete(const ReplayNote& note);

 private:
  const Backend& backend_;
  Stream& stream_;
  bool replayed_ = false, open_ = false;
  ReplayNote note_;
};

}  // namespace embedcore
