// The worker threads of the process, which serve all models and all comparisons of vectors. There is one pool per
// process, so that two models do not use twice the cores.
//
// A worker takes a unit of work from a client, runs it, and takes the next from the client after that one. Workers
// without a unit help a busy one with the tasks of a single operation (base/team.h). A worker that runs a long unit
// takes short units of any client between its steps while no other worker is idle.
//
// Thread rules: every function may be called from any thread except a worker, unless it says otherwise.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/team.h"
#include "engine/queue.h"
#include "model/workspace.h"

namespace embedcore {

class PoolClient;
class WorkerPool;

// A worker's state for one unit of work.
struct WorkUnit {
  PoolClient* client = nullptr;
  BatchWork work;       // of a model
  int64_t slice = 0;    // of a comparison
  Workspace workspace;  // kept from unit to unit
};

class Worker {
 public:
  // The stream of a unit: its operations are divided among this worker and those that help it. `helpers`: how many may.
  Stream stream() {
    Stream stream;
    stream.team = &team_;
    stream.parallel = [](void* team, int64_t tasks, void (*body)(void*, int64_t), void* arg) {
      static_cast<Team*>(team)->run(tasks, body, arg);
    };
    return stream;
  }
  // From now until end_help(), at most this many idle workers may help.
  void want_help(int64_t helpers);
  void end_help() { team_.wants_help = false; }
  // Between the steps of a long unit: runs a short one of any client where one waits and no worker is idle.
  void run_short_work();

  WorkUnit& unit(int level) { return units_[level]; }

 private:
  friend class WorkerPool;
  explicit Worker(WorkerPool& pool) : pool_(pool) {}
  WorkerPool& pool_;
  Team team_;
  std::atomic<int64_t> most_helpers_{0};
  WorkUnit units_[2];  // [1]: a short unit, taken between the steps of [0]
  std::thread thread_;
};

class PoolClient {
 public:
  virtual ~PoolClient() = default;

  // With the pool's lock held, on any thread:
  virtual bool has_work() const noexcept = 0;
  virtual bool has_short_work() const noexcept { return false; }
  // Takes the next unit; false if there is none after all.
  virtual bool take(WorkUnit& unit, bool only_short) noexcept = 0;
  // A unit that was taken has been run; whether the client is done and leaves the pool.
  virtual bool ended(WorkUnit&) noexcept { return false; }

  // Without the lock, on a worker. level: which of the worker's units.
  virtual void run(Worker& worker, int level) noexcept = 0;
  // Called after the client has left the pool of itself, without the lock, on a worker. Nobody waits for it to return
  // but the pool's destructor.
  virtual void left(WorkerPool&) noexcept {}

  // Units that may run at the same time.
  virtual int most_workers() const noexcept = 0;

 private:
  friend class Worker;
  friend class WorkerPool;
  // Guarded by the pool's lock.
  int running_ = 0;  // units that workers hold
};

class WorkerPool {
 public:
  // The pool of the process, which exists for as long as somebody holds it.
  static std::shared_ptr<WorkerPool> shared();
  ~WorkerPool();  // joins the workers; all clients have left

  // Makes sure that there are at least this many workers. Throws Error(kThreadLimit) where the system refuses,
  // std::bad_alloc.
  void grow(int workers);
  int workers();

  // Throws std::bad_alloc.
  void add(std::shared_ptr<PoolClient> client);
  // Waits until no worker is inside the client, which takes nothing more. Never called by a worker.
  void remove(PoolClient& client) noexcept;

  // A lock for the state that workers read: a client changes its state while it holds one.
  std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }
  // Called after new work was given to a client; with the lock held. many: more than one worker can do something.
  void work_added(bool many) noexcept;

 private:
  friend class Worker;
  WorkerPool() = default;
  void loop(Worker& self) noexcept;
  bool run_next(Worker& self, std::unique_lock<std::mutex>& lock) noexcept;
  bool help_others(Worker& self, std::unique_lock<std::mutex>& lock) noexcept;
  bool can_take(const PoolClient& client) const noexcept;
  void finish(Worker& self, int level, std::unique_lock<std::mutex>& lock) noexcept;
  void look_for_work() noexcept;

  std::mutex mutex_;
  std::condition_variable wake_, emptied_;
  // Guarded by mutex_.
  std::vector<std::shared_ptr<PoolClient>> clients_;
  std::vector<std::unique_ptr<Worker>> workers_;  // never shrinks before the destructor
  size_t next_client_ = 0;
  int idle_ = 0;
  bool closing_ = false;
  // Written with mutex_ held, read without it.
  std::atomic<bool> work_waiting_{false};   // some worker could take a unit
  std::atomic<bool> short_waiting_{false};  // some client has a short one
};

}  // namespace embedcore
