// Steps of losses on a device, in memory of one layout. The code that takes these steps runs twice: without a stream it
// only measures the memory (model/workspace.h).
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/device.h"
#include "model/workspace.h"

namespace embedcore {

class LossOps {
 public:
  LossOps(const Backend& backend, OpenStream* stream, Layout layout)
      : backend_(backend), stream_(stream), layout_(layout) {}

  Layout& layout() { return layout_; }
  bool measures() const { return stream_ == nullptr; }

  template <typename Args>
  void run(Status (*Backend::*operation)(Stream&, const Args&), const Args& args, const char* what) {
    if (stream_) check_status((backend_.*operation)(*stream_, args), *stream_, what);
  }

  View rows(int64_t rows, int64_t width) { return layout_.rows(rows, width); }
  View zeros(int64_t rows, int64_t width);

  // The list in device memory. It is kept until the end of the run.
  const int32_t* upload(std::vector<int32_t> list) { return upload_list(std::move(list), integers_); }
  const float* upload(std::vector<float> list) { return upload_list(std::move(list), floats_); }
  // Waits. Zeros while measuring.
  std::vector<float> download(const float* from, int64_t count);

  void copy(View from, View to, int64_t rows, int64_t width);
  void add(View from, View to, int64_t rows, int64_t width);  // to += from
  // In place; the lengths are kept for normalize_gradient, which also works in place.
  const float* normalize(View x, int64_t rows, int64_t width);
  void normalize_gradient(View y, const float* lengths, View dy, int64_t rows, int64_t width);

 private:
  template <typename T>
  const T* upload_list(std::vector<T> list, std::deque<std::vector<T>>& kept) {
    T* to = layout_.array<T>(static_cast<int64_t>(list.size()));
    if (!stream_) return to;
    kept.push_back(std::move(list));
    const std::vector<T>& from = kept.back();
    check_status(backend_.upload(*stream_, to, from.data(), from.size() * sizeof(T)), *stream_, "uploading a list");
    return to;
  }

  const Backend& backend_;
  OpenStream* stream_;
  Layout layout_;
  std::deque<std::vector<int32_t>> integers_;
  std::deque<std::vector<float>> floats_;
};

}  // namespace embedcore
