// Calls and pieces for the tests of the engine.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/call.h"

namespace embedcore::test {

// How the pieces of a call ended.
class Endings {
 public:
  Completion completion() {
    return [this](std::shared_ptr<const Error> error) {
      std::lock_guard lock(mutex_);
      errors_.push_back(std::move(error));
      changed_.notify_all();
    };
  }
  // Waits until this number of pieces has ended.
  std::vector<std::shared_ptr<const Error>> wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return errors_.size() >= count; });
    return errors_;
  }
  size_t count() {
    std::lock_guard lock(mutex_);
    return errors_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<const Error>> errors_;
};

inline std::shared_ptr<const EncodePlan> plan_of(int64_t dimension, bool token_output = false) {
  EncodePlan plan;
  plan.pooling = {Pooling::kMean};
  plan.pooled = plan.dimension = dimension;
  plan.token_output = token_output;
  return std::make_shared<const EncodePlan>(plan);
}

// Texts of these lengths, their ids counting up from 1.
inline std::shared_ptr<Piece> piece_of(
    const std::vector<int32_t>& lengths, Completion done = [](auto) {}) {
  auto piece = std::make_shared<Piece>();
  piece->offsets = {0};
  for (const int32_t length : lengths) {
    for (int32_t i = 0; i < length; ++i) piece->ids.push_back(i + 1);
    piece->offsets.push_back(static_cast<int32_t>(piece->ids.size()));
    piece->skip.push_back(0);
    piece->prefix.push_back(0);
  }
  piece->done = std::move(done);
  return piece;
}

}  // namespace embedcore::test
