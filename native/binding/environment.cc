#include "binding/environment.h"

#include <algorithm>
#include <system_error>

#include "binding/adapter.h"
#include "binding/call.h"
#include "binding/model.h"
#include "binding/static_trainer.h"
#include "binding/trainer.h"

namespace embedcore {

namespace {

void arrive(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Settlement> settlement(static_cast<Settlement*>(data));
  if (!env) return;  // the environment is being destroyed
  Napi::HandleScope handles(env);
  try {
    Environment::of(env).finish_call(Napi::Env(env), *settlement);
  } catch (const Napi::Error& error) {
    // A callback threw: this is an uncaught exception of the program and must not be swallowed.
    napi_fatal_exception(env, error.Value());
  } catch (...) {
    napi_fatal_exception(env, to_napi(env, *current_error()).Value());
  }
}

}  // namespace

// --- the way back ---

void ReturnPath::open(Napi::Env env) {
  const auto name = Napi::String::New(env, "embedcore");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, arrive,
                                      &function_) != napi_ok)
    throw Napi::Error::New(env, "could not create a thread-safe function");
  napi_unref_threadsafe_function(env, function_);
}

void ReturnPath::post(std::unique_ptr<Settlement> settlement) noexcept {
  std::lock_guard lock(mutex_);
  if (function_ && napi_call_threadsafe_function(function_, settlement.get(), napi_tsfn_nonblocking) == napi_ok)
    static_cast<void>(settlement.release());
}

void ReturnPath::hold(Napi::Env env, bool alive) {
  if (!function_) return;
  if (alive)
    napi_ref_threadsafe_function(env, function_);
  else
    napi_unref_threadsafe_function(env, function_);
}

void ReturnPath::close() {
  std::lock_guard lock(mutex_);
  if (function_) napi_release_threadsafe_function(function_, napi_tsfn_abort);
  function_ = nullptr;
}

OpenCall::~OpenCall() {
  if (!settled_) settle(shared_error(Code::kInternal, "the call was dropped"));
}

void OpenCall::settle(std::shared_ptr<const Error> error, MakeResult result) noexcept {
  if (settled_.exchange(true)) return;
  settlement_->error = std::move(error);
  settlement_->result = std::move(result);
  path_->post(std::move(settlement_));
}

// --- the environment ---

Environment::Environment(Napi::Env env) : env_(env) {
  path_->open(env);
  napi_add_env_cleanup_hook(env, clean_up, this);
}

Environment::~Environment() {
  if (!closed_) napi_remove_env_cleanup_hook(env_, clean_up, this);
  clean_up(this);
}

// Runs before the environment's memory is freed, so that no thread can still use it. Running calls end at their next
// layer, loads at their next tensor, comparisons at their next slice.
void Environment::clean_up(void* data) {
  auto* self = static_cast<Environment*>(data);
  if (self->closed_) return;
  self->closed_ = true;
  self->path_->close();
  for (Load& load : self->loads_) *load.cancelled = true;
  const auto error = shared_error(Code::kAborted, "the JavaScript environment has ended");
  for (CallHandle* call : self->calls) call->detach(error);
  for (const auto& held : self->jobs_)
    if (const auto job = held.lock()) job->cancel_and_wait(error);
  for (const auto& [held, stop] : self->team_jobs_) *stop = true;
  for (const auto& [held, stop] : self->team_jobs_)
    if (const auto job = held.lock()) job->end(error);
  for (ModelHandle* model : self->models) model->detach();
  for (TrainerHandle* trainer : self->trainers) trainer->detach();
  for (StaticTrainerHandle* trainer : self->static_trainers) trainer->detach();
  for (AdapterHandle* adapter : self->adapters) adapter->detach();
  self->calls.clear();
  self->models.clear();
  self->trainers.clear();
  self->static_trainers.clear();
  self->adapters.clear();
  for (Load& load : self->loads_) load.thread.join();
  self->loads_.clear();
  self->pool_.reset();
}

std::shared_ptr<OpenCall> Environment::begin_call(Napi::Env env, Napi::Function done, Napi::Object kept) {
  auto settlement = std::make_unique<Settlement>();
  settlement->call = next_call_++;
  const uint64_t number = settlement->call;
  PendingCall pending{Napi::Persistent(done), Napi::Persistent(kept)};
  auto call = std::make_shared<OpenCall>(path_, std::move(settlement));
  pending_.emplace(number, std::move(pending));
  if (pending_.size() == 1) path_->hold(env, true);
  return call;
}

void Environment::finish_call(Napi::Env env, const Settlement& settlement) {
  const auto found = pending_.find(settlement.call);
  if (found == pending_.end()) return;
  PendingCall pending = std::move(found->second);
  pending_.erase(found);
  if (pending_.empty()) path_->hold(env, false);
  join_ended_loads();
  const Napi::Function done = pending.done.Value();
  Napi::Value error = env.Null(), result = env.Undefined();
  try {
    if (settlement.error)
      error = to_napi(env, *settlement.error).Value();
    else if (settlement.result)
      result = settlement.result(env, pending);
  } catch (const Napi::Error& thrown) {
    error = thrown.Value();
  } catch (...) {
    error = to_napi(env, *current_error()).Value();
  }
  done.MakeCallback(env.Global(), {error, result});
}

void Environment::join_ended_loads() {
  for (auto load = loads_.begin(); load != loads_.end();) {
    if (load->ended) {
      load->thread.join();
      load = loads_.erase(load);
    } else {
      ++load;
    }
  }
}

void Environment::start_load(std::shared_ptr<OpenCall> call, std::shared_ptr<std::atomic<bool>> cancelled,
                             std::function<MakeResult(const KeepLoading&)> load) {
  loads_.emplace_back(std::move(cancelled));
  Load& own = loads_.back();
  try {
    own.thread = std::thread([&own, call = std::move(call), load = std::move(load)]() mutable {
      try {
        const KeepLoading keep_loading = [&own] {
          if (*own.cancelled) fail(Code::kAborted, "the load was aborted");
        };
        call->settle(nullptr, load(keep_loading));
      } catch (...) {
        call->settle(current_error());
      }
      call.reset();
      load = nullptr;
      own.ended = true;
    });
  } catch (const std::system_error& error) {
    loads_.pop_back();
    fail(Code::kThreadLimit, "the system refuses to start a thread for the load: %s", error.what());
  } catch (...) {
    loads_.pop_back();
    throw;
  }
}

std::shared_ptr<SliceJob> Environment::start_slices(std::shared_ptr<OpenCall> call, int64_t slices, SliceJob::Run run) {
  if (!pool_) pool_ = WorkerPool::shared();
  std::erase_if(jobs_, [](const auto& job) { return job.expired(); });
  jobs_.reserve(jobs_.size() + 1);
  auto job = SliceJob::start(pool_, slices, std::move(run),
                             [call](std::shared_ptr<const Error> error) { call->settle(std::move(error)); });
  jobs_.push_back(job);
  return job;
}

std::shared_ptr<TeamJob> Environment::start_team(int threads, TeamJob::Run run, Completion done) {
  if (!pool_) pool_ = WorkerPool::shared();
  return TeamJob::start(pool_, threads, std::move(run), std::move(done));
}

void Environment::end_with_environment(const std::shared_ptr<TeamJob>& job,
                                       const std::shared_ptr<std::atomic<bool>>& stop) {
  std::erase_if(team_jobs_, [](const auto& held) { return held.first.expired(); });
  team_jobs_.emplace_back(job, stop);
}

void Environment::account(Napi::Env env, const Model& model) {
  if (++accounted_[&model] == 1)
    Napi::MemoryManagement::AdjustExternalMemory(env, static_cast<int64_t>(model.weight_bytes()));
}

void Environment::unaccount(Napi::Env env, const Model& model) {
  const auto found = accounted_.find(&model);
  if (found == accounted_.end() || --found->second > 0) return;
  accounted_.erase(found);
  Napi::MemoryManagement::AdjustExternalMemory(env, -static_cast<int64_t>(model.weight_bytes()));
}

Napi::Error to_napi(Napi::Env env, const Error& error) {
  Napi::Error made = Napi::Error::New(env, error.what());
  made.Set("code", Napi::String::New(env, code_name(error.code)));
  return made;
}

}  // namespace embedcore
