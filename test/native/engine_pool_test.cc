// engine/pool.h and engine/slice_job.h: which workers run which clients, and that no worker is inside a client after it
// has left.
#include "engine/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "engine/slice_job.h"
#include "engine_support.h"

namespace embedcore::test {
namespace {

// A gate that a test opens: workers wait at it, so that the order of events is known.
class Gate {
 public:
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  // Counts the arrivals, then waits.
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void wait_for_arrivals(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

// A client with a number of units; run() does what the test says.
class Units final : public PoolClient {
 public:
  Units(int most_workers, std::function<void(Worker&, int level)> body) : most_(most_workers), body_(std::move(body)) {}

  bool has_work() const noexcept override { return units > 0 || short_units > 0; }
  bool has_short_work() const noexcept override { return short_units > 0; }
  bool take(WorkUnit&, bool only_short) noexcept override {
    if (only_short ? short_units == 0 : !has_work()) return false;
    --(only_short || units == 0 ? short_units : units);
    return true;
  }
  void run(Worker& worker, int level) noexcept override {
    const int now = ++inside;
    int seen = most_inside;
    while (seen < now && !most_inside.compare_exchange_weak(seen, now)) {
    }
    body_(worker, level);
    --inside;
    ++done;
    std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  int most_workers() const noexcept override { return most_; }

  void wait_for(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done >= count; });
  }

  int units = 0, short_units = 0;  // guarded by the pool's lock
  std::atomic<int> inside{0}, most_inside{0}, done{0};

 private:
  const int most_;
  const std::function<void(Worker&, int)> body_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

void add_units(WorkerPool& pool, Units& client, int units, int short_units = 0) {
  auto lock = pool.lock();
  client.units += units;
  client.short_units += short_units;
  pool.work_added(true);
}

TEST(WorkerPool, IsOneAProcess) {
  const auto a = WorkerPool::shared(), b = WorkerPool::shared();
  EXPECT_EQ(a, b);
  a->grow(2);
  EXPECT_GE(b->workers(), 2);
}

TEST(WorkerPool, RunsEveryUnitOnce) {
  const auto pool = WorkerPool::shared();
  pool->grow(3);
  const auto client = std::make_shared<Units>(3, [](Worker&, int) {});
  pool->add(client);
  for (int i = 0; i < 50; ++i) add_units(*pool, *client, 10);
  client->wait_for(500);
  pool->remove(*client);
  EXPECT_EQ(client->done, 500);
}

TEST(WorkerPool, AClientHasNoMoreWorkersThanItMay) {
  const auto pool = WorkerPool::shared();
  pool->grow(4);
  Gate gate;
  const auto client = std::make_shared<Units>(2, [&](Worker&, int) { gate.pass(); });
  pool->add(client);
  add_units(*pool, *client, 6);
  gate.wait_for_arrivals(2);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(client->inside, 2);
  gate.open();
  client->wait_for(6);
  pool->remove(*client);
  EXPECT_EQ(client->most_inside, 2);
}

// A client that keeps its workers busy does not prevent another from being served.
TEST(WorkerPool, ClientsTakeTurns) {
  const auto pool = WorkerPool::shared();
  std::atomic<int> before{-1};
  std::shared_ptr<Units> other;
  const auto greedy = std::make_shared<Units>(1, [](Worker&, int) {});
  other = std::make_shared<Units>(1, [&](Worker&, int) { before = greedy->done.load(); });
  pool->grow(1);
  pool->add(greedy);
  pool->add(other);
  {
    auto lock = pool->lock();
    greedy->units = 1000;
    other->units = 1;
    pool->work_added(true);
  }
  other->wait_for(1);
  EXPECT_LT(before, 1000);
  greedy->wait_for(1000);
  pool->remove(*greedy);
  pool->remove(*other);
}

TEST(WorkerPool, RemoveWaitsForWhoIsInside) {
  const auto pool = WorkerPool::shared();
  pool->grow(2);
  Gate gate;
  std::atomic<bool> removed{false};
  const auto client = std::make_shared<Units>(1, [&](Worker&, int) {
    gate.pass();
    EXPECT_FALSE(removed);
  });
  pool->add(client);
  add_units(*pool, *client, 5);
  gate.wait_for_arrivals(1);
  std::thread remover([&] {
    pool->remove(*client);
    removed = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  gate.open();
  remover.join();
  EXPECT_EQ(client->inside, 0);
  EXPECT_LT(client->done, 5);  // units that had not begun are not run
}

// With all workers busy a short unit is run between the steps of a long one, by a worker of any client.
TEST(WorkerPool, ShortUnitsAreRunBetweenTheStepsOfALongOne) {
  const auto pool = WorkerPool::shared();
  pool->grow(1);
  const int workers = pool->workers();
  Gate started, added;
  std::atomic<int> levels{0};
  const auto quick = std::make_shared<Units>(workers, [&](Worker&, int level) { levels += level; });
  const auto slow = std::make_shared<Units>(workers, [&](Worker& worker, int) {
    started.pass();
    added.pass();
    for (int step = 0; step < 10; ++step) worker.run_short_work();
  });
  pool->add(quick);
  pool->add(slow);
  add_units(*pool, *slow, workers);
  started.wait_for_arrivals(workers);
  add_units(*pool, *quick, 0, 3);
  started.open();
  added.open();
  quick->wait_for(3);
  slow->wait_for(workers);
  EXPECT_GT(levels, 0);
  pool->remove(*quick);
  pool->remove(*slow);
}

// The tasks of a single operation are divided among a leader and idle workers, each run once.
TEST(WorkerPool, IdleWorkersHelp) {
  const auto pool = WorkerPool::shared();
  pool->grow(2);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  const auto client = std::make_shared<Units>(2, [&](Worker& worker, int) {
    worker.want_help(1);
    Stream stream = worker.stream();
    struct Job {
      std::mutex& mutex;
      std::set<std::thread::id>& threads;
      std::atomic<int> runs[400] = {};
    } job{mutex, threads};
    for (int round = 0; round < 50; ++round)
      stream.parallel(
          stream.team, 400,
          [](void* arg, int64_t task) {
            auto& own = *static_cast<Job*>(arg);
            ++own.runs[task];
            std::lock_guard lock(own.mutex);
            own.threads.insert(std::this_thread::get_id());
          },
          &job);
    worker.end_help();
    for (const auto& runs : job.runs) EXPECT_EQ(runs, 50);
  });
  pool->add(client);
  add_units(*pool, *client, 1);
  client->wait_for(1);
  pool->remove(*client);
  EXPECT_GE(threads.size(), 1u);
  EXPECT_LE(threads.size(), 2u);
}

// A helper that is still waking up when a run begins takes part in it: each of the two tasks waits for the other.
TEST(WorkerPool, HelperThatComesLateJoinsTheRun) {
  const auto pool = WorkerPool::shared();
  pool->grow(2);
  std::atomic<bool> met{false};
  const auto client = std::make_shared<Units>(2, [&](Worker& worker, int) {
    worker.want_help(1);
    Stream stream = worker.stream();
    struct Job {
      std::mutex mutex;
      std::condition_variable arrived;
      int inside = 0;
      bool met = true;
    } job;
    stream.parallel(
        stream.team, 2,
        [](void* arg, int64_t) {
          auto& own = *static_cast<Job*>(arg);
          std::unique_lock lock(own.mutex);
          ++own.inside;
          own.arrived.notify_all();
          if (!own.arrived.wait_for(lock, std::chrono::seconds(30), [&] { return own.inside == 2; })) own.met = false;
        },
        &job);
    worker.end_help();
    met = job.met;
  });
  pool->add(client);
  for (int round = 0; round < 20; ++round) {
    met = false;
    add_units(*pool, *client, 1);
    client->wait_for(round + 1);
    EXPECT_TRUE(met);
    if (!met) break;
  }
  pool->remove(*client);
}

// --- slices ---

TEST(SliceJob, RunsEverySliceOnceAndEnds) {
  const auto pool = WorkerPool::shared();
  std::vector<std::atomic<int>> runs(100);
  Endings endings;
  const auto job = SliceJob::start(
      pool, 100, [&](int64_t slice, Stream&) { ++runs[static_cast<size_t>(slice)]; }, endings.completion());
  EXPECT_EQ(endings.wait_for(1)[0], nullptr);
  for (const auto& count : runs) EXPECT_EQ(count, 1);
}

TEST(SliceJob, SeveralWorkersAreInsideAtOnce) {
  const auto pool = WorkerPool::shared();
  pool->grow(3);
  Endings endings;
  Gate all_inside;
  std::atomic<int> inside{0};
  // Every slice waits for the two others: fewer workers than slices would never end.
  const auto job = SliceJob::start(
      pool, 3,
      [&](int64_t, Stream&) {
        if (++inside == 3) all_inside.open();
        all_inside.pass();
      },
      endings.completion());
  EXPECT_EQ(endings.wait_for(1)[0], nullptr);
  EXPECT_EQ(inside, 3);
}

TEST(SliceJob, AFailureEndsIt) {
  const auto pool = WorkerPool::shared();
  Endings endings;
  std::atomic<int> runs{0};
  const auto job = SliceJob::start(
      pool, 1000,
      [&](int64_t slice, Stream&) {
        ++runs;
        if (slice == 3) fail(Code::kNonFinite, "slice 3");
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      },
      endings.completion());
  EXPECT_STREQ(endings.wait_for(1)[0]->what(), "slice 3");
  EXPECT_LT(runs, 1000);
}

TEST(SliceJob, CancelBeginsNoMoreSlices) {
  const auto pool = WorkerPool::shared();
  Endings endings;
  Gate gate;
  std::atomic<int> runs{0};
  const auto job = SliceJob::start(
      pool, 1000,
      [&](int64_t, Stream&) {
        ++runs;
        gate.pass();
      },
      endings.completion());
  gate.wait_for_arrivals(1);
  job->cancel(shared_error(Code::kAborted, "aborted"));
  EXPECT_EQ(endings.count(), 0u);  // a slice still runs
  gate.open();
  EXPECT_EQ(endings.wait_for(1)[0]->code, Code::kAborted);
  EXPECT_LE(runs, pool->workers());
  job->cancel(shared_error(Code::kAborted, "again"));
  EXPECT_EQ(endings.count(), 1u);
}

// The pool ends on the thread that lets go of it, however late its workers leave a job.
TEST(SliceJob, NoWorkerIsTheLastToHoldThePool) {
  for (int round = 0; round < 500; ++round) {
    auto pool = WorkerPool::shared();
    std::atomic<bool> done{false};
    const auto job = SliceJob::start(
        pool, 1, [](int64_t, Stream&) {}, [&](auto) { done = true; });
    job->cancel_and_wait(shared_error(Code::kAborted, "aborted"));
    EXPECT_EQ(pool.use_count(), 1);
    pool.reset();
    EXPECT_TRUE(done);
  }
}

TEST(SliceJob, CancelAndWaitLeavesNobodyInside) {
  const auto pool = WorkerPool::shared();
  for (int round = 0; round < 100; ++round) {
    Endings endings;
    std::atomic<int> inside{0};
    const auto job = SliceJob::start(
        pool, 50,
        [&](int64_t, Stream&) {
          ++inside;
          std::this_thread::yield();
          --inside;
        },
        endings.completion());
    job->cancel_and_wait(shared_error(Code::kAborted, "aborted"));
    EXPECT_EQ(inside, 0);
    endings.wait_for(1);
  }
}

}  // namespace
}  // namespace embedcore::test
