#include "binding/vectors.h"

#include <algorithm>
#include <mutex>

#include "binding/backends.h"
#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/sliced_call.h"
#include "ops/vectors.h"

namespace embedcore {

namespace {

// Sizes of slices. Each takes one core some milliseconds, so that an abort takes effect soon and all cores get slices.
constexpr int64_t kSliceRowsA = 2048, kSliceRowsB = 256, kSliceFloats = int64_t{1} << 20;

struct Floats {
  const float* data;
  int64_t count;
};

Floats to_floats(Napi::Value value, const char* what) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array)
    fail(Code::kInternal, "%s must be a Float32Array", what);
  const auto list = value.As<Napi::Float32Array>();
  return {list.Data(), static_cast<int64_t>(list.ElementLength())};
}

int64_t to_dimension(Napi::Value value, const Floats& floats) {
  const int64_t dimension = value.IsNumber() ? value.As<Napi::Number>().Int64Value() : 0;
  if (dimension < 1 || floats.count % dimension != 0)
    fail(Code::kInternal, "%lld values do not divide into rows of %lld", static_cast<long long>(floats.count),
         static_cast<long long>(dimension));
  return dimension;
}

template <typename Element>
Element* to_out(Napi::Value value, int64_t bytes) {
  if (!value.IsTypedArray() || static_cast<int64_t>(value.As<Napi::TypedArray>().ByteLength()) != bytes)
    fail(Code::kInternal, "out must have %lld bytes", static_cast<long long>(bytes));
  const auto array = value.As<Napi::TypedArray>();
  return reinterpret_cast<Element*>(static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset());
}

int64_t slices_of(int64_t count, int64_t slice) { return (count + slice - 1) / slice; }

// Starts a call that keeps these arrays, and runs it in slices.
Napi::Value start(Napi::Env env, Napi::Value done, std::initializer_list<Napi::Value> arrays, int64_t slices,
                  SliceJob::Run run) {
  Napi::Array kept = Napi::Array::New(env);
  for (const Napi::Value& array : arrays) kept.Set(kept.Length(), array);
  return start_sliced_call(env, done, kept, slices, std::move(run));
}

}  // namespace

Napi::Value quantize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Floats data = to_floats(info[0], "data");
    const int64_t width = to_dimension(info[1], data), rows = data.count / width;
    const Precision precision = to_precision(info[2].ToString().Utf8Value());
    const bool levels = precision == Precision::kInt8 || precision == Precision::kUint8;
    const float* minimum = nullptr;
    if (levels) {
      const Floats given = to_floats(info[3], "ranges");
      if (given.count != 2 * width)
        fail(Code::kInvalidOption, "ranges must have 2 x %lld values; it has %lld", static_cast<long long>(width),
             static_cast<long long>(given.count));
      minimum = given.data;
    }
    const int64_t columns = levels ? width : (width + 7) / 8;
    auto* out = to_out<uint8_t>(info[4], rows * columns);
    const int64_t slice_rows = std::max<int64_t>(1, kSliceFloats / width);
    const Backend& backend = host_backend();
    return start(env, info[5], {info[0], info[3], info[4]}, slices_of(rows, slice_rows),
                 [=, &backend](int64_t slice, Stream& stream) {
                   const int64_t begin = slice * slice_rows;
                   check_status(backend.quantize(stream, {.precision = precision,
                                                          .x = data.data + begin * width,
                                                          .rows = std::min(slice_rows, rows - begin),
                                                          .width = width,
                                                          .minimum = minimum,
                                                          .maximum = minimum ? minimum + width : nullptr,
                                                          .y = out + begin * columns}),
                                stream, "quantize");
                 });
  });
}

Napi::Value ranges(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Floats data = to_floats(info[0], "data");
    const int64_t width = to_dimension(info[1], data), rows = data.count / width;
    auto* out = to_out<float>(info[2], 2 * width * static_cast<int64_t>(sizeof(float)));
    if (rows == 0) fail(Code::kNoRanges, "ranges need at least one vector");
    std::copy_n(data.data, width, out);
    std::copy_n(data.data, width, out + width);
    const int64_t slice_rows = std::max<int64_t>(1, kSliceFloats / width);
    const auto mutex = std::make_shared<std::mutex>();  // guards out
    return start(env, info[3], {info[0], info[2]}, slices_of(rows, slice_rows), [=](int64_t slice, Stream&) {
      const int64_t begin = slice * slice_rows, end = std::min(rows, begin + slice_rows);
      std::vector<float> low(data.data + begin * width, data.data + (begin + 1) * width), high = low;
      for (int64_t row = begin; row < end; ++row) {
        for (int64_t d = 0; d < width; ++d) {
          const float value = data.data[row * width + d];
          low[static_cast<size_t>(d)] = std::min(low[static_cast<size_t>(d)], value);
          high[static_cast<size_t>(d)] = std::max(high[static_cast<size_t>(d)], value);
        }
      }
      std::lock_guard lock(*mutex);
      for (int64_t d = 0; d < width; ++d) {
        out[d] = std::min(out[d], low[static_cast<size_t>(d)]);
        out[width + d] = std::max(out[width + d], high[static_cast<size_t>(d)]);
      }
    });
  });
}

Napi::Value similarity(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Floats a = to_floats(info[0], "a"), b = to_floats(info[1], "b");
    const int64_t width = to_dimension(info[2], a);
    to_dimension(info[2], b);
    const Similarity kind = to_similarity(info[3].ToString().Utf8Value());
    const int64_t rows_a = a.count / width, rows_b = b.count / width;
    auto* out = to_out<float>(info[4], rows_a * rows_b * static_cast<int64_t>(sizeof(float)));
    const int64_t slices_a = slices_of(rows_a, kSliceRowsA), slices_b = slices_of(rows_b, kSliceRowsB);
    const Backend& backend = host_backend();
    return start(env, info[5], {info[0], info[1], info[4]}, slices_a * slices_b,
                 [=, &backend](int64_t slice, Stream& stream) {
                   const int64_t i = slice / slices_b * kSliceRowsA, j = slice % slices_b * kSliceRowsB;
                   check_status(backend.similarity(stream, {.kind = kind,
                                                            .a = a.data + i * width,
                                                            .b = b.data + j * width,
                                                            .rows_a = std::min(kSliceRowsA, rows_a - i),
                                                            .rows_b = std::min(kSliceRowsB, rows_b - j),
                                                            .width = width,
                                                            .y = out + i * rows_b + j,
                                                            .y_stride = rows_b}),
                                stream, "similarity");
                 });
  });
}

}  // namespace embedcore
