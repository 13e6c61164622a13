#include "engine/pool.h"

#include <algorithm>
#include <system_error>

#include "base/error.h"
#include "engine/cores.h"

namespace embedcore {

// --- a worker, from its client's side ---

void Worker::want_help(int64_t helpers) {
  most_helpers_ = helpers;
  team_.wants_help = true;
  bool someone_idle = false;
  {
    std::lock_guard lock(pool_.mutex_);
    someone_idle = pool_.idle_ > 0 && !pool_.work_waiting_;
  }
  if (someone_idle) pool_.wake_.notify_all();
}

void Worker::run_short_work() {
  if (!pool_.short_waiting_.load(std::memory_order_relaxed)) return;
  auto lock = pool_.lock();
  if (pool_.closing_) return;
  for (const auto& held : pool_.clients_) {
    const std::shared_ptr<PoolClient> client = held;
    if (!client->has_short_work()) continue;
    // An idle worker takes it, unless the client has all the workers it may have. This worker is inside its own client
    // already, whatever the limit.
    const bool room = pool_.can_take(*client);
    if (room ? pool_.idle_ > 0 : client.get() != units_[0].client) continue;
    if (!client->take(units_[1], true)) continue;
    units_[1].client = client.get();
    ++client->running_;
    pool_.look_for_work();
    lock.unlock();
    client->run(*this, 1);
    lock.lock();
    pool_.finish(*this, 1, lock);
    return;
  }
}

// --- the pool ---

std::shared_ptr<WorkerPool> WorkerPool::shared() {
  // Never destroyed, because threads may still use it while the process ends.
  static auto* mutex = new std::mutex;
  static auto* held = new std::weak_ptr<WorkerPool>;
  std::lock_guard lock(*mutex);
  auto pool = held->lock();
  if (!pool) *held = pool = std::shared_ptr<WorkerPool>(new WorkerPool);
  return pool;
}

WorkerPool::~WorkerPool() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  for (auto& worker : workers_)
    if (worker->thread_.joinable()) worker->thread_.join();
}

int WorkerPool::workers() {
  std::lock_guard lock(mutex_);
  return static_cast<int>(workers_.size());
}

void WorkerPool::grow(int workers) {
  std::lock_guard lock(mutex_);
  while (static_cast<int>(workers_.size()) < workers) {
    std::unique_ptr<Worker> worker(new Worker(*this));
    workers_.reserve(workers_.size() + 1);
    try {
      worker->thread_ = std::thread([this, self = worker.get()] { loop(*self); });
    } catch (const std::system_error& error) {
      fail(Code::kThreadLimit, "the system refuses to start worker thread %zu of %d: %s", workers_.size() + 1, workers,
           error.what());
    }
    workers_.push_back(std::move(worker));
  }
}

void WorkerPool::add(std::shared_ptr<PoolClient> client) {
  std::lock_guard lock(mutex_);
  clients_.push_back(std::move(client));
  look_for_work();
  wake_.notify_all();
}

void WorkerPool::remove(PoolClient& client) noexcept {
  std::shared_ptr<PoolClient> held;  // released without the lock
  std::unique_lock lock(mutex_);
  const auto found =
      std::find_if(clients_.begin(), clients_.end(), [&](const auto& one) { return one.get() == &client; });
  if (found != clients_.end()) {
    held = std::move(*found);
    clients_.erase(found);
    look_for_work();
    // Without clients, workers free the memory that they keep for the next unit.
    if (clients_.empty()) wake_.notify_all();
  }
  emptied_.wait(lock, [&] { return client.running_ == 0; });
}

void WorkerPool::work_added(bool many) noexcept {
  look_for_work();
  if (many)
    wake_.notify_all();
  else
    wake_.notify_one();
}

bool WorkerPool::can_take(const PoolClient& client) const noexcept { return client.running_ < client.most_workers(); }

void WorkerPool::look_for_work() noexcept {
  bool waiting = false, short_waiting = false;
  for (const auto& client : clients_) {
    waiting = waiting || (can_take(*client) && client->has_work());
    short_waiting = short_waiting || client->has_short_work();
  }
  work_waiting_ = waiting;
  short_waiting_ = short_waiting;
}

// After a unit has been run, the client may have ended, and a thread may wait for that.
void WorkerPool::finish(Worker& self, int level, std::unique_lock<std::mutex>& lock) noexcept {
  WorkUnit& unit = self.units_[level];
  PoolClient& client = *unit.client;
  unit.client = nullptr;
  std::shared_ptr<PoolClient> leaving;
  if (client.ended(unit)) {
    const auto found =
        std::find_if(clients_.begin(), clients_.end(), [&](const auto& one) { return one.get() == &client; });
    if (found != clients_.end()) {
      leaving = std::move(*found);
      clients_.erase(found);
    }
  }
  const bool limited = client.running_ == client.most_workers();
  --client.running_;
  look_for_work();
  if (client.running_ == 0) emptied_.notify_all();
  if (limited && work_waiting_ && idle_ > 0) wake_.notify_one();
  if (!leaving) return;
  lock.unlock();
  leaving->left(*this);
  leaving.reset();
  lock.lock();
}

bool WorkerPool::run_next(Worker& self, std::unique_lock<std::mutex>& lock) noexcept {
  for (size_t i = 0; i < clients_.size(); ++i) {
    const size_t index = (next_client_ + i) % clients_.size();
    PoolClient* client = clients_[index].get();
    if (!can_take(*client) || !client->has_work() || !client->take(self.units_[0], false)) continue;
    self.units_[0].client = client;
    ++client->running_;
    next_client_ = index + 1;
    look_for_work();
    lock.unlock();
    client->run(self, 0);
    lock.lock();
    finish(self, 0, lock);
    return true;
  }
  return false;
}

// Helps one leader until it is done or there is a unit to take. Returns whether there was a leader to help.
bool WorkerPool::help_others(Worker& self, std::unique_lock<std::mutex>& lock) noexcept {
  for (auto& worker : workers_) {
    Team& team = worker->team_;
    if (worker.get() == &self || !team.wants_help.load() || team.helpers.load() >= worker->most_helpers_.load())
      continue;
    team.helpers.fetch_add(1);
    lock.unlock();
    int quiet = 0;
    while (team.wants_help.load(std::memory_order_relaxed) && !work_waiting_.load(std::memory_order_relaxed)) {
      if (team.help()) {
        quiet = 0;
      } else {
        pause_briefly();
        if (++quiet % 4096 == 0) std::this_thread::yield();
      }
    }
    team.helpers.fetch_sub(1);
    lock.lock();
    return true;
  }
  return false;
}

void WorkerPool::loop(Worker& self) noexcept {
  lower_priority();
  std::unique_lock lock(mutex_);
  while (!closing_) {
    if (run_next(self, lock) || help_others(self, lock)) continue;
    if (clients_.empty()) {
      lock.unlock();
      for (WorkUnit& unit : self.units_) unit.workspace.release();
      lock.lock();
      if (closing_ || !clients_.empty()) continue;
    }
    ++idle_;
    wake_.wait(lock);
    --idle_;
  }
}

}  // namespace embedcore
