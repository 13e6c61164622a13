// The addon's exports: RawAddon of src/binding.ts.
#include <napi.h>

#include <algorithm>
#include <cmath>

#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/model.h"
#include "cpu/dispatch.h"
#include "engine/cores.h"

namespace embedcore {

namespace {

// For one-off operations: all tasks on the calling thread.
Stream serial_stream() {
  Stream stream{};
  stream.parallel = [](void*, int64_t tasks, void (*body)(void*, int64_t), void* arg) {
    for (int64_t task = 0; task < tasks; ++task) body(arg, task);
  };
  return stream;
}

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
    fail(Code::kInternal, "%lld values are no rows of %lld", static_cast<long long>(floats.count),
         static_cast<long long>(dimension));
  return dimension;
}

std::vector<float> copy_of(const Floats& floats) { return {floats.data, floats.data + floats.count}; }

// Inputs are copied before the work leaves this thread, and the result is copied in on return: JavaScript may do with
// its buffers what it likes.
using Finish = std::function<Napi::Value(Napi::Env, PendingCall&)>;

template <typename Element>
Finish copy_out(std::vector<Element> values) {
  return [values = std::make_shared<std::vector<Element>>(std::move(values))](Napi::Env to,
                                                                              PendingCall& pending) -> Napi::Value {
    const auto target = pending.kept.Value().As<Napi::TypedArray>();
    const size_t bytes = values->size() * sizeof(Element);
    if (target.ByteLength() == bytes && bytes > 0)
      std::memcpy(static_cast<uint8_t*>(target.ArrayBuffer().Data()) + target.ByteOffset(), values->data(), bytes);
    return to.Undefined();
  };
}

void check_out(Napi::Value value, int64_t bytes) {
  if (!value.IsTypedArray() || static_cast<int64_t>(value.As<Napi::TypedArray>().ByteLength()) != bytes)
    fail(Code::kInternal, "out must have %lld bytes", static_cast<long long>(bytes));
}

// quantize(data, dimension, precision, ranges, out, done)
void quantize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    const Floats data = to_floats(info[0], "data");
    const int64_t width = to_dimension(info[1], data), rows = data.count / width;
    const Precision precision = to_precision(info[2].ToString().Utf8Value());
    const bool levels = precision == Precision::kInt8 || precision == Precision::kUint8;
    std::vector<float> ranges;
    if (levels) {
      const Floats given = to_floats(info[3], "ranges");
      if (given.count != 2 * width)
        fail(Code::kInvalidOption, "ranges must have 2 x %lld values; it has %lld", static_cast<long long>(width),
             static_cast<long long>(given.count));
      ranges = copy_of(given);
    }
    const int64_t bytes = rows * (levels ? width : (width + 7) / 8);
    check_out(info[4], bytes);
    Environment::of(env).run_in_background(
        env, info[5].As<Napi::Function>(), info[4].As<Napi::Object>(),
        [x = copy_of(data), width, rows, precision, ranges = std::move(ranges), bytes]() -> Finish {
          std::vector<uint8_t> out(static_cast<size_t>(bytes));
          Stream stream = serial_stream();
          const float* minimum = ranges.empty() ? nullptr : ranges.data();
          check_status(chosen_backend().quantize(stream, {precision, x.data(), rows, width, minimum,
                                                          minimum ? minimum + width : nullptr, out.data()}),
                       stream, "quantize");
          return copy_out(std::move(out));
        });
  });
}

// ranges(data, dimension, out, done)
void ranges(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    const Floats data = to_floats(info[0], "data");
    const int64_t width = to_dimension(info[1], data);
    check_out(info[2], 2 * width * static_cast<int64_t>(sizeof(float)));
    Environment::of(env).run_in_background(env, info[3].As<Napi::Function>(), info[2].As<Napi::Object>(),
                                           [x = copy_of(data), width]() -> Finish {
                                             const auto columns = static_cast<size_t>(width);
                                             if (x.empty()) fail(Code::kNoRanges, "ranges need at least one vector");
                                             std::vector<float> out(x.begin(), x.begin() + width);
                                             out.insert(out.end(), x.begin(), x.begin() + width);
                                             for (size_t i = 0; i < x.size(); ++i) {
                                               out[i % columns] = std::min(out[i % columns], x[i]);
                                               out[columns + i % columns] = std::max(out[columns + i % columns], x[i]);
                                             }
                                             return copy_out(std::move(out));
                                           });
  });
}

// similarity(a, b, dimension, kind, out, done)
void similarity(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    const Floats a = to_floats(info[0], "a"), b = to_floats(info[1], "b");
    const int64_t width = to_dimension(info[2], a);
    to_dimension(info[2], b);
    const Similarity kind = to_similarity(info[3].ToString().Utf8Value());
    const int64_t rows_a = a.count / width, rows_b = b.count / width;
    check_out(info[4], rows_a * rows_b * static_cast<int64_t>(sizeof(float)));
    Environment::of(env).run_in_background(
        env, info[5].As<Napi::Function>(), info[4].As<Napi::Object>(),
        [x = copy_of(a), y = copy_of(b), width, kind, rows_a, rows_b]() -> Finish {
          std::vector<float> out(static_cast<size_t>(rows_a * rows_b));
          Stream stream = serial_stream();
          check_status(
              chosen_backend().similarity(stream, {kind, x.data(), y.data(), rows_a, rows_b, width, out.data()}),
              stream, "similarity");
          return copy_out(std::move(out));
        });
  });
}

Napi::Value cpu(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Napi::Object object = Napi::Object::New(env);
    const char* forced = std::getenv("EMBEDCORE_CPU_ISA");
    object.Set("forced", Napi::Boolean::New(env, forced && *forced));
    object.Set("isa", chosen_backend().name);
    object.Set("cores", Napi::Number::New(env, available_cores()));
    Napi::Array able = Napi::Array::New(env), refused = Napi::Array::New(env);
    for (const CpuIsa& isa : cpu_isas()) {
      if (isa.table) {
        able.Set(able.Length(), isa.name);
        continue;
      }
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("isa", isa.name);
      entry.Set("reason", isa.reason);
      refused.Set(refused.Length(), entry);
    }
    object.Set("features", able);
    object.Set("refused", refused);
    return object;
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* environment = new Environment(env);
  env.SetInstanceData<Environment>(environment);
  environment->model_class = Napi::Persistent(ModelHandle::define(env));
  environment->plan_class = Napi::Persistent(PlanHandle::define(env));
  exports.Set("version", "1");
  exports.Set("cpu", Napi::Function::New(env, cpu));
  exports.Set("load", Napi::Function::New(env, ModelHandle::load));
  exports.Set("quantize", Napi::Function::New(env, quantize));
  exports.Set("ranges", Napi::Function::New(env, ranges));
  exports.Set("similarity", Napi::Function::New(env, similarity));
  return exports;
}

}  // namespace

}  // namespace embedcore

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return embedcore::init(env, exports); }
NODE_API_MODULE(embedcore, init_addon)
