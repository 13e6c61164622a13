// The state of one JavaScript environment (the main thread or a worker_thread): its running calls and loads, the path
// for results from other threads, and its class constructors.
//
// Thread rules: everything here belongs to the environment's thread, except ReturnPath::post and functions marked as
// safe.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/pool.h"
#include "engine/slice_job.h"
#include "engine/team_job.h"

namespace embedcore {

class AdapterHandle;
class CallHandle;
class ModelHandle;
class StaticTrainerHandle;
class TrainerHandle;

// A call that JavaScript waits for: its callback and the objects that must live until then.
struct PendingCall {
  Napi::FunctionReference done;
  Napi::ObjectReference kept;
};

// Creates the second argument of the callback, on the environment's thread.
using MakeResult = std::function<Napi::Value(Napi::Env, PendingCall&)>;

// The result of a call for JavaScript. It is created before the work begins, so that delivering it needs no memory.
struct Settlement {
  uint64_t call = 0;
  std::shared_ptr<const Error> error;  // null = done
  MakeResult result;                   // may be empty
};

// Passes settlements to the environment's thread. Safe to use from any thread, also after the environment has ended;
// then it drops them.
class ReturnPath {
 public:
  void open(Napi::Env env);
  void post(std::unique_ptr<Settlement> settlement) noexcept;
  void hold(Napi::Env env, bool alive);  // whether it keeps the event loop alive; on the environment's thread
  void close();

 private:
  std::mutex mutex_;
  // Guarded by mutex_.
  napi_threadsafe_function function_ = nullptr;
};

// A running call, which must be settled. Its holder settles it; if it is destroyed before, it settles with an error, so
// that no promise waits forever.
class OpenCall {
 public:
  OpenCall(std::shared_ptr<ReturnPath> path, std::unique_ptr<Settlement> settlement)
      : path_(std::move(path)), settlement_(std::move(settlement)) {}
  ~OpenCall();
  OpenCall(const OpenCall&) = delete;
  OpenCall& operator=(const OpenCall&) = delete;
  // From any thread; the first one counts.
  void settle(std::shared_ptr<const Error> error, MakeResult result = {}) noexcept;

 private:
  const std::shared_ptr<ReturnPath> path_;
  std::atomic<bool> settled_{false};
  std::unique_ptr<Settlement> settlement_;  // of who has set settled_
};

class Environment {
 public:
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }
  explicit Environment(Napi::Env env);
  ~Environment();

  // Registers a call; the event loop stays alive until it is settled.
  std::shared_ptr<OpenCall> begin_call(Napi::Env env, Napi::Function done, Napi::Object kept);
  void finish_call(Napi::Env env, const Settlement& settlement);

  // Runs a load, or what else may take long without computing, on a separate thread; `cancelled` ends it early when
  // set. Throws Error(kThreadLimit), std::bad_alloc.
  void start_load(std::shared_ptr<OpenCall> call, std::shared_ptr<std::atomic<bool>> cancelled,
                  std::function<MakeResult(const KeepLoading&)> load);
  // Runs work in slices on the workers. Throws Error(kThreadLimit).
  std::shared_ptr<SliceJob> start_slices(std::shared_ptr<OpenCall> call, int64_t slices, SliceJob::Run run);

  // Runs long work on a worker and its helpers. Throws Error(kThreadLimit), std::bad_alloc.
  std::shared_ptr<TeamJob> start_team(int threads, TeamJob::Run run, Completion done);
  // When the environment ends, sets `stop` and waits until the work has ended.
  void end_with_environment(const std::shared_ptr<TeamJob>& job, const std::shared_ptr<std::atomic<bool>>& stop);

  // Reports a model's memory to V8, once for all its handles.
  void account(Napi::Env env, const Model& model);
  void unaccount(Napi::Env env, const Model& model);

  Napi::FunctionReference model_class, plan_class, call_class, adapter_class, trainer_class;
  Napi::FunctionReference static_vectors_class, static_trainer_class, moments_class;
  std::set<ModelHandle*> models;
  std::set<CallHandle*> calls;
  std::set<AdapterHandle*> adapters;
  std::set<TrainerHandle*> trainers;
  std::set<StaticTrainerHandle*> static_trainers;

 private:
  struct Load {
    explicit Load(std::shared_ptr<std::atomic<bool>> flag) : cancelled(std::move(flag)) {}
    const std::shared_ptr<std::atomic<bool>> cancelled;
    std::atomic<bool> ended{false};
    std::thread thread;
  };
  static void clean_up(void* self);
  void join_ended_loads();

  napi_env env_;
  const std::shared_ptr<ReturnPath> path_ = std::make_shared<ReturnPath>();
  uint64_t next_call_ = 1;
  std::unordered_map<uint64_t, PendingCall> pending_;
  std::list<Load> loads_;
  std::shared_ptr<WorkerPool> pool_;  // from the first slices on
  std::vector<std::weak_ptr<SliceJob>> jobs_;
  std::vector<std::pair<std::weak_ptr<TeamJob>, std::shared_ptr<std::atomic<bool>>>> team_jobs_;
  std::unordered_map<const Model*, int> accounted_;  // handles of each model
  bool closed_ = false;
};

Napi::Error to_napi(Napi::Env env, const Error& error);

// Runs a body and rethrows any exception as a JavaScript error with a code.
template <typename Body>
auto guarded(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_napi(env, *current_error());
  }
}

}  // namespace embedcore
