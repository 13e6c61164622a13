#include "engine/team_job.h"

#include <algorithm>

namespace embedcore {

std::shared_ptr<TeamJob> TeamJob::start(const std::shared_ptr<WorkerPool>& pool, int threads, Run run,
                                        Completion done) {
  pool->grow(threads);
  std::shared_ptr<TeamJob> job(new TeamJob(pool, threads, std::move(run), std::move(done)));
  pool->add(job);
  return job;
}

bool TeamJob::take(WorkUnit&, bool only_short) noexcept {
  if (only_short || taken_) return false;
  taken_ = true;
  return true;
}

void TeamJob::run(Worker& worker, int level) noexcept {
  if (threads_ > 1) worker.want_help(threads_ - 1);
  try {
    run_(worker.stream(), [&] {
      if (level == 0) worker.run_short_work();
    });
  } catch (...) {
    error_ = current_error();
  }
  if (threads_ > 1) worker.end_help();
  run_ = nullptr;
}

void TeamJob::left(WorkerPool& pool) noexcept {
  std::shared_ptr<const Error> error;
  Completion done;
  {
    auto lock = pool.lock();
    error = error_;
    done.swap(done_);
  }
  if (done) done(error);
}

void TeamJob::end(std::shared_ptr<const Error> error) noexcept {
  const auto pool = pool_.lock();
  if (!pool) return;
  {
    auto lock = pool->lock();
    if (!taken_) {
      taken_ = true;
      error_ = std::move(error);
    }
  }
  pool->remove(*this);
  left(*pool);
}

}  // namespace embedcore
