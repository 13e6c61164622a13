#include "engine/slice_job.h"

#include "engine/cores.h"

namespace embedcore {

SliceJob::SliceJob(std::shared_ptr<WorkerPool> pool, int64_t slices, Run run, Completion done)
    : pool_(pool), slices_(slices), workers_(pool->workers()), run_(std::move(run)), done_(std::move(done)) {}

std::shared_ptr<SliceJob> SliceJob::start(std::shared_ptr<WorkerPool> pool, int64_t slices, Run run, Completion done) {
  static const int cores = available_cores();  // reads a file for each processor
  pool->grow(cores);
  std::shared_ptr<SliceJob> job(new SliceJob(pool, slices, std::move(run), std::move(done)));
  pool->add(job);
  return job;
}

bool SliceJob::take(WorkUnit& unit, bool only_short) noexcept {
  if (only_short || !has_work()) return false;
  unit.slice = next_++;
  ++under_way_;
  return true;
}

void SliceJob::run(Worker& worker, int level) noexcept {
  Stream stream;
  try {
    run_(worker.unit(level).slice, stream);
  } catch (...) {
    cancel(current_error());
  }
}

bool SliceJob::ended(WorkUnit&) noexcept {
  --under_way_;
  return under_way_ == 0 && !has_work();
}

// A worker and who cancels may both see the job leave; the first one calls back.
void SliceJob::left(WorkerPool& pool) noexcept {
  std::shared_ptr<const Error> error;
  Completion done;
  {
    auto lock = pool.lock();
    error = error_;
    done.swap(done_);
  }
  if (done) done(error);
}

void SliceJob::cancel(std::shared_ptr<const Error> error) noexcept {
  const auto pool = pool_.lock();
  if (!pool) return;
  bool leaves = false;
  {
    auto lock = pool->lock();
    if (error_ || (next_ >= slices_ && under_way_ == 0)) return;
    leaves = under_way_ == 0;
    error_ = std::move(error);
    pool->work_added(false);
  }
  // No worker is inside that would let it leave.
  if (!leaves) return;
  pool->remove(*this);
  left(*pool);
}

void SliceJob::cancel_and_wait(std::shared_ptr<const Error> error) noexcept {
  cancel(std::move(error));
  const auto pool = pool_.lock();
  if (!pool) return;
  pool->remove(*this);
  left(*pool);
}

}  // namespace embedcore
