// A model on a device. One thread launches batches and keeps as many in flight as the backend wants: while one is
// computed, the next is packed and uploaded. Results are copied to host memory.
#include <condition_variable>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "engine/executor.h"

namespace embedcore {

namespace {

// A batch in flight, with the stream and the memory that it uses until it is done.
struct Flight {
  explicit Flight(DevicePointer device) : stream(std::move(device)) {}
  OpenStream stream;
  Workspace workspace;
  BatchWork work;
  std::vector<float> rows;  // the results
  int64_t stride = 0;
};

class DeviceExecutor final : public Executor {
 public:
  DeviceExecutor(std::shared_ptr<const Model> model, DevicePointer device, const EngineOptions& options)
      : model_(std::move(model)),
        backend_(model_->backend()),
        queue_(batch_tokens(*model_, options), backend_.batches_in_flight, options.max_queue_tokens) {
    for (int32_t i = 0; i < backend_.batches_in_flight; ++i) flights_.push_back(std::make_unique<Flight>(device));
    for (auto& flight : flights_) free_.push_back(flight.get());
    under_way_.reserve(flights_.size());
    try {
      thread_ = std::thread([this] { loop(); });
    } catch (const std::system_error& error) {
      fail(Code::kThreadLimit, "the system refuses to start the thread of a device: %s", error.what());
    }
  }

  ~DeviceExecutor() override {
    std::vector<std::shared_ptr<Call>> left;
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
      left = queue_.remove_all();
    }
    wake_.notify_all();
    const auto error = shared_error(Code::kDisposed, "the model was disposed while the call waited");
    for (const auto& call : left) call->fail(error);
    thread_.join();
  }

  void add(const std::shared_ptr<Call>& call, const std::shared_ptr<Piece>& piece) override {
    std::lock_guard lock(mutex_);
    if (call->failed()) return;  // failed since it was opened: the piece is completed
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
          if (taken && launch(*flight)) {
            free_.pop_back();
            under_way_.push_back(flight);
          }
          lock.lock();
          continue;
        }
      }
      if (!under_way_.empty()) {
        Flight* flight = under_way_.front();
        under_way_.erase(under_way_.begin());
        lock.unlock();
        land(*flight);
        lock.lock();
        free_.push_back(flight);
        continue;
      }
      if (closing_) return;
      wake_.wait(lock);
    }
  }

  // Whether there is something to wait for.
  bool launch(Flight& flight) noexcept {
    try {
      const ResultRows rows = model_->run(flight.work.plan(), flight.work.batch, flight.workspace, flight.stream,
                                          [&] { return flight.work.wanted(); });
      if (rows.data) {
        flight.stride = rows.stride;
        flight.rows.resize(static_cast<size_t>(rows.rows * rows.stride));
        check_status(
            backend_.download(flight.stream, flight.rows.data(), rows.data, flight.rows.size() * sizeof(float)),
            flight.stream, "a download");
        return true;
      }
      flight.stream.wait();
    } catch (...) {
      end_failed(flight);
      return false;
    }
    flight.work.clear();
    return false;
  }

  void land(Flight& flight) noexcept {
    try {
      flight.stream.wait();
      deliver(*model_, flight.work, flight.rows.data(), flight.stride);
    } catch (...) {
      end_failed(flight);
    }
    flight.work.clear();
  }

  // Launched operations still use the flight's memory.
  void end_failed(Flight& flight) noexcept {
    const auto error = current_error();
    backend_.wait(flight.stream);
    fail_all(flight.work, error);
    flight.work.clear();
  }

  const std::shared_ptr<const Model> model_;
  const Backend& backend_;
  std::vector<std::unique_ptr<Flight>> flights_;
  // The thread's own, each with room for all flights, because its loop must not need memory.
  std::vector<Flight*> free_, under_way_;  // under way: oldest first

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
