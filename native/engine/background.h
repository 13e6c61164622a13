// A few threads for work that is no encode call: loading, comparing, quantising. Started when first needed.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace embedcore {

class Background {
 public:
  ~Background();  // drops what has not begun, waits for what has
  // The task must not throw.
  void post(std::function<void()> task);

 private:
  void loop();

  static constexpr size_t kThreads = 2;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool closing_ = false;
};

}  // namespace embedcore
