// One long piece of work, such as a training step, on the workers of the process: one of them leads, the others help
// with the tasks of its operations while they have nothing else to do.
#pragma once

#include <functional>
#include <memory>

#include "engine/call.h"
#include "engine/pool.h"

namespace embedcore {

class TeamJob final : public PoolClient, public std::enable_shared_from_this<TeamJob> {
 public:
  // stream: of a team, without a device. give_way: called between steps, lets short work of others go first.
  using Run = std::function<void(const Stream& stream, const std::function<void()>& give_way)>;

  // `done` is called once, after the work. Throws Error(kThreadLimit), std::bad_alloc; then `done` is not called.
  static std::shared_ptr<TeamJob> start(const std::shared_ptr<WorkerPool>& pool, int threads, Run run, Completion done);

  // Waits until the work has ended; what has not begun ends with this error. Never called by a worker.
  void end(std::shared_ptr<const Error> error) noexcept;

  bool has_work() const noexcept override { return !taken_; }
  bool take(WorkUnit& unit, bool only_short) noexcept override;
  bool ended(WorkUnit&) noexcept override { return true; }
  void run(Worker& worker, int level) noexcept override;
  void left(WorkerPool& pool) noexcept override;
  int most_workers() const noexcept override { return 1; }

 private:
  TeamJob(const std::shared_ptr<WorkerPool>& pool, int threads, Run run, Completion done)
      : pool_(pool), threads_(threads), run_(std::move(run)), done_(std::move(done)) {}

  const std::weak_ptr<WorkerPool> pool_;  // a worker must not be the last to hold its pool
  const int threads_;
  Run run_;

  // Guarded by the pool's lock.
  Completion done_;  // called once
  bool taken_ = false;
  std::shared_ptr<const Error> error_;  // written by the worker while it runs the work
};

}  // namespace embedcore
