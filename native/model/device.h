// Devices for models: opened once for each model, with memory that frees itself and statuses as errors.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "ops/backend.h"

namespace embedcore {

// Throws the Error for a status of the backend, unless it is kOk; `what` names the operation.
void check_status(Status status, const Stream& stream, const char* what);

// A device opened for one model. Everything on it holds a reference, so it is closed last. Safe from any thread.
class OpenDevice {
 public:
  // Throws Error with the backend's sentence if the device cannot be opened.
  static std::shared_ptr<const OpenDevice> open(const Backend& backend, int32_t index = 0);
  ~OpenDevice();
  OpenDevice(const OpenDevice&) = delete;
  OpenDevice& operator=(const OpenDevice&) = delete;

  const Backend& backend() const { return backend_; }
  int32_t index() const { return index_; }
  Device* handle() const { return handle_; }
  bool supports(DType dtype) const { return backend_.supports(handle_, dtype); }

  // The first failure of the device itself (kDeviceFailed): nothing on it works any more. Null = none so far.
  std::shared_ptr<const Error> failure() const;
  // Remembers the failure of an operation, as a sentence about the device.
  std::shared_ptr<const Error> set_failure(const Error& error) const noexcept;

  // The memory frees itself. Throws Error(kOutOfMemory).
  std::shared_ptr<void> allocate(size_t bytes) const;
  // Copies host memory into new device memory and waits for it.
  std::shared_ptr<void> upload(const void* from, size_t bytes) const;

 private:
  OpenDevice(const Backend& backend, int32_t index, Device* handle)
      : backend_(backend), index_(index), handle_(handle) {}
  const Backend& backend_;
  const int32_t index_;
  Device* const handle_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  mutable std::shared_ptr<const Error> failure_;
};

using DevicePointer = std::shared_ptr<const OpenDevice>;

// A stream on a device. Used by one thread at a time.
class OpenStream : public Stream {
 public:
  explicit OpenStream(DevicePointer device);
  ~OpenStream();
  OpenStream(const OpenStream&) = delete;
  OpenStream& operator=(const OpenStream&) = delete;
  const OpenDevice& opened() const { return *opened_; }
  void wait() { check_status(opened_->backend().wait(*this), *this, "waiting for the device"); }

 private:
  DevicePointer opened_;
};

// Values in device memory, written once, or a view of them. Only operations of the backend may read them.
template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(const OpenDevice& device, std::span<const T> values)
      : size_(values.size()), memory_(values.empty() ? nullptr : device.upload(values.data(), values.size_bytes())) {}
  // A view of elements of `owner`, which it keeps alive; they may change.
  DeviceArray(const std::shared_ptr<void>& owner, T* data, size_t size) : size_(size), memory_(owner, data) {}

  const T* data() const { return static_cast<const T*>(memory_.get()); }  // null if it is empty
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }

 private:
  size_t size_ = 0;
  std::shared_ptr<void> memory_;
};

}  // namespace embedcore
