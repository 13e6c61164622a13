// The RawLinalg of src/core/linalg-binding.ts.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

#include "linalg/moments.h"

namespace embedcore {

class MomentsHandle : public Napi::ObjectWrap<MomentsHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  // addon.moments(widthX, widthY, threads)
  static Napi::Value open(const Napi::CallbackInfo& info);
  explicit MomentsHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MomentsHandle>(info) {}

 private:
  struct State {
    State(int64_t x, int64_t y, int thread_count, const DoubleKernels& kernels)
        : moments(x, y, kernels), width_x(x), width_y(y), threads(thread_count) {}
    Moments moments;
    const int64_t width_x, width_y;
    const int threads;
    std::atomic<bool> busy{false};
  };
  std::shared_ptr<State> take();  // for one call
  Napi::Value add(const Napi::CallbackInfo& info);
  Napi::Value finish(const Napi::CallbackInfo& info);

  std::shared_ptr<State> state_;
};

// addon.symmetricEigen(matrix, values, threads, done)
Napi::Value symmetric_eigen_call(const Napi::CallbackInfo& info);
// addon.orthogonalMap(matrix, rows, columns, least, values, threads, done)
Napi::Value orthogonal_map_call(const Napi::CallbackInfo& info);

}  // namespace embedcore
