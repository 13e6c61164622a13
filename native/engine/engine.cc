#include "engine/engine.h"

#include <cstddef>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "engine/memory.h"

namespace embedcore {

Engine::Engine(std::shared_ptr<const Model> model, const EngineOptions& options)
    : model_(std::move(model)), options_(options) {
  executor_ =
      model_->backend().host_memory ? make_host_executor(model_, options_) : make_device_executor(model_, options_);
}

void Engine::check(const Piece& piece) const {
  const int64_t texts = piece.texts();
  if (texts < 0 || piece.offsets.front() != 0 || piece.offsets.back() != static_cast<int64_t>(piece.ids.size()))
    fail(Code::kInternal, "offsets do not fit %zu ids", piece.ids.size());
  const int64_t limit = model_->max_tokens();
  for (int64_t i = 0; i < texts; ++i) {
    const int64_t n = piece.length(i);
    const auto number = static_cast<long long>(piece.first_text + i);
    if (n < 0) fail(Code::kInternal, "offsets of text %lld fall", number);
    if (limit > 0 && n > limit)
      fail(Code::kTextTooLong, "text %lld has %lld tokens; the model's positions end at %lld", number,
           static_cast<long long>(n), static_cast<long long>(limit));
  }
  const int64_t vocab = model_->vocab();
  for (const int32_t id : piece.ids)
    if (id < 0 || id >= vocab)
      fail(Code::kTokenizerMismatch, "token id %d is outside the model's vocabulary of %lld", id,
           static_cast<long long>(vocab));
}

void Engine::submit(const std::shared_ptr<Call>& call, const std::shared_ptr<Piece>& piece) {
  check(*piece);
  if (piece->texts() == 0) return piece->done(nullptr);
  if (!call->open(piece)) return;
  try {
    executor_->add(call, piece);
  } catch (...) {
    if (call->withdraw(*piece)) throw;
  }
}

void Engine::cancel(Call& call, std::shared_ptr<const Error> error) noexcept {
  call.fail(std::move(error));
  executor_->remove(call);
}

namespace {

// The thread that frees models: started when one is released, ended when none is left.
struct Freeing {
  std::mutex mutex;
  // Guarded by mutex.
  std::vector<std::pair<std::shared_ptr<void>, std::function<void()>>> objects;
  bool running = false;
};

Freeing& freeing() noexcept {
  // In memory of the program, and never destroyed: the thread may run while the process ends.
  alignas(Freeing) static std::byte memory[sizeof(Freeing)];
  static auto* instance = new (memory) Freeing;
  return *instance;
}

void free_all() noexcept {
  Freeing& shared = freeing();
  std::unique_lock lock(shared.mutex);
  while (!shared.objects.empty()) {
    auto [object, freed] = std::move(shared.objects.front());
    shared.objects.erase(shared.objects.begin());
    lock.unlock();
    object.reset();
    give_back_freed_memory();
    if (freed) freed();
    freed = nullptr;
    lock.lock();
  }
  shared.running = false;
}

}  // namespace

void let_go(std::shared_ptr<void> object, std::function<void()> freed) noexcept {
  Freeing& shared = freeing();
  try {
    std::lock_guard lock(shared.mutex);
    shared.objects.emplace_back(std::move(object), std::move(freed));
    if (shared.running) return;
    std::thread(free_all).detach();
    shared.running = true;
    return;
  } catch (...) {
    // Without memory or a thread, the queue is freed here.
  }
  if (object) {
    object.reset();
    if (freed) freed();
  }
  free_all();
}

}  // namespace embedcore
