// A model on a device. One thread launches batches and keeps as many in flight as the backend wants: while one is
// computed, the next is packed and uploaded. Results are copied to host memory.
//
// Memory of a device that runs out is a matter of the moment: another process or model may hold it. A batch that gets
// none is tried once more, in halves, with nothing else in flight and the memory of the other flights given back. Later
// batches are smaller too, until enough of them have succeeded. A failure of the device itself is final: it ends every
// call of the model, and the model takes no more.
#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "engine/executor.h"

namespace embedcore {

namespace {

// Batches in a row that have memory, after which batches may be larger again.
constexpr int kCalmBatches = 64;

// A batch in flight, with the stream and the memory that it uses until it is done.
struct Flight {
  explicit Flight(DevicePointer device) : stream(std::move(device)) {}
  OpenStream stream;
  Workspace workspace;
  BatchWork work;
  std::vector<float> rows;  // the results
  int64_t stride = 0;
  std::shared_ptr<const Error> error;  // of Outcome::kNoMemory
};

enum class Outcome {
  kUnderWay,  // to be landed
  kEnded,     // delivered, failed or dropped
  kNoMemory,  // the work is still there and may be tried again
};

class DeviceExecutor final : public Executor {
 public:
  DeviceExecutor(std::shared_ptr<const Model> model, DevicePointer device, const EngineOptions& options)
      : model_(std::move(model)),
        backend_(model_->backend()),
        device_(*device),
        most_batch_tokens_(batch_tokens(*model_, options)),
        batch_tokens_(most_batch_tokens_),
        queue_(most_batch_tokens_, backend_.batches_in_flight, options.max_queue_tokens) {
    for (int32_t i = 0; i < backend_.batches_in_flight; ++i) flights_.push_back(std::make_unique<Flight>(device));
    for (auto& flight : flights_) free_.push_back(flight.get());
    under_way_.reserve(flights_.size());
    again_.reserve(flights_.size());
    try {
      thread_ = std::thread([this] { loop(); });
    } catch (const std::system_error& error) {
      fail(Code::kThreadLimit, "the system refuses to start the thread of a device: %s", error.what());
    }
  }

  ~DeviceExecutor() override {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    end_waiting(shared_error(Code::kDisposed, "the model was disposed while the call waited"));
    wake_.notify_all();
    thread_.join();
  }

  void add(const std::shared_ptr<Call>& call, const std::shared_ptr<Piece>& piece) override {
    std::lock_guard lock(mutex_);
    if (call->failed()) return;  // failed since it was opened: the piece is completed
    if (const auto failure = device_.failure()) throw Error(*failure);
    queue_.add(call, piece);
    wake_.notify_one();
  }

  void remove(const Call& call) noexcept override {
    std::lock_guard lock(mutex_);
    queue_.remove(call);
  }

 private:
  void loop() noexcept {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (!free_.empty()) {
        std::shared_ptr<Call> failed;
        Flight* flight = free_.back();
        const bool taken = queue_.take(flight->work, false, failed);
        if (taken || failed) {
          lock.unlock();
          if (failed) failed->fail(shared_error(Code::kOutOfMemory, "no memory for a batch of texts"));
          if (taken) {
            free_.pop_back();
            settle(*flight, launch(*flight));
          }
          lock.lock();
          continue;
        }
      }
      if (!under_way_.empty()) {
        lock.unlock();
        Flight& flight = take_oldest();
        settle(flight, land(flight));
        lock.lock();
        continue;
      }
      if (closing_) return;
      wake_.wait(lock);
    }
  }

  Flight& take_oldest() noexcept {
    Flight* flight = under_way_.front();
    under_way_.erase(under_way_.begin());
    return *flight;
  }

  void settle(Flight& flight, Outcome outcome) noexcept {
    switch (outcome) {
      case Outcome::kUnderWay: under_way_.push_back(&flight); break;
      case Outcome::kEnded: free_.push_back(&flight); break;
      case Outcome::kNoMemory: try_again(flight); break;
    }
  }

  Outcome launch(Flight& flight) noexcept {
    try {
      const ResultRows rows = model_->run(flight.work.plan(), flight.work.batch, flight.workspace, flight.stream,
                                          [&] { return flight.work.wanted(); });
      if (rows.data) {
        flight.stride = rows.stride;
        flight.rows.resize(static_cast<size_t>(rows.rows * rows.stride));
        check_status(
            backend_.download(flight.stream, flight.rows.data(), rows.data, flight.rows.size() * sizeof(float)),
            flight.stream, "a download");
        return Outcome::kUnderWay;
      }
      flight.stream.wait();
    } catch (...) {
      return failed(flight, current_error());
    }
    flight.work.clear();
    return Outcome::kEnded;
  }

  Outcome land(Flight& flight) noexcept {
    try {
      flight.stream.wait();
    } catch (...) {
      return failed(flight, current_error());
    }
    try {
      deliver(*model_, flight.work, flight.rows.data(), flight.stride);
      grow();
    } catch (...) {
      fail_all(flight.work, current_error());
    }
    flight.work.clear();
    return Outcome::kEnded;
  }

  Outcome failed(Flight& flight, std::shared_ptr<const Error> error) noexcept {
    backend_.wait(flight.stream);  // launched operations still use the flight's memory
    if (error->code == Code::kOutOfMemory) {
      flight.error = std::move(error);
      return Outcome::kNoMemory;
    }
    end(flight.work, error);
    return Outcome::kEnded;
  }

  void end(BatchWork& work, std::shared_ptr<const Error> error) noexcept {
    const bool final = error->code == Code::kDevice;
    if (final) error = device_.set_failure(*error);
    fail_all(work, error);
    work.clear();
    if (final) end_waiting(error);
  }

  void end_waiting(const std::shared_ptr<const Error>& error) noexcept {
    std::vector<std::shared_ptr<Call>> left;
    {
      std::lock_guard lock(mutex_);
      left = queue_.remove_all();
    }
    for (const auto& call : left) call->fail(error);
  }

  void try_again(Flight& first) noexcept {
    again_.push_back(&first);
    while (!under_way_.empty()) {
      Flight& flight = take_oldest();
      (land(flight) == Outcome::kNoMemory ? again_ : free_).push_back(&flight);
    }
    size_t given_back = 0;
    for (const auto& flight : flights_) {
      if (flight.get() != &first) given_back += flight->workspace.bytes();
      flight->workspace.release();
    }
    set_batch_tokens(std::max(std::min(batch_tokens_, first.work.batch.tokens()) / 2, kFewestBatchTokens));
    for (Flight* flight : again_) {
      run_in_halves(*flight, given_back > 0 || again_.size() > 1);
      free_.push_back(flight);
    }
    again_.clear();
  }

  // freed: whether there may be more memory than at the first try.
  void run_in_halves(Flight& flight, bool freed) noexcept {
    if (!freed && flight.work.batch.texts() < 2) return end(flight.work, flight.error);
    std::swap(flight.work, whole_);
    const int64_t half = std::max<int64_t>(whole_.batch.tokens() / 2, 1);
    try {
      for (BatchPlace place; flight.work.take_from(whole_, place, half);) {
        if (!flight.work.wanted()) continue;
        Outcome outcome = launch(flight);
        if (outcome == Outcome::kUnderWay) outcome = land(flight);
        if (outcome == Outcome::kNoMemory) end(flight.work, flight.error);
      }
    } catch (...) {
      end(whole_, current_error());
    }
    flight.work.clear();
    whole_.clear();
    flight.error = nullptr;
  }

  // The batch size after a success.
  void grow() noexcept {
    if (batch_tokens_ == most_batch_tokens_ || ++calm_batches_ < kCalmBatches) return;
    set_batch_tokens(std::min(2 * batch_tokens_, most_batch_tokens_));
  }

  void set_batch_tokens(int64_t tokens) noexcept {
    calm_batches_ = 0;
    batch_tokens_ = std::min(tokens, most_batch_tokens_);
    std::lock_guard lock(mutex_);
    queue_.set_most_batch_tokens(batch_tokens_);
  }

  const std::shared_ptr<const Model> model_;
  const Backend& backend_;
  const OpenDevice& device_;
  const int64_t most_batch_tokens_;

  // The thread's own. The lists have room for all flights, because its loop must not need memory.
  std::vector<std::unique_ptr<Flight>> flights_;
  std::vector<Flight*> free_, under_way_;  // under way: oldest first
  std::vector<Flight*> again_;             // to be tried again
  BatchWork whole_;                        // a batch that is run in parts
  int64_t batch_tokens_;                   // at most most_batch_tokens_
  int calm_batches_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  CallQueue queue_;
  bool closing_ = false;

  std::thread thread_;
};

}  // namespace

std::unique_ptr<Executor> make_device_executor(std::shared_ptr<const Model> model, const EngineOptions& options) {
  const DevicePointer device = model->encoder().shared_device();
  return std::make_unique<DeviceExecutor>(std::move(model), device, options);
}

}  // namespace embedcore
