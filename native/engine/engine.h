// The engine of one model: takes calls, checks them, and runs them.
//
// Thread rules: every function may be called from any thread but a worker. The destructor waits for what runs to end at
// its next layer and frees the model; let_go() does that on a thread of its own.
#pragma once

#include <memory>

#include "engine/call.h"
#include "engine/executor.h"
#include "model/model.h"

namespace embedcore {

class Engine {
 public:
  // Throws Error(kThreadLimit), std::bad_alloc.
  Engine(std::shared_ptr<const Model> model, const EngineOptions& options);

  const Model& model() const { return *model_; }
  const EngineOptions& options() const { return options_; }

  // Checks the ids, offsets and lengths of a piece, then queues it; its completion is called once, also where this
  // function fails its call. Throws Error (id outside the vocabulary, queue full, ...), std::bad_alloc: nothing was
  // queued then and the completion is not called.
  void submit(const std::shared_ptr<Call>& call, const std::shared_ptr<Piece>& piece);
  // Fails the call. What a worker has begun ends at its next layer.
  void cancel(Call& call, std::shared_ptr<const Error> error) noexcept;

 private:
  void check(const Piece& piece) const;

  const std::shared_ptr<const Model> model_;
  const EngineOptions options_;
  std::unique_ptr<Executor> executor_;
};

// Lets go of something large on a thread of its own, so that freeing it does not hold up the caller; `freed` is called
// afterwards, on that thread. Where no thread can be started it happens on the caller's.
void let_go(std::shared_ptr<void> object, std::function<void()> freed = {}) noexcept;

}  // namespace embedcore
