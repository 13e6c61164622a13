// The engine of one model: a queue of encode jobs and the workers that carry groups of texts through the model.
//
// Workers take groups, not calls. A group is whole texts, about kGroupTokens of them, from one call or from several
// whose plans agree; one worker carries it through all layers, its activations in that core's cache, and meets no other
// worker on the way. Workers with nothing to take help the busy ones (team.h), so a lone text uses all cores too.
//
// Who is next: of the waiting jobs the one that has been served the fewest tokens, so that a short call never waits
// behind a long one; every fourth group goes to the oldest job, so that a stream of short calls cannot starve it. A
// short call that finds all workers busy is taken between two layers of a running group.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/team.h"
#include "model/model.h"

namespace embedcore {

// One encode call. The caller fills in the first part; the engine owns the rest from submit on.
struct Job : std::enable_shared_from_this<Job> {
  EncodePlan plan;
  std::vector<int32_t> ids;
  std::vector<int32_t> offsets;       // [texts + 1]
  std::vector<int32_t> skip, prefix;  // [texts]
  int64_t first_number = 0;           // what the caller calls its first text, for messages
  // Called once, on any thread, when the rows are complete or the job has failed. Must not throw.
  std::function<void(Job&)> on_settled;

  std::vector<float> rows;   // [texts or tokens, plan.dimension]
  std::exception_ptr error;  // set before on_settled when the job failed

  int64_t texts() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t tokens() const { return offsets.back(); }

 private:
  friend class Engine;
  int64_t next_text_ = 0, done_texts_ = 0, served_tokens_ = 0;
  std::atomic<bool> settled_{false};
};

struct EngineOptions {
  int threads = 1;
  int64_t max_batch_tokens = 4096;
  int64_t max_queue_tokens = int64_t{16} << 20;
};

class Engine {
 public:
  Engine(std::shared_ptr<const Model> model, const EngineOptions& options);
  ~Engine();  // fails what is waiting with ERR_EMBEDCORE_DISPOSED, then joins the workers

  const Model& model() const { return *model_; }
  const EngineOptions& options() const { return options_; }

  // Checks ids, offsets and lengths, then queues. Throws Error (queue full, id outside the vocabulary, ...).
  void submit(const std::shared_ptr<Job>& job);
  // Settles the job with this error unless it is settled already. What a worker has begun ends at its next layer.
  void cancel(const std::shared_ptr<Job>& job, const Error& error);

 private:
  struct Piece {
    std::shared_ptr<Job> job;
    int64_t first_text, texts;
  };
  struct Work {
    std::vector<Piece> pieces;
    std::vector<int32_t> ids, offsets, skip, prefix;
    int64_t longest = 0;
  };
  struct Worker {
    Team team;
    Work work[2];  // [1]: a short call taken between the layers of [0]
    Workspace workspace[2];
    std::thread thread;
  };

  void check(const Job& job) const;
  void work_loop(Worker& self);
  bool help_others(std::unique_lock<std::mutex>& lock);
  bool take_work(Work& work, bool only_short);
  std::shared_ptr<Job> choose_job(bool only_short, bool oldest) const;
  void add_texts(Work& work, const std::shared_ptr<Job>& job, int64_t budget);
  void run_work(Worker& self, int level);
  void deliver(const Work& work, const EncodePlan& plan, const float* rows);
  void settle(const std::shared_ptr<Job>& job, std::exception_ptr error);
  void drop_finished(const std::shared_ptr<Job>& job);

  std::shared_ptr<const Model> model_;
  EngineOptions options_;
  int64_t group_tokens_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> waiting_;  // jobs with texts not yet taken, oldest first
  int64_t waiting_tokens_ = 0;
  uint64_t groups_taken_ = 0;
  int idle_ = 0;
  bool closing_ = false;
  std::atomic<int> short_waiting_{0};  // jobs in waiting_ of at most kShortTokens
  std::atomic<bool> work_waiting_{false};
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace embedcore
