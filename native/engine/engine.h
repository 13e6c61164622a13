// The engine of one model: takes calls, checks them, and runs them.
//
// Thread rules: every function may be called from any thread except a worker. The destructor waits until running
// batches end at their next layer and frees the model; let_go() does that on a separate thread.
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

  // Checks the ids, offsets and lengths of a piece, then queues it; its completion is called once, also if this
  // function fails its call. Throws Error (id outside the vocabulary, queue full, ...), std::bad_alloc: then nothing
  // was queued and the completion is not called.
  void submit(const std::shared_ptr<Call>& call, const std::shared_ptr<Piece>& piece);
  // Fails the call. A batch that is running ends at its next layer.
  void cancel(Call& call, std::shared_ptr<const Error> error) noexcept;

 private:
  void check(const Piece& piece) const;

  const std::shared_ptr<const Model> model_;
  const EngineOptions options_;
  std::unique_ptr<Executor> executor_;
};

// Frees something large on a separate thread, so that the caller does not wait; `freed` is called afterwards, on that
// thread. If no thread can be started, both happen on the caller's.
void let_go(std::shared_ptr<void> object, std::function<void()> freed = {}) noexcept;

}  // namespace embedcore
