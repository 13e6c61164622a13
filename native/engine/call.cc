#include "engine/call.h"

#include <algorithm>
#include <cstring>

namespace embedcore {

Call::Call(std::shared_ptr<const EncodePlan> plan, float* out, int64_t rows)
    : plan_(std::move(plan)), rows_(rows), out_(out) {}

bool Call::open(const std::shared_ptr<Piece>& piece) {
  std::shared_ptr<const Error> error;
  {
    std::lock_guard lock(mutex_);
    if (!failed_) {
      open_.push_back(piece);
      piece->open_texts = piece->texts();
      return true;
    }
    error = error_;
  }
  piece->done(error);
  return false;
}

bool Call::withdraw(const Piece& piece) noexcept {
  std::lock_guard lock(mutex_);
  return std::erase_if(open_, [&](const auto& one) { return one.get() == &piece; }) > 0;
}

void Call::write(int64_t first, const float* rows, int64_t stride, int64_t count) {
  const int64_t width = plan_->dimension;
  std::lock_guard lock(mutex_);
  if (!out_ || first < 0 || first + count > rows_) return;
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(out_ + (first + i) * width, rows + i * stride, static_cast<size_t>(width) * sizeof(float));
}

void Call::delivered(const std::shared_ptr<Piece>& piece, int64_t texts) {
  if (piece->open_texts.fetch_sub(texts) != texts) return;
  {
    std::lock_guard lock(mutex_);
    const auto found = std::find(open_.begin(), open_.end(), piece);
    if (found == open_.end()) return;  // fail() has completed it
    open_.erase(found);
  }
  piece->done(nullptr);
}

void Call::fail(std::shared_ptr<const Error> error) noexcept {
  std::vector<std::shared_ptr<Piece>> open;
  {
    std::lock_guard lock(mutex_);
    if (failed_) return;
    failed_.store(true, std::memory_order_release);
    error_ = error;
    out_ = nullptr;
    open.swap(open_);
  }
  for (const auto& piece : open) piece->done(error);
}

}  // namespace embedcore
