#include "engine/background.h"

namespace embedcore {

Background::~Background() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    tasks_.clear();
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Background::post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    if (idle_ < tasks_.size() && threads_.size() < kThreads) threads_.emplace_back([this] { loop(); });
  }
  wake_.notify_one();
}

void Background::loop() {
  std::unique_lock lock(mutex_);
  while (!closing_) {
    if (tasks_.empty()) {
      ++idle_;
      wake_.wait(lock);
      --idle_;
      continue;
    }
    const auto task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace embedcore
