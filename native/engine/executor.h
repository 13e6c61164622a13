// Runs the calls of one model: on the workers of the process (host_executor.cc), or on a device with a thread that
// keeps it fed (device_executor.cc).
#pragma once

#include <memory>

#include "engine/call.h"
#include "engine/queue.h"
#include "model/model.h"

namespace embedcore {

struct EngineOptions {
  int threads = 1;
  int64_t max_batch_tokens = 4096;
  int64_t max_queue_tokens = int64_t{16} << 20;
  bool operator==(const EngineOptions&) const = default;
};

class Executor {
 public:
  virtual ~Executor() = default;  // ends running batches at their next layer and waits for them

  // Queues a piece of a call. Throws Error (kQueueFull, kDisposed), std::bad_alloc; the piece is then not queued.
  virtual void add(const std::shared_ptr<Call>& call, const std::shared_ptr<Piece>& piece) = 0;
  // Removes the waiting texts of a call.
  virtual void remove(const Call& call) noexcept = 0;
};

std::unique_ptr<Executor> make_host_executor(std::shared_ptr<const Model> model, const EngineOptions& options);
std::unique_ptr<Executor> make_device_executor(std::shared_ptr<const Model> model, const EngineOptions& options);

// The most tokens of a batch of this model.
int64_t batch_tokens(const Model& model, const EngineOptions& options);

// Copies the finished rows of a batch, in host memory, to their calls; a row that is not finite fails its call. Then
// marks these texts as done in every call of the batch.
void deliver(const Model& model, const BatchWork& work, const float* rows, int64_t stride);
// Fails every call of the batch.
void fail_all(const BatchWork& work, const std::shared_ptr<const Error>& error) noexcept;

}  // namespace embedcore
