#include "engine/engine.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "engine/cores.h"

namespace embedcore {

namespace {

constexpr int64_t kGroupTokens = 256;  // activations of a group fit a core's L2
constexpr int64_t kLeastGroupTokens = 64;
constexpr int64_t kShortTokens = 64;  // a call this short may be taken between two layers of another group

bool is_short(const Job& job) { return job.tokens() <= kShortTokens; }

Error to_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    return known;
  } catch (const std::exception& other) {
    return Error(Code::kInternal, other.what());
  } catch (...) {
    return Error(Code::kInternal, "unknown failure");
  }
}

// Largest magnitude as an integer, which a compiler can vectorise: infinities and NaN lie above all numbers.
bool all_finite(const float* x, int64_t count) {
  int32_t most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, std::bit_cast<int32_t>(x[i]) & 0x7fffffff);
  return most < 0x7f800000;
}

// A lone text of ten tokens is served by a few cores; more only wait for each other.
int most_helpers(int64_t tokens) { return static_cast<int>(3 + tokens / 16); }

}  // namespace

Engine::Engine(std::shared_ptr<const Model> model, const EngineOptions& options)
    : model_(std::move(model)), options_(options), group_tokens_(std::min(kGroupTokens, options.max_batch_tokens)) {
  for (int i = 0; i < options.threads; ++i) workers_.push_back(std::make_unique<Worker>());
  try {
    for (auto& worker : workers_) worker->thread = std::thread([this, &worker] { work_loop(*worker); });
  } catch (const std::exception& error) {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    for (auto& worker : workers_)
      if (worker->thread.joinable()) worker->thread.join();
    fail(Code::kInternal, "could not start %d worker threads: %s", options.threads, error.what());
  }
}

Engine::~Engine() {
  std::deque<std::shared_ptr<Job>> left;
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    left.swap(waiting_);
    short_waiting_ = 0;
    work_waiting_ = false;
  }
  wake_.notify_all();
  for (const auto& job : left)
    settle(job, std::make_exception_ptr(Error(Code::kDisposed, "the model was disposed while the call waited")));
  for (auto& worker : workers_) worker->thread.join();
}

void Engine::check(const Job& job) const {
  const int64_t texts = job.texts();
  if (texts < 0 || job.offsets.front() != 0 || job.offsets.back() != static_cast<int64_t>(job.ids.size()))
    fail(Code::kInternal, "offsets do not fit %zu ids", job.ids.size());
  const int64_t limit = model_->max_tokens();
  for (int64_t i = 0; i < texts; ++i) {
    const int64_t n = job.offsets[static_cast<size_t>(i) + 1] - job.offsets[static_cast<size_t>(i)];
    const auto number = static_cast<long long>(job.first_number + i);
    if (n < 0) fail(Code::kInternal, "offsets of text %lld fall", number);
    if (limit > 0 && n > limit)
      fail(Code::kTextTooLong, "text %lld has %lld tokens; the model's positions end at %lld", number,
           static_cast<long long>(n), static_cast<long long>(limit));
  }
  const int64_t vocab = model_->vocab();
  for (size_t t = 0; t < job.ids.size(); ++t)
    if (job.ids[t] < 0 || job.ids[t] >= vocab)
      fail(Code::kTokenizerMismatch, "token id %d is outside the model's vocabulary of %lld", job.ids[t],
           static_cast<long long>(vocab));
}

void Engine::submit(const std::shared_ptr<Job>& job) {
  check(*job);
  job->rows.resize(static_cast<size_t>((job->plan.token_output ? job->tokens() : job->texts()) * job->plan.dimension));
  if (job->texts() == 0) return settle(job, nullptr);
  {
    std::lock_guard lock(mutex_);
    if (closing_) fail(Code::kDisposed, "the model was disposed");
    if (waiting_tokens_ > 0 && waiting_tokens_ + job->tokens() > options_.max_queue_tokens)
      fail(Code::kQueueFull, "%lld tokens wait already and this call has %lld; maxQueueTokens is %lld",
           static_cast<long long>(waiting_tokens_), static_cast<long long>(job->tokens()),
           static_cast<long long>(options_.max_queue_tokens));
    waiting_.push_back(job);
    waiting_tokens_ += job->tokens();
    if (is_short(*job)) ++short_waiting_;
    work_waiting_ = true;
  }
  // Enough workers for the groups there will be; the others are woken by a leader that wants help.
  if (job->tokens() > kLeastGroupTokens)
    wake_.notify_all();
  else
    wake_.notify_one();
}

void Engine::cancel(const std::shared_ptr<Job>& job, const Error& error) {
  {
    std::lock_guard lock(mutex_);
    const auto found = std::find(waiting_.begin(), waiting_.end(), job);
    if (found != waiting_.end()) {
      waiting_tokens_ -= job->tokens() - job->offsets[static_cast<size_t>(job->next_text_)];
      if (is_short(*job)) --short_waiting_;
      waiting_.erase(found);
      work_waiting_ = !waiting_.empty();
    }
  }
  settle(job, std::make_exception_ptr(error));
}

void Engine::settle(const std::shared_ptr<Job>& job, std::exception_ptr error) {
  if (job->settled_.exchange(true)) return;
  job->error = std::move(error);
  job->on_settled(*job);
}

// --- choosing ---

std::shared_ptr<Job> Engine::choose_job(bool only_short, bool oldest) const {
  std::shared_ptr<Job> best;
  for (const auto& job : waiting_) {
    if (only_short && !is_short(*job)) continue;
    if (oldest) return job;
    if (!best || job->served_tokens_ < best->served_tokens_) best = job;
  }
  return best;
}

void Engine::add_texts(Work& work, const std::shared_ptr<Job>& job, int64_t budget) {
  Piece piece{job, job->next_text_, 0};
  const int64_t texts = job->texts();
  while (job->next_text_ < texts) {
    const auto text = static_cast<size_t>(job->next_text_);
    const int64_t begin = job->offsets[text], n = job->offsets[text + 1] - begin;
    const auto held = static_cast<int64_t>(work.ids.size());
    if (!work.skip.empty() && held + n > budget) break;  // a text longer than the budget goes alone
    work.ids.insert(work.ids.end(), job->ids.begin() + begin, job->ids.begin() + begin + n);
    work.offsets.push_back(static_cast<int32_t>(held + n));
    work.skip.push_back(job->skip[text]);
    work.prefix.push_back(job->prefix[text]);
    work.longest = std::max(work.longest, n);
    ++piece.texts;
    ++job->next_text_;
    job->served_tokens_ += n;
    waiting_tokens_ -= n;
    // Texts without tokens cost nothing and are many only by mistake; still no group grows without end.
    if (piece.texts >= budget) break;
  }
  if (piece.texts > 0) work.pieces.push_back(std::move(piece));
}

void Engine::drop_finished(const std::shared_ptr<Job>& job) {
  if (job->next_text_ < job->texts()) return;
  if (is_short(*job)) --short_waiting_;
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), job));
}

// Called with the mutex held.
bool Engine::take_work(Work& work, bool only_short) {
  work.pieces.clear();
  work.ids.clear();
  work.offsets.assign(1, 0);
  work.skip.clear();
  work.prefix.clear();
  work.longest = 0;
  const std::shared_ptr<Job> first = choose_job(only_short, !only_short && groups_taken_ % 4 == 3);
  if (!first) return false;
  ++groups_taken_;
  const int64_t share = (waiting_tokens_ + options_.threads - 1) / options_.threads;
  const int64_t budget = std::clamp(share, std::min(kLeastGroupTokens, group_tokens_), group_tokens_);
  add_texts(work, first, budget);
  drop_finished(first);
  for (size_t i = 0; i < waiting_.size() && static_cast<int64_t>(work.ids.size()) < budget;) {
    const std::shared_ptr<Job> job = waiting_[i];
    // Short calls share groups with each other alone: among a long call's texts they would wait for all of them.
    if (job != first && job->plan.key == first->plan.key && is_short(*first) == is_short(*job)) {
      add_texts(work, job, budget);
      drop_finished(job);
    }
    if (i < waiting_.size() && waiting_[i] == job) ++i;
  }
  work_waiting_ = !waiting_.empty();
  return true;
}

// --- working ---

void Engine::work_loop(Worker& self) {
  lower_priority();
  std::unique_lock lock(mutex_);
  while (!closing_) {
    if (take_work(self.work[0], false)) {
      lock.unlock();
      run_work(self, 0);
      lock.lock();
    } else if (!help_others(lock)) {
      ++idle_;
      wake_.wait(lock);
      --idle_;
    }
  }
}

// Stays with one leader until it is done or there is work of one's own. Returns whether there was one to help.
bool Engine::help_others(std::unique_lock<std::mutex>& lock) {
  for (auto& worker : workers_) {
    Team& team = worker->team;
    if (!team.wants_help.load() ||
        team.helpers.load() >= most_helpers(static_cast<int64_t>(worker->work[0].ids.size())))
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

void Engine::run_work(Worker& self, int level) {
  Work& work = self.work[level];
  const bool may_have_help = workers_.size() > 1 && level == 0;
  if (may_have_help) {
    self.team.wants_help = true;
    bool someone_idle = false;
    {
      std::lock_guard lock(mutex_);
      someone_idle = idle_ > 0 && waiting_.empty();
    }
    if (someone_idle) wake_.notify_all();
  }
  Stream stream{};
  stream.team = &self.team;
  stream.parallel = [](void* team, int64_t tasks, void (*body)(void*, int64_t), void* arg) {
    static_cast<Team*>(team)->run(tasks, body, arg);
  };

  const auto between_layers = [&] {
    if (level == 0 && short_waiting_.load(std::memory_order_relaxed) > 0 &&
        static_cast<int64_t>(work.ids.size()) > kShortTokens) {
      bool taken = false;
      {
        std::lock_guard lock(mutex_);
        taken = !closing_ && idle_ == 0 && take_work(self.work[1], true);
      }
      if (taken) run_work(self, 1);
    }
    return std::any_of(work.pieces.begin(), work.pieces.end(),
                       [](const Piece& piece) { return !piece.job->settled_.load(std::memory_order_relaxed); });
  };

  const EncodePlan& plan = work.pieces.front().job->plan;
  std::exception_ptr error;
  try {
    const Group group{work.ids.data(),
                      work.offsets.data(),
                      work.skip.data(),
                      work.prefix.data(),
                      static_cast<int64_t>(work.skip.size()),
                      work.longest};
    if (const float* rows = model_->run(plan, group, self.workspace[level], stream, between_layers))
      deliver(work, plan, rows);
  } catch (const std::bad_alloc&) {
    error = std::make_exception_ptr(
        Error(Code::kOutOfMemory, "no memory for the activations of " + std::to_string(work.ids.size()) + " tokens"));
  } catch (...) {
    error = std::current_exception();
  }
  if (may_have_help) self.team.wants_help = false;
  if (error)
    for (const Piece& piece : work.pieces) cancel(piece.job, to_error(error));

  for (const Piece& piece : work.pieces) {
    bool complete = false;
    {
      std::lock_guard lock(mutex_);
      piece.job->done_texts_ += piece.texts;
      complete = piece.job->done_texts_ == piece.job->texts();
    }
    if (complete) settle(piece.job, nullptr);
  }
  work.pieces.clear();
}

// Rows of different pieces never overlap, and a job that was cancelled keeps its memory until its last piece is gone.
void Engine::deliver(const Work& work, const EncodePlan& plan, const float* rows) {
  int64_t row = 0;
  for (const Piece& piece : work.pieces) {
    Job& job = *piece.job;
    const auto first = static_cast<size_t>(piece.first_text);
    const int64_t to = plan.token_output ? job.offsets[first] : piece.first_text;
    const int64_t count =
        plan.token_output ? job.offsets[first + static_cast<size_t>(piece.texts)] - job.offsets[first] : piece.texts;
    bool finite = true;
    for (int64_t i = 0; i < count; ++i) {
      const float* from = rows + (row + i) * plan.stride;
      finite = finite && all_finite(from, plan.dimension);
      std::memcpy(job.rows.data() + (to + i) * plan.dimension, from,
                  static_cast<size_t>(plan.dimension) * sizeof(float));
    }
    row += count;
    if (!finite)
      cancel(piece.job, Error(Code::kNonFinite,
                              "one of the texts " + std::to_string(job.first_number + piece.first_text) + " to " +
                                  std::to_string(job.first_number + piece.first_text + piece.texts - 1) +
                                  " gives values that are not finite: the model's numbers overflow float32"));
  }
}

}  // namespace embedcore
