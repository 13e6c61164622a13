#include "op_call.h"

#include <atomic>
#include <cstring>
#include <new>
#include <thread>

namespace embedcore::test {

namespace {

constexpr size_t kAlignment = 256;         // of device memory
constexpr auto kPoison = std::byte{0xff};  // a NaN in every float type, and no row of any table
std::atomic<int> device_calls{0};

}  // namespace

TestStream::TestStream(Order how) : Stream{}, order(how) {
  team = this;
  parallel = [](void* self, int64_t tasks, void (*body)(void*, int64_t), void* arg) {
    static_cast<TestStream*>(self)->run(tasks, body, arg);
  };
}

void TestStream::run(int64_t tasks, void (*body)(void*, int64_t), void* arg) {
  std::vector<int64_t> list(static_cast<size_t>(tasks));
  for (int64_t task = 0; task < tasks; ++task) list[static_cast<size_t>(task)] = task;
  if (order != Order::kAscending) Random(7).shuffle(list);
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t i = next++; i < list.size(); i = next++) body(arg, list[i]);
  };
  if (order != Order::kThreads) return work();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
}

// Every other call has no guard behind its pieces: a write beyond the end is found by the guard, and a read by a device
// that checks its accesses and sees the allocation end there.
OpCall::OpCall(const Backend& backend, Order order) : backend_(backend), stream_(order) {
  stream_.device = device_of(backend);
  if (backend.host_memory) return;
  guarded_ = device_calls++ % 2 == 0;
  if (backend.open_stream(stream_) != kOk) throw std::bad_alloc();
}

OpCall::~OpCall() {
  if (backend_.host_memory) return;
  for (const Piece& piece : pieces_) backend_.release(stream_.device, piece.memory);
  backend_.close_stream(stream_);
}

const void* OpCall::place(const void* host, size_t bytes, ptrdiff_t begin) {
  const auto* first = static_cast<const std::byte*>(host) + begin;
  if (backend_.host_memory || !host) return first;
  const auto skipped = static_cast<size_t>(begin);
  // The test's memory is written only if it was given as a result too.
  const Piece& piece = piece_of(const_cast<std::byte*>(first), bytes > skipped ? bytes - skipped : 0, skipped);
  return piece.memory + piece.front;
}

void* OpCall::place_result(void* host, size_t bytes) {
  if (backend_.host_memory || !host) return host;
  Piece& piece = piece_of(static_cast<std::byte*>(host), bytes, 0);
  piece.is_result = true;
  return piece.memory + piece.front;
}

OpCall::Piece& OpCall::piece_of(std::byte* host, size_t bytes, size_t begin) {
  for (Piece& piece : pieces_)
    if (piece.host == host && piece.bytes == bytes) return piece;
  const size_t front = kAlignment + begin % kAlignment, size = front + bytes + (guarded_ ? kAlignment : 0);
  auto* memory = static_cast<std::byte*>(backend_.allocate(stream_.device, size));
  if (!memory) throw std::bad_alloc();
  Piece& piece = pieces_.emplace_back(Piece{.host = host,
                                            .bytes = bytes,
                                            .front = front,
                                            .is_result = false,
                                            .memory = memory,
                                            .sent = std::vector<std::byte>(size, kPoison),
                                            .back = std::vector<std::byte>(size)});
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % kAlignment, 0u);
  if (bytes > 0) std::memcpy(piece.sent.data() + front, host, bytes);
  const Status status = backend_.upload(stream_, memory, piece.sent.data(), size);
  if (uploaded_ == kOk) uploaded_ = status;
  return piece;
}

Status OpCall::finish(Status launched) {
  if (backend_.host_memory) return launched;
  Status first = uploaded_ != kOk ? uploaded_ : launched;
  for (Piece& piece : pieces_) {
    const Status status =
        first == kOk ? backend_.download(stream_, piece.back.data(), piece.memory, piece.back.size()) : kOk;
    if (first == kOk) first = status;
  }
  const Status waited = backend_.wait(stream_);
  if (first == kOk) first = waited;
  if (first != kOk) return first;
  for (Piece& piece : pieces_) take_back(piece);
  return kOk;
}

void OpCall::take_back(Piece& piece) const {
  const auto end = piece.front + piece.bytes;
  for (size_t i = 0; i < piece.sent.size(); ++i) {
    const bool inside = i >= piece.front && i < end;
    if ((inside && piece.is_result) || piece.back[i] == piece.sent[i]) continue;
    ADD_FAILURE() << (inside ? "changed what is only read, byte " : "written outside of its memory, byte ")
                  << static_cast<ptrdiff_t>(i - piece.front) << " of " << piece.bytes;
    break;
  }
  if (piece.is_result && piece.bytes > 0) std::memcpy(piece.host, piece.back.data() + piece.front, piece.bytes);
}

}  // namespace embedcore::test
