#include "binding/static_vectors.h"

#include "binding/backends.h"
#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/sliced_call.h"
#include "static/documents.h"
#include "static/read_vectors.h"
#include "static/write_vectors.h"

namespace embedcore {

namespace {

constexpr int64_t kDocumentsOfSlice = 256;

VectorFormat to_format(const std::string& name) {
  if (name == "auto") return VectorFormat::kAuto;
  if (name == "word2vec-binary") return VectorFormat::kBinary;
  if (name == "glove") return VectorFormat::kGlove;
  if (name == "fasttext") return VectorFormat::kFastText;
  return VectorFormat::kText;
}

BadWords to_bad_words(const std::string& name) {
  return name == "replace" ? BadWords::kReplace : name == "skip" ? BadWords::kSkip : BadWords::kRefuse;
}

template <typename Element>
Element* get_array(Napi::Object from, const char* key, napi_typedarray_type type, size_t elements) {
  const Napi::Value value = from.Get(key);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type ||
      value.As<Napi::TypedArray>().ElementLength() != elements)
    fail(Code::kInternal, "\"%s\" must be an array of %zu elements of its type", key, elements);
  const auto array = value.As<Napi::TypedArray>();
  return reinterpret_cast<Element*>(static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset());
}

std::vector<float> get_floats(Napi::Object from, const char* key) {
  const Napi::Value value = from.Get(key);
  if (value.IsNull() || value.IsUndefined()) return {};
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array)
    fail(Code::kInternal, "\"%s\" must be a Float32Array", key);
  const auto list = value.As<Napi::Float32Array>();
  return std::vector<float>(list.Data(), list.Data() + list.ElementLength());
}

void check_offsets(const std::vector<int32_t>& offsets, size_t end, const char* what) {
  bool ordered = offsets.size() >= 1 && offsets.front() == 0 && static_cast<size_t>(offsets.back()) == end;
  for (size_t i = 1; i < offsets.size(); ++i) ordered = ordered && offsets[i - 1] <= offsets[i];
  if (!ordered) fail(Code::kInternal, "%s must rise from 0 to %zu", what, end);
}

NearestRequest to_nearest(Napi::Object from, const WordVectors& vectors) {
  NearestRequest request;
  request.terms = get_floats(from, "terms");
  const size_t terms = request.terms.size() / static_cast<size_t>(vectors.dimension);
  const uint8_t* negative = get_array<uint8_t>(from, "negative", napi_uint8_array, terms);
  request.negative.assign(negative, negative + terms);
  request.offsets = to_ints(from.Get("offsets"), "offsets", false);
  request.excluded = to_ints(from.Get("excluded"), "excluded", false);
  request.excluded_offsets = to_ints(from.Get("excludedOffsets"), "excludedOffsets", false);
  check_offsets(request.offsets, terms, "offsets");
  check_offsets(request.excluded_offsets, request.excluded.size(), "excludedOffsets");
  if (request.excluded_offsets.size() != request.offsets.size() || terms * vectors.dimension != request.terms.size())
    fail(Code::kInternal, "the parts of the request do not fit together");
  for (size_t i = 1; i < request.offsets.size(); ++i)
    if (request.offsets[i] == request.offsets[i - 1]) fail(Code::kInternal, "query %zu has no terms", i - 1);
  request.count = get_int(from, "count");
  request.restrict = get_int(from, "restrict");
  const size_t out = (request.offsets.size() - 1) * static_cast<size_t>(request.count);
  request.ids = get_array<int32_t>(from, "ids", napi_int32_array, out);
  request.scores = get_array<float>(from, "scores", napi_float32_array, out);
  return request;
}

DocumentsRequest to_documents(Napi::Object from, const WordVectors& vectors) {
  DocumentsRequest request;
  const Napi::Value bytes = from.Get("text");
  if (!bytes.IsTypedArray()) fail(Code::kInternal, "\"text\" must be bytes");
  const auto array = bytes.As<Napi::TypedArray>();
  request.text.assign(static_cast<const char*>(array.ArrayBuffer().Data()) + array.ByteOffset(), array.ByteLength());
  request.begins.push_back(0);
  for (size_t i = 0; i < request.text.size(); ++i)
    if (request.text[i] == '\n') request.begins.push_back(i + 1);
  if (request.begins.back() != request.text.size()) fail(Code::kInternal, "the last text does not end");
  request.weights = get_floats(from, "weights");
  if (!request.weights.empty() && static_cast<int64_t>(request.weights.size()) != vectors.words.size())
    fail(Code::kInternal, "there must be a weight for each word");
  request.other_weight = static_cast<float>(from.Get("otherWeight").ToNumber().DoubleValue());
  request.unit = get_bool(from, "unit");
  request.by_count = get_bool(from, "byCount");
  const size_t documents = request.begins.size() - 1;
  request.rows = get_array<float>(from, "rows", napi_float32_array, documents * static_cast<size_t>(vectors.dimension));
  request.known = get_array<int32_t>(from, "known", napi_int32_array, documents);
  return request;
}

// Runs reading or writing on a thread of its own.
Napi::Value start_file(Napi::Env env, Napi::Value done, Napi::Object kept,
                       std::function<MakeResult(const KeepReading&)> work) {
  Environment& environment = Environment::of(env);
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  const Napi::Object task = to_task(env, [cancelled] { *cancelled = true; });
  const auto call = environment.begin_call(env, done.As<Napi::Function>(), kept);
  try {
    environment.start_load(call, cancelled,
                           [work = std::move(work)](const KeepLoading& keep) { return work([&keep] { keep(); }); });
  } catch (...) {
    call->settle(current_error());
  }
  return task;
}

std::vector<std::string> to_words(Napi::Value value) {
  if (!value.IsArray()) fail(Code::kInternal, "words must be a list");
  const auto list = value.As<Napi::Array>();
  std::vector<std::string> words(list.Length());
  for (uint32_t i = 0; i < list.Length(); ++i) words[i] = list.Get(i).ToString().Utf8Value();
  return words;
}

struct Range {
  int64_t from, to;
};
Range to_range(const Napi::CallbackInfo& info, int64_t size) {
  const int64_t from = info[0].ToNumber().Int64Value(), to = info[1].ToNumber().Int64Value();
  if (from < 0 || to < from || to > size)
    fail(Code::kInternal, "no words %lld to %lld", static_cast<long long>(from), static_cast<long long>(to));
  return {from, to};
}

}  // namespace

Napi::Function StaticVectorsHandle::define(Napi::Env env) {
  using Self = StaticVectorsHandle;
  return DefineClass(env, "StaticVectors",
                     {InstanceAccessor<&Self::info>("info"), InstanceMethod<&Self::find>("find"),
                      InstanceMethod<&Self::words>("words"), InstanceMethod<&Self::counts>("counts"),
                      InstanceMethod<&Self::vectors>("vectors"), InstanceMethod<&Self::nearest>("nearest"),
                      InstanceMethod<&Self::documents>("documents"), InstanceMethod<&Self::write>("write"),
                      InstanceMethod<&Self::dispose>("dispose")});
}

Napi::Object StaticVectorsHandle::make(Napi::Env env, SharedVectors vectors) {
  const Napi::Object object = Environment::of(env).static_vectors_class.New({});
  StaticVectorsHandle* handle = StaticVectorsHandle::Unwrap(object);
  handle->tiles_ = std::make_shared<UnitTiles>(vectors);
  handle->accounted_ = vectors->memory_bytes();
  handle->vectors_ = std::move(vectors);
  Napi::MemoryManagement::AdjustExternalMemory(env, handle->accounted_);
  return object;
}

Napi::Value StaticVectorsHandle::read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto from = info[0].As<Napi::Object>();
    const ReadVectorsOptions options{get_string(from, "path"), to_format(get_string(from, "format")),
                                     to_bad_words(get_string(from, "invalidUtf8")), get_int(from, "limit")};
    return start_file(info.Env(), info[1], from, [options](const KeepReading& keep) -> MakeResult {
      SharedVectors vectors = read_vectors(options, keep);
      return [vectors](Napi::Env env, PendingCall&) -> Napi::Value { return make(env, vectors); };
    });
  });
}

StaticVectorsHandle::~StaticVectorsHandle() { release(); }

// Large memory is freed on another thread.
void StaticVectorsHandle::release() noexcept {
  if (!vectors_) return;
  Napi::MemoryManagement::AdjustExternalMemory(Env(), -accounted_);
  struct Both {
    SharedVectors vectors;
    std::shared_ptr<UnitTiles> tiles;
  };
  try {
    let_go(std::make_shared<Both>(Both{std::move(vectors_), std::move(tiles_)}));
  } catch (const std::bad_alloc&) {
  }
  vectors_ = nullptr;
  tiles_ = nullptr;
}

const SharedVectors& StaticVectorsHandle::held() const {
  if (!vectors_) fail(Code::kDisposed, "the vectors were disposed");
  return vectors_;
}

Napi::Value StaticVectorsHandle::info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const WordVectors& vectors = *held();
    Napi::Object to = Napi::Object::New(env);
    const auto set = [&](const char* key, int64_t value) {
      to.Set(key, Napi::Number::New(env, static_cast<double>(value)));
    };
    to.Set("format", vectors.format);
    set("words", vectors.words.size());
    set("dimension", vectors.dimension);
    set("tokens", vectors.tokens);
    set("minN", vectors.rule.used() ? vectors.rule.min_n : 0);
    set("maxN", vectors.rule.used() ? vectors.rule.max_n : 0);
    set("buckets", vectors.rule.used() ? vectors.rule.buckets : 0);
    set("duplicates", vectors.duplicates);
    set("repaired", vectors.repaired);
    set("skipped", vectors.skipped);
    set("memoryBytes", vectors.memory_bytes());
    to.Set("hasCounts", !vectors.counts.empty());
    to.Set("hasOutputs", vectors.outputs.rows() > 0);
    to.Set("mapped", vectors.inputs.is_mapped());
    return to;
  });
}

Napi::Value StaticVectorsHandle::find(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::vector<std::string> words = to_words(info[0]);
    Napi::Int32Array ids = Napi::Int32Array::New(info.Env(), words.size());
    for (size_t i = 0; i < words.size(); ++i) ids[i] = static_cast<int32_t>(held()->words.find(words[i]));
    return ids;
  });
}

Napi::Value StaticVectorsHandle::words(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const WordVectors& vectors = *held();
    const Range range = to_range(info, vectors.words.size());
    Napi::Array list = Napi::Array::New(env, static_cast<size_t>(range.to - range.from));
    for (int64_t id = range.from; id < range.to; ++id) {
      const std::string_view word = vectors.words.word(id);
      list.Set(static_cast<uint32_t>(id - range.from), Napi::String::New(env, word.data(), word.size()));
    }
    return list;
  });
}

Napi::Value StaticVectorsHandle::counts(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const WordVectors& vectors = *held();
    if (vectors.counts.empty()) return info.Env().Null();
    const Range range = to_range(info, vectors.words.size());
    Napi::Float64Array list = Napi::Float64Array::New(info.Env(), static_cast<size_t>(range.to - range.from));
    for (int64_t id = range.from; id < range.to; ++id)
      list[static_cast<size_t>(id - range.from)] = static_cast<double>(vectors.counts[static_cast<size_t>(id)]);
    return list;
  });
}

Napi::Value StaticVectorsHandle::vectors(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const WordVectors& vectors = *held();
    vectors.check();
    const std::vector<std::string> words = to_words(info[0]);
    const auto out = info[1].As<Napi::Float32Array>();
    if (!info[1].IsTypedArray() || out.TypedArrayType() != napi_float32_array ||
        out.ElementLength() != words.size() * static_cast<size_t>(vectors.dimension))
      fail(Code::kInternal, "out must have a row for each word");
    Napi::Uint8Array known = Napi::Uint8Array::New(info.Env(), words.size());
    float* row = const_cast<float*>(out.Data());
    for (size_t i = 0; i < words.size(); ++i, row += vectors.dimension) known[i] = vectors.compose(words[i], row);
    return known;
  });
}

Napi::Value StaticVectorsHandle::nearest(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto from = info[0].As<Napi::Object>();
    const auto search = std::make_shared<NearestSearch>(tiles_, to_nearest(from, *held()), host_backend());
    return start_sliced_call(info.Env(), info[1], from, search->slices(),
                             [search](int64_t slice, Stream& stream) { search->run(slice, stream); });
  });
}

Napi::Value StaticVectorsHandle::documents(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto from = info[0].As<Napi::Object>();
    const SharedVectors vectors = held();
    const auto request = std::make_shared<const DocumentsRequest>(to_documents(from, *vectors));
    const auto count = static_cast<int64_t>(request->begins.size()) - 1;
    return start_sliced_call(info.Env(), info[1], from, (count + kDocumentsOfSlice - 1) / kDocumentsOfSlice,
                             [vectors, request, count](int64_t slice, Stream&) {
                               const int64_t first = slice * kDocumentsOfSlice;
                               document_vectors(*vectors, *request, first, std::min(count, first + kDocumentsOfSlice));
                             });
  });
}

Napi::Value StaticVectorsHandle::write(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto from = info[0].As<Napi::Object>();
    const WriteVectorsOptions options{get_string(from, "path"), to_format(get_string(from, "format"))};
    return start_file(info.Env(), info[1], from, [vectors = held(), options](const KeepReading& keep) -> MakeResult {
      write_vectors(*vectors, options, keep);
      return {};
    });
  });
}

void StaticVectorsHandle::dispose(const Napi::CallbackInfo&) { release(); }

Napi::Value common_component(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Environment& environment = Environment::of(env);
    const int64_t width = info[1].ToNumber().Int64Value();
    if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_float32_array || width < 1)
      fail(Code::kInternal, "data must be a Float32Array of rows");
    auto data = info[0].As<Napi::Float32Array>();
    const float* rows = data.Data();
    const int64_t count = static_cast<int64_t>(data.ElementLength()) / width;
    const auto stopped = std::make_shared<std::atomic<bool>>(false);
    const Napi::Object task = to_task(env, [stopped] { *stopped = true; });
    // A copy: the environment may end, and with it the array, while a worker still reads.
    const auto own = std::make_shared<std::vector<float>>(rows, rows + count * width);
    const auto call = environment.begin_call(env, info[2].As<Napi::Function>(), task);
    const auto found = std::make_shared<std::vector<double>>();
    try {
      environment.start_team(
          1,
          [own, count, width, stopped, found](const Stream& team, const std::function<void()>& give_way) {
            *found = common_component(team, own->data(), count, width, [&] {
              give_way();
              if (*stopped) fail(Code::kAborted, "the call was aborted");
            });
          },
          [call, found](std::shared_ptr<const Error> error) {
            call->settle(std::move(error), [found](Napi::Env to, PendingCall&) -> Napi::Value {
              Napi::Float64Array list = Napi::Float64Array::New(to, found->size());
              std::copy(found->begin(), found->end(), list.Data());
              return list;
            });
          });
    } catch (...) {
      call->settle(current_error());
    }
    return task;
  });
}

}  // namespace embedcore
