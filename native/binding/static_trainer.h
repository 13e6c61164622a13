// The RawStaticTrainer of src/core/static-binding.ts.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

#include "binding/environment.h"
#include "engine/team_job.h"
#include "static/trainer.h"

namespace embedcore {

// What the calls of a handle share with the threads that run them.
struct StaticTrainerState {
  StaticTrainerState(const StaticTrainerOptions& options, const WordKernels& kernels)
      : trainer(options, kernels), threads(options.threads) {}
  StaticTrainer trainer;
  const int threads;
  std::atomic<bool> aborted{false}, busy{false};
};

class StaticTrainerHandle : public Napi::ObjectWrap<StaticTrainerHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  // addon.staticTrainer(options)
  static Napi::Value open(const Napi::CallbackInfo& info);

  explicit StaticTrainerHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StaticTrainerHandle>(info) {}
  ~StaticTrainerHandle() override;
  // The environment is being destroyed: ends the call under way and does not use the environment any more.
  void detach();

 private:
  void add(const Napi::CallbackInfo& info);
  void prepare(const Napi::CallbackInfo& info);
  void train(const Napi::CallbackInfo& info);
  void write_state(const Napi::CallbackInfo& info);
  void read_state(const Napi::CallbackInfo& info);
  Napi::Value vectors(const Napi::CallbackInfo& info);
  void abort(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  StaticTrainerState& state() const;
  // Runs work on a worker of the process, with the helpers of `threads`; its result goes to `done`.
  using Work = std::function<MakeResult(StaticTrainer&, const Stream& team, const StaticTrainer::Wanted&)>;
  void start(Napi::Value done, Napi::Object kept, int threads, Work work);
  void release() noexcept;

  Environment* environment_ = nullptr;
  std::shared_ptr<StaticTrainerState> state_;
  std::weak_ptr<TeamJob> job_;
};

}  // namespace embedcore
