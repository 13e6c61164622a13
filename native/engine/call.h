// One encode call: pieces of texts, which arrive one after the other, and the resulting rows.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/error.h"
#include "model/plan.h"

namespace embedcore {

// Null = done. Called once, on any thread. Must not throw.
using Completion = std::function<void(std::shared_ptr<const Error> error)>;

// Some texts of a call, packed. Filled in by the caller; the fields after `done` belong to the engine.
struct Piece {
  std::vector<int32_t> ids;
  std::vector<int32_t> offsets;       // [texts + 1]
  std::vector<int32_t> skip, prefix;  // [texts]
  int64_t first_text = 0;             // number of the first text in its call, for messages
  int64_t first_row = 0;              // position of its rows
  Completion done;

  int64_t texts() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t tokens() const { return offsets.back(); }
  int64_t length(int64_t text) const {
    return offsets[static_cast<size_t>(text) + 1] - offsets[static_cast<size_t>(text)];
  }
  std::span<const int32_t> ids_of(int64_t text) const {
    return std::span(ids).subspan(static_cast<size_t>(offsets[static_cast<size_t>(text)]),
                                  static_cast<size_t>(length(text)));
  }

  int64_t next_text = 0;               // first text that no batch has taken; guarded by the queue's lock
  std::atomic<int64_t> open_texts{0};  // texts that are not delivered
};

class Call {
 public:
  // out: [rows, plan->dimension] in memory of the caller, who keeps it until all pieces are done and no longer than
  // until fail() has returned.
  Call(std::shared_ptr<const EncodePlan> plan, float* out, int64_t rows);

  const EncodePlan& plan() const { return *plan_; }
  const std::shared_ptr<const EncodePlan>& shared_plan() const { return plan_; }
  int64_t rows() const { return rows_; }
  bool failed() const { return failed_.load(std::memory_order_acquire); }

  // Registers a piece; a call that has failed completes it immediately and returns false. Throws std::bad_alloc.
  bool open(const std::shared_ptr<Piece>& piece);
  // Forgets a piece that could not be queued, whose completion is then not called; false where fail() has called it.
  bool withdraw(const Piece& piece) noexcept;
  // Copies `count` finished rows to row `first` unless the call has failed.
  void write(int64_t first, const float* rows, int64_t stride, int64_t count);
  // `texts` of the piece are delivered; completes the piece with its last.
  void delivered(const std::shared_ptr<Piece>& piece, int64_t texts);
  // Completes all open pieces with this error; after it returns, nothing is written any more. The first failure counts.
  void fail(std::shared_ptr<const Error> error) noexcept;

 private:
  friend class CallQueue;
  const std::shared_ptr<const EncodePlan> plan_;
  const int64_t rows_;
  std::atomic<bool> failed_{false};

  std::mutex mutex_;
  // Guarded by mutex_.
  float* out_;  // null after fail()
  std::shared_ptr<const Error> error_;
  std::vector<std::shared_ptr<Piece>> open_;

  // Guarded by the queue's lock.
  std::vector<std::shared_ptr<Piece>> waiting_;  // pieces with texts that no batch has taken, oldest first
  uint64_t number_ = 0;                          // in the order of arrival; 0 = not admitted yet
  int64_t submitted_tokens_ = 0, served_tokens_ = 0;
};

}  // namespace embedcore
