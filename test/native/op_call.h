// One call of an operation on any backend, with what a test has in host memory: rows, tables, ids.
//
//   OpCall call(backend);
//   call.run(backend.fuse, {.x = call.in(x), .x_stride = x.stride(), .y = call.out(y), ...});
//
// A host backend gets the test's memory itself, whose end the address sanitizer knows. For a device the call uploads
// each piece into memory of its own, waits, and downloads all of it again: results arrive in the test's memory, and it
// is a failure if the operation has changed what it may only read, or what lies around a piece.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <deque>
#include <vector>

#include "op_backends.h"
#include "op_rows.h"

namespace embedcore::test {

// The tasks of a host backend in order, in a shuffled order, or by four threads in parallel. A device has no tasks and
// computes the same again.
enum class Order { kAscending, kShuffled, kThreads };

struct TestStream : Stream {
  explicit TestStream(Order how = Order::kAscending);
  TestStream(const TestStream&) = delete;
  void run(int64_t tasks, void (*body)(void*, int64_t), void* arg);

  Order order;
};

inline void expect_ok(Status status, const Stream& stream) { ASSERT_EQ(status, kOk) << stream.message; }

class OpCall {
 public:
  explicit OpCall(const Backend& backend, Order order = Order::kAscending);
  ~OpCall();
  OpCall(const OpCall&) = delete;

  // What the operation only reads, from a row or an element on. The pointer is as far from an alignment as that row or
  // element is in a matrix whose start is aligned. The same memory given twice is the same on the device.
  const float* in(const Rows& rows, int64_t begin = 0) {
    return static_cast<const float*>(
        place(rows.data(), rows.bytes(), begin * rows.stride() * ptrdiff_t{sizeof(float)}));
  }
  const void* in(const TypedRows& rows) { return place(rows.data(), rows.bytes(), 0); }
  template <typename T>
  const T* in(const std::vector<T>& list, int64_t begin = 0) {
    return static_cast<const T*>(place(list.data(), list.size() * sizeof(T), begin * ptrdiff_t{sizeof(T)}));
  }

  // What the operation writes; it may read it too.
  float* out(Rows& rows) { return static_cast<float*>(place_result(rows.data(), rows.bytes())); }
  void* out(TypedRows& rows) { return place_result(rows.data(), rows.bytes()); }
  template <typename T>
  T* out(std::vector<T>& list) {
    return static_cast<T*>(place_result(list.data(), list.size() * sizeof(T)));
  }

  // Runs the operation to its end, which must be kOk. Once for each call.
  template <typename Args>
  void run(Status (*operation)(Stream&, const Args&), const Args& args) {
    EXPECT_EQ(attempt(operation, args), kOk) << stream_.message;
  }
  // The same, but returns the first status that is not kOk, of the launch or of waiting.
  template <typename Args>
  Status attempt(Status (*operation)(Stream&, const Args&), const Args& args) {
    return finish(operation(stream_, args));
  }
  const char* message() const { return stream_.message; }

 private:
  // One piece of the test's memory on the device.
  struct Piece {
    std::byte* host;
    size_t bytes, front;  // front: from the start of the allocation
    bool is_result;
    std::byte* memory;
    std::vector<std::byte> sent, back;  // all of the allocation
  };

  const void* place(const void* host, size_t bytes, ptrdiff_t begin);
  void* place_result(void* host, size_t bytes);
  Piece& piece_of(std::byte* host, size_t bytes, size_t begin);
  Status finish(Status launched);
  void take_back(Piece& piece) const;

  const Backend& backend_;
  TestStream stream_;
  bool guarded_ = false;
  Status uploaded_ = kOk;
  std::deque<Piece> pieces_;
};

}  // namespace embedcore::test
