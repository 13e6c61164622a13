// The RawTraining and RawTrainer of src/core/training-binding.ts.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

#include "binding/environment.h"
#include "engine/team_job.h"
#include "train/trainer.h"

namespace embedcore {

// What the calls of a handle share with the threads that run them.
struct TrainerState {
  std::unique_ptr<Trainer> trainer;
  std::unique_ptr<OpenStream> stream;
  int threads = 1;
  std::atomic<bool> aborted{false}, busy{false};
};

class TrainerHandle : public Napi::ObjectWrap<TrainerHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  // addon.trainer(options, done)
  static Napi::Value open(const Napi::CallbackInfo& info);
  // addon.parameters(directory)
  static Napi::Value list_parameters(const Napi::CallbackInfo& info);
  // addon.stepBytes(options)
  static Napi::Value step_bytes(const Napi::CallbackInfo& info);

  explicit TrainerHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TrainerHandle>(info) {}
  ~TrainerHandle() override;
  // The environment is being destroyed: ends the call under way and does not use the environment any more.
  void detach();

 private:
  Napi::Value parameters(const Napi::CallbackInfo& info);
  Napi::Value dimension(const Napi::CallbackInfo& info);
  Napi::Value max_tokens(const Napi::CallbackInfo& info);
  void set_optimizer(const Napi::CallbackInfo& info);
  void accumulate(const Napi::CallbackInfo& info);
  void update(const Napi::CallbackInfo& info);
  void clear_gradients(const Napi::CallbackInfo& info);
  void use_average(const Napi::CallbackInfo& info);
  void encode(const Napi::CallbackInfo& info);
  Napi::Value scales(const Napi::CallbackInfo& info);
  void save(const Napi::CallbackInfo& info);
  void write_state(const Napi::CallbackInfo& info);
  void read_state(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  void abort(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  TrainerState& state() const;
  // Runs work on the workers of the process; its result goes to `done`.
  using Work = std::function<MakeResult(Trainer&, OpenStream&, const Trainer::Wanted&)>;
  void start(Napi::Env env, Napi::Value done, Napi::Object kept, Work work);
  void release(std::function<void()> freed = {}) noexcept;

  Environment* environment_ = nullptr;
  std::shared_ptr<TrainerState> state_;
  std::weak_ptr<TeamJob> job_;
  int64_t accounted_ = 0;
};

}  // namespace embedcore
