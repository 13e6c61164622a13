// The waiting calls of one model, and the choice of texts for the next batch. It has no threads and no lock: the owner
// holds a lock around every function.
//
// Scheduling. The call that has been served the fewest tokens goes next, so that a short call does not wait for a long
// one; every fourth batch goes to the oldest call instead, so that a stream of short calls cannot starve it. Calls
// whose plans are equal share a batch, in the order of their arrival; short calls share batches only with each other,
// because together with texts of a long call they would wait for all of those. A text that does not fit ends the batch:
// a later call never overtakes an earlier one of its kind.
//
// Admission is per call. The first piece of a call is refused if tokens of other calls wait and it would raise their
// number above the limit; later pieces of an admitted call are always accepted. So a call is never refused while no
// other call waits.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/call.h"
#include "model/batch.h"

namespace embedcore {

constexpr int64_t kShortTokens = 64;  // a call of at most this many tokens is short
constexpr int64_t kFewestBatchTokens = 64;

// Texts of one piece in a batch.
struct BatchPart {
  std::shared_ptr<Call> call;
  std::shared_ptr<Piece> piece;
  int64_t first_text = 0, texts = 0;
};

// A place among the texts of a batch.
struct BatchPlace {
  size_t part = 0;
  int64_t text = 0;  // of the part
};

// A batch, and the pieces whose texts it has. Its memory is kept for the next one.
struct BatchWork {
  std::vector<BatchPart> parts;
  BatchBuilder batch;
  bool is_short = false;  // made of short calls

  void clear();
  const EncodePlan& plan() const { return parts.front().call->plan(); }
  // Whether the result is still wanted.
  bool wanted() const;
  // Becomes a part of another batch: its texts from `place` on, at least one and at most about `budget` tokens. False
  // if there are none. Throws std::bad_alloc.
  bool take_from(const BatchWork& whole, BatchPlace& place, int64_t budget);
};

class CallQueue {
 public:
  // most_batch_tokens: a batch holds whole texts with about this many tokens; a longer text gets its own batch.
  // workers: the number of batches among which the waiting tokens are divided. most_waiting_tokens: the limit of
  // admission.
  CallQueue(int64_t most_batch_tokens, int64_t workers, int64_t most_waiting_tokens);

  // Throws Error(kQueueFull) for the first piece of a call that is not admitted, and std::bad_alloc; nothing has
  // changed then.
  void add(const std::shared_ptr<Call>& call, const std::shared_ptr<Piece>& piece);
  // Removes the waiting texts of a call.
  void remove(const Call& call) noexcept;
  // All calls with waiting texts, which are forgotten.
  std::vector<std::shared_ptr<Call>> remove_all() noexcept;

  // Fills `work` with the next batch; false if none waits (with only_short: none of short calls). If there is no memory
  // even for the first text, its call is removed and returned in `failed`, and the result is false.
  bool take(BatchWork& work, bool only_short, std::shared_ptr<Call>& failed) noexcept;

  // From the next batch on.
  void set_most_batch_tokens(int64_t tokens) { most_batch_tokens_ = tokens; }

  bool empty() const { return calls_.empty(); }
  int64_t waiting_tokens() const { return waiting_tokens_; }
  int64_t short_calls() const { return short_calls_; }  // with waiting texts

 private:
  static bool is_short(const Call& call) { return call.submitted_tokens_ <= kShortTokens; }
  std::shared_ptr<Call> choose(bool only_short, bool oldest) const;
  // Adds texts of the call until the budget is used up. Returns whether all its waiting texts fitted.
  bool add_texts(BatchWork& work, const std::shared_ptr<Call>& call, int64_t budget);
  void drop_if_served(const std::shared_ptr<Call>& call) noexcept;
  void forget(std::vector<std::shared_ptr<Call>>::iterator call) noexcept;

  int64_t most_batch_tokens_;
  const int64_t workers_, most_waiting_tokens_;
  // With waiting texts, in the order in which they came to wait. (An empty deque takes memory, also where one is
  // moved.)
  std::vector<std::shared_ptr<Call>> calls_;
  int64_t waiting_tokens_ = 0;
  int64_t short_calls_ = 0;
  uint64_t calls_admitted_ = 0, batches_taken_ = 0;
};

}  // namespace embedcore
