// A model on the workers of the process. A batch is some whole texts, with about batch_tokens tokens. One worker
// carries it through all layers with its activations in that core's cache, without synchronising with other workers.
#include <new>

#include "engine/executor.h"
#include "engine/pool.h"

namespace embedcore {

namespace {

// A single text of ten tokens uses a few cores; more would only wait for each other.
int64_t most_helpers(int64_t tokens) { return 3 + tokens / 16; }

class ModelClient final : public PoolClient {
 public:
  ModelClient(std::shared_ptr<const Model> model, const EngineOptions& options)
      : model_(std::move(model)),
        options_(options),
        queue_(batch_tokens(*model_, options), options.threads, options.max_queue_tokens) {}

  bool has_work() const noexcept override { return !queue_.empty(); }
  bool has_short_work() const noexcept override { return queue_.short_calls() > 0; }
  int most_workers() const noexcept override { return options_.threads; }

  bool take(WorkUnit& unit, bool only_short) noexcept override {
    for (;;) {
      std::shared_ptr<Call> failed;
      if (queue_.take(unit.work, only_short, failed)) return true;
      if (!failed) return false;
      failed->fail(shared_error(Code::kOutOfMemory, "no memory for a batch of texts"));
    }
  }

  void run(Worker& worker, int level) noexcept override {
    WorkUnit& unit = worker.unit(level);
    BatchWork& work = unit.work;
    const int64_t tokens = work.batch.tokens();
    const bool helped = level == 0 && options_.threads > 1;
    // A batch of short calls is not interrupted by other short calls, which would overtake it.
    const bool gives_way = level == 0 && !work.is_short;
    try {
      if (helped) worker.want_help(std::min<int64_t>(most_helpers(tokens), options_.threads - 1));
      Stream stream = worker.stream();
      stream.device = model_->encoder().device().handle();
      const ResultRows rows = model_->run(work.plan(), work.batch, unit.workspace, stream, [&] {
        if (gives_way) worker.run_short_work();
        return work.wanted();
      });
      if (helped) worker.end_help();
      if (rows.data) deliver(*model_, work, rows.data, rows.stride);
    } catch (...) {
      if (helped) worker.end_help();
      fail_all(work, current_error());
    }
    work.clear();
  }

  CallQueue& queue() { return queue_; }

 private:
  const std::shared_ptr<const Model> model_;
  const EngineOptions options_;
  CallQueue queue_;  // guarded by the pool's lock
};

class HostExecutor final : public Executor {
 public:
  HostExecutor(std::shared_ptr<const Model> model, const EngineOptions& options)
      : pool_(WorkerPool::shared()), client_(std::make_shared<ModelClient>(std::move(model), options)) {
    pool_->grow(options.threads);
    pool_->add(client_);
  }

  ~HostExecutor() override {
    std::vector<std::shared_ptr<Call>> left;
    {
      auto lock = pool_->lock();
      left = client_->queue().remove_all();
    }
    const auto error = shared_error(Code::kDisposed, "the model was disposed while the call waited");
    for (const auto& call : left) call->fail(error);
    pool_->remove(*client_);
  }

  void add(const std::shared_ptr<Call>& call, const std::shared_ptr<Piece>& piece) override {
    auto lock = pool_->lock();
    if (call->failed()) return;  // failed since it was opened: the piece is completed
    client_->queue().add(call, piece);
    // Enough workers for the batches there will be; others are woken by a leader that wants help.
    pool_->work_added(piece->tokens() > kFewestBatchTokens);
  }

  void remove(const Call& call) noexcept override {
    auto lock = pool_->lock();
    client_->queue().remove(call);
    pool_->work_added(false);
  }

 private:
  const std::shared_ptr<WorkerPool> pool_;
  const std::shared_ptr<ModelClient> client_;
};

}  // namespace

std::unique_ptr<Executor> make_host_executor(std::shared_ptr<const Model> model, const EngineOptions& options) {
  return std::make_unique<HostExecutor>(std::move(model), options);
}

}  // namespace embedcore
