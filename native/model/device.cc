#include "model/device.h"

#include <cstdio>
#include <new>
#include <string_view>

namespace embedcore {

void check_status(Status status, const Stream& stream, const char* what) {
  if (status == kOk) return;
  if (status == kOutOfMemory) fail(Code::kOutOfMemory, "no memory for %s", what);
  if (status == kDeviceFailed)
    fail(Code::kDevice, "the device failed in %s: %s", what, stream.message[0] ? stream.message : "no reason is given");
  fail(Code::kInternal, "%s: %s", what, stream.message[0] ? stream.message : "the backend refused it");
}

std::shared_ptr<const OpenDevice> OpenDevice::open(const Backend& backend, int32_t index) {
  char message[256] = "";
  Device* handle = backend.open_device(index, message, sizeof message);
  if (!handle)
    fail(std::string_view(message).starts_with("no memory") ? Code::kOutOfMemory : Code::kDevice,
         "cannot open device %d of %s: %s", index, backend.name, message);
  std::unique_ptr<const OpenDevice> opened(new (std::nothrow) OpenDevice(backend, index, handle));
  if (!opened) {
    backend.close_device(handle);
    throw std::bad_alloc();
  }
  return std::shared_ptr<const OpenDevice>(std::move(opened));
}

OpenDevice::~OpenDevice() { backend_.close_device(handle_); }

std::shared_ptr<const Error> OpenDevice::failure() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

std::shared_ptr<const Error> OpenDevice::set_failure(const Error& error) const noexcept {
  std::lock_guard lock(mutex_);
  if (failure_) return failure_;
  char sentence[512];
  std::snprintf(sentence, sizeof sentence,
                "device %d of %s cannot go on: %.300s; load the model again, and restart the process if that fails too",
                index_, backend_.name, error.what());
  return failure_ = shared_error(Code::kDevice, sentence);
}

std::shared_ptr<void> OpenDevice::allocate(size_t bytes) const {
  void* memory = backend_.allocate(handle_, bytes);
  if (!memory) fail(Code::kOutOfMemory, "no memory for %zu bytes on device %d of %s", bytes, index_, backend_.name);
  // The deleter also runs if the control block cannot be allocated.
  return std::shared_ptr<void>(
      memory, [release = backend_.release, handle = handle_](void* to_free) { release(handle, to_free); });
}

std::shared_ptr<void> OpenDevice::upload(const void* from, size_t bytes) const {
  std::shared_ptr<void> memory = allocate(bytes);
  Stream stream;
  stream.device = handle_;
  check_status(backend_.open_stream(stream), stream, "a stream");
  Status status = backend_.upload(stream, memory.get(), from, bytes);
  if (status == kOk) status = backend_.wait(stream);
  backend_.close_stream(stream);
  check_status(status, stream, "an upload");
  return memory;
}

OpenStream::OpenStream(DevicePointer device) : opened_(std::move(device)) {
  this->device = opened_->handle();
  check_status(opened_->backend().open_stream(*this), *this, "a stream");
}

OpenStream::~OpenStream() { opened_->backend().close_stream(*this); }

}  // namespace embedcore
