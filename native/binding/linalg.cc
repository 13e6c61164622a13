#include "binding/linalg.h"

#include "binding/backends.h"
#include "binding/team_call.h"
#include "linalg/orthogonal_map.h"
#include "linalg/symmetric_eigen.h"

namespace embedcore {

namespace {

double* to_doubles(Napi::Value value, const char* what, int64_t count) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array ||
      static_cast<int64_t>(value.As<Napi::TypedArray>().ElementLength()) != count)
    fail(Code::kInternal, "%s must be a Float64Array of %lld numbers", what, static_cast<long long>(count));
  return value.As<Napi::Float64Array>().Data();
}

// [rows, width], or null where there is no such array.
const float* to_rows(Napi::Value value, const char* what, int64_t width, int64_t rows) {
  if (width == 0) return nullptr;
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array ||
      static_cast<int64_t>(value.As<Napi::TypedArray>().ElementLength()) != rows * width)
    fail(Code::kInternal, "%s must be a Float32Array of %lld rows", what, static_cast<long long>(rows));
  return value.As<Napi::Float32Array>().Data();
}

Napi::Object kept_arrays(Napi::Env env, std::initializer_list<Napi::Value> arrays) {
  Napi::Array kept = Napi::Array::New(env);
  for (const Napi::Value& array : arrays) kept.Set(kept.Length(), array);
  return kept;
}

int to_threads(Napi::Value value) { return static_cast<int>(value.ToNumber().Int64Value()); }

}  // namespace

Napi::Function MomentsHandle::define(Napi::Env env) {
  using Self = MomentsHandle;
  return DefineClass(env, "Moments", {InstanceMethod<&Self::add>("add"), InstanceMethod<&Self::finish>("finish")});
}

Napi::Value MomentsHandle::open(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int64_t width_x = info[0].ToNumber().Int64Value(), width_y = info[1].ToNumber().Int64Value();
    if (width_x < 1 || width_y < 0) fail(Code::kInternal, "there are no rows of such widths");
    auto state = std::make_shared<State>(width_x, width_y, to_threads(info[2]), chosen_double_kernels());
    const Napi::Object object = Environment::of(info.Env()).moments_class.New({});
    MomentsHandle::Unwrap(object)->state_ = std::move(state);
    return object;
  });
}

std::shared_ptr<MomentsHandle::State> MomentsHandle::take() {
  if (!state_ || state_->busy.exchange(true)) fail(Code::kInternal, "the moments are busy with another call");
  return state_;
}

Napi::Value MomentsHandle::add(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int64_t rows = info[2].ToNumber().Int64Value();
    const float* x = to_rows(info[0], "x", state_ ? state_->width_x : 1, rows);
    const float* y = to_rows(info[1], "y", state_ ? state_->width_y : 0, rows);
    const std::shared_ptr<State> state = take();
    return start_team_call(
        info.Env(), info[3], kept_arrays(info.Env(), {info[0], info[1], info.This()}), state->threads,
        [state, x, y, rows](const Stream& team, const std::function<void()>& keep_going) -> MakeResult {
          state->moments.add(x, y, rows, team, keep_going);
          return {};
        },
        [state] { state->busy = false; });
  });
}

Napi::Value MomentsHandle::finish(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!state_) fail(Code::kInternal, "there are no moments");
    double* mean_x = to_doubles(info[0], "meanX", state_->width_x);
    double* mean_y = to_doubles(info[1], "meanY", state_->width_y);
    double* covariance = to_doubles(info[2], "covariance", state_->width_x * state_->moments.columns());
    const std::shared_ptr<State> state = take();
    return start_team_call(
        info.Env(), info[3], kept_arrays(info.Env(), {info[0], info[1], info[2]}), state->threads,
        [state, mean_x, mean_y, covariance](const Stream& team, const std::function<void()>&) -> MakeResult {
          state->moments.finish(mean_x, mean_y, covariance, team);
          return {};
        },
        [state] { state->busy = false; });
  });
}

Napi::Value symmetric_eigen_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto size = info[1].IsTypedArray() ? static_cast<int64_t>(info[1].As<Napi::TypedArray>().ElementLength()) : 0;
    double* matrix = to_doubles(info[0], "matrix", size * size);
    double* values = to_doubles(info[1], "values", size);
    const DoubleKernels& kernels = chosen_double_kernels();
    return start_team_call(
        info.Env(), info[3], kept_arrays(info.Env(), {info[0], info[1]}), to_threads(info[2]),
        [matrix, values, size, &kernels](const Stream& team, const std::function<void()>& keep_going) -> MakeResult {
          symmetric_eigen(matrix, values, size, team, kernels, keep_going);
          return {};
        });
  });
}

Napi::Value orthogonal_map_call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int64_t rows = info[1].ToNumber().Int64Value(), columns = info[2].ToNumber().Int64Value();
    double* matrix = to_doubles(info[0], "matrix", rows * columns);
    double* values = to_doubles(info[4], "values", std::min(rows, columns));
    const double least = info[3].ToNumber().DoubleValue();
    const DoubleKernels& kernels = chosen_double_kernels();
    return start_team_call(info.Env(), info[6], kept_arrays(info.Env(), {info[0], info[4]}), to_threads(info[5]),
                           [matrix, values, rows, columns, least, &kernels](
                               const Stream& team, const std::function<void()>& keep_going) -> MakeResult {
                             orthogonal_map(matrix, values, rows, columns, least, team, kernels, keep_going);
                             return {};
                           });
  });
}

}  // namespace embedcore
