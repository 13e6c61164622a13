#include "stream.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "device.h"

namespace embedcore::cuda {

namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;
// Enough for the host to copy into one while others travel.
constexpr size_t kUploadPieces = 4;
// The results of a large batch arrive without anyone waiting. What does not fit waits for what came before it.
constexpr size_t kDownloadPieces = 64;

}  // namespace

// --- staging ---

Staging::Piece::~Piece() {
  if (arrived.event) close_event(arrived);
  if (memory) release_pinned(memory);
}

Staging::~Staging() { finish(); }

Error Staging::add_piece() {
  auto piece = std::make_unique<Piece>();
  void* memory = nullptr;
  Error error = allocate_pinned(&memory, kPieceBytes);
  if (error != Error::kOk) return error;
  piece->memory = static_cast<std::byte*>(memory);
  error = open_event(&piece->arrived);
  if (error != Error::kOk) return error;
  free_.reserve(pieces_.size() + 1);
  under_way_.reserve(pieces_.size() + 1);
  pieces_.push_back(std::move(piece));
  free_.push_back(pieces_.back().get());
  return Error::kOk;
}

Error Staging::retire() {
  Piece* piece = under_way_.front();
  bool done = false;
  Error error = query_event(piece->arrived, &done);
  if (error == Error::kOk && !done) error = wait_event(piece->arrived);
  if (error == Error::kOk && piece->to) std::memcpy(piece->to, piece->memory, piece->bytes);
  under_way_.erase(under_way_.begin());
  free_.push_back(piece);
  return error;
}

Error Staging::take(size_t most, Piece** taken) {
  while (!under_way_.empty()) {
    bool done = false;
    const Error error = query_event(under_way_.front()->arrived, &done);
    if (error != Error::kOk) return error;
    if (!done) break;
    if (const Error retired = retire(); retired != Error::kOk) return retired;
  }
  if (free_.empty()) {
    Error error = pieces_.size() < most ? add_piece() : retire();
    // Pinned memory is scarce on some machines: work goes on with the pieces that there are.
    if (error == Error::kOutOfMemory && !under_way_.empty()) error = retire();
    if (error != Error::kOk) return error;
  }
  *taken = free_.back();
  return Error::kOk;
}

Error Staging::launched(Piece* piece, StreamHandle stream) {
  under_way_.push_back(piece);
  free_.pop_back();
  const Error error = record(piece->arrived, stream);
  if (error != Error::kOk) piece->to = nullptr;
  return error;
}

Error Staging::upload(void* to, const void* from, size_t bytes, StreamHandle stream) {
  for (size_t begin = 0; begin < bytes; begin += kPieceBytes) {
    const size_t size = std::min(kPieceBytes, bytes - begin);
    Piece* piece = nullptr;
    Error error = take(kUploadPieces, &piece);
    if (error != Error::kOk) return error;
    std::memcpy(piece->memory, static_cast<const std::byte*>(from) + begin, size);
    piece->to = nullptr;
    error = copy_to_device(static_cast<std::byte*>(to) + begin, piece->memory, size, stream);
    if (error == Error::kOk) error = launched(piece, stream);
    if (error != Error::kOk) return error;
  }
  return Error::kOk;
}

Error Staging::download(void* to, const void* from, size_t bytes, StreamHandle stream) {
  for (size_t begin = 0; begin < bytes; begin += kPieceBytes) {
    Piece* piece = nullptr;
    Error error = take(kDownloadPieces, &piece);
    if (error != Error::kOk) return error;
    piece->to = static_cast<std::byte*>(to) + begin;
    piece->bytes = std::min(kPieceBytes, bytes - begin);
    error = copy_to_host(piece->memory, static_cast<const std::byte*>(from) + begin, piece->bytes, stream);
    if (error == Error::kOk) error = launched(piece, stream);
    if (error != Error::kOk) return error;
  }
  return Error::kOk;
}

Error Staging::finish() {
  Error first = Error::kOk;
  while (!under_way_.empty()) {
    if (first != Error::kOk) under_way_.front()->to = nullptr;
    const Error error = retire();
    if (first == Error::kOk) first = error;
  }
  return first;
}

// --- the stream ---

Error StreamState::open() {
  Error error = open_stream(&handle);
  if (error == Error::kOk) error = open_event(&done_);
  return error;
}

StreamState::~StreamState() {
  if (handle.stream) wait();
  replays.clear();
  if (done_.event) close_event(done_);
  if (handle.stream) close_stream(handle);
  device_.memory.release(scratch_);
}

Error StreamState::wait() {
  Error first = staging.finish();
  bool done = false;
  Error error = query_stream(handle, &done);
  if (error == Error::kOk && !done) {
    error = record(done_, handle);
    if (error == Error::kOk) error = wait_event(done_);
  }
  if (first == Error::kOk) first = error;
  for (void* memory : outgrown_) device_.memory.release(memory);
  outgrown_.clear();
  return first;
}

Replays::Memory StreamState::memory() const { return {.releases = device_.memory.releases(), .moves = scratch_moves_}; }

void* StreamState::scratch(size_t bytes, Error* error) {
  *error = Error::kOk;
  if (bytes <= scratch_bytes_ && scratch_) return scratch_;
  outgrown_.reserve(outgrown_.size() + 1);
  const size_t rounded = bytes + bytes / 8;
  void* memory = device_.memory.allocate(rounded, error);
  if (!memory) return nullptr;
  if (scratch_) outgrown_.push_back(scratch_);
  scratch_ = memory;
  ++scratch_moves_;
  scratch_bytes_ = rounded;
  return memory;
}

}  // namespace embedcore::cuda
