// Work without a model: a comparison or conversion of vectors, cut into slices that the workers of the process take one
// by one. So it uses all workers, does not wait for models, and does not delay them.
#pragma once

#include <functional>
#include <memory>

#include "engine/call.h"
#include "engine/pool.h"

namespace embedcore {

class SliceJob final : public PoolClient, public std::enable_shared_from_this<SliceJob> {
 public:
  // Runs one slice on the stream, whose operations are not divided further. Throws Error.
  using Run = std::function<void(int64_t slice, Stream& stream)>;

  // Starts a job; `done` is called once, when no slice runs any more. Throws Error(kThreadLimit), std::bad_alloc; then
  // `done` is not called.
  static std::shared_ptr<SliceJob> start(std::shared_ptr<WorkerPool> pool, int64_t slices, Run run, Completion done);

  // Starts no further slices; `done` gets this error.
  void cancel(std::shared_ptr<const Error> error) noexcept;
  // cancel(), and waits until no slice runs. Never called by a worker.
  void cancel_and_wait(std::shared_ptr<const Error> error) noexcept;

  bool has_work() const noexcept override { return !error_ && next_ < slices_; }
  bool take(WorkUnit& unit, bool only_short) noexcept override;
  bool ended(WorkUnit& unit) noexcept override;
  void run(Worker& worker, int level) noexcept override;
  void left(WorkerPool& pool) noexcept override;
  int most_workers() const noexcept override { return workers_; }

 private:
  SliceJob(std::shared_ptr<WorkerPool> pool, int64_t slices, Run run, Completion done);

  const std::weak_ptr<WorkerPool> pool_;  // a worker must not be the last to hold its pool
  const int64_t slices_;
  const int workers_;
  const Run run_;

  // Guarded by the pool's lock.
  Completion done_;  // called by left(), once
  int64_t next_ = 0, under_way_ = 0;
  std::shared_ptr<const Error> error_;
};

}  // namespace embedcore
