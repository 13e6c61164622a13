#include "binding/tokenizer.h"

#include <memory>
#include <string>

#include "base/mapped_file.h"
#include "base/memory_file.h"
#include "base/tokenizer_file.h"
#include "binding/convert.h"
#include "binding/environment.h"

namespace embedcore {

namespace {

// Vocabularies of 250,000 pieces take 20 MB; no tokenizer is nearly as large as this.
constexpr size_t kLongestTokenizer = size_t{256} << 20;

struct Parts {
  std::string outline;
  int64_t largest_id = -1;
  std::unique_ptr<const MemoryFile> vocab, merges;
};

// Null for a file that is not there or not of the usual form.
std::shared_ptr<Parts> read_parts(const std::string& path) {
  std::shared_ptr<const MappedFile> file;
  try {
    file = MappedFile::open(path);
  } catch (const Error& error) {
    if (error.code == Code::kNotFound || error.code == Code::kInvalidFile) return nullptr;
    throw;
  }
  if (file->size() > kLongestTokenizer) return nullptr;
  auto taken = take_apart_tokenizer(file->text());
  if (!taken) return nullptr;
  auto parts = std::make_shared<Parts>();
  parts->outline = std::move(taken->outline);
  parts->largest_id = taken->largest_id;
  if (!taken->has_model_files) return parts;
  parts->vocab = MemoryFile::make(taken->vocab_file);
  parts->merges = MemoryFile::make(taken->merges_file);
  return parts;
}

Napi::Value to_object(Napi::Env env, const std::shared_ptr<Parts>& parts) {
  if (!parts) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object.Set("outline", parts->outline);
  object.Set("largestId", Napi::Number::New(env, static_cast<double>(parts->largest_id)));
  const bool files = parts->vocab && parts->merges;
  object.Set("vocab", files ? Napi::String::New(env, parts->vocab->path()) : env.Null());
  object.Set("merges", files ? Napi::String::New(env, parts->merges->path()) : env.Null());
  // Held by the function: the files end with it, at the latest when it is collected.
  object.Set("release", Napi::Function::New(env, [parts](const Napi::CallbackInfo&) {
               parts->vocab = nullptr;
               parts->merges = nullptr;
             }));
  return object;
}

}  // namespace

Napi::Value tokenizer_file(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const std::string path = info[0].As<Napi::String>().Utf8Value();
    Environment& environment = Environment::of(env);
    const auto call = environment.begin_call(env, info[1].As<Napi::Function>(), Napi::Object::New(env));
    try {
      // It takes some milliseconds: nobody waits for its end, so it needs no way to stop it.
      environment.start_load(call, std::make_shared<std::atomic<bool>>(false),
                             [path](const KeepLoading&) -> MakeResult {
                               const auto parts = read_parts(path);
                               return [parts](Napi::Env to, PendingCall&) { return to_object(to, parts); };
                             });
    } catch (...) {
      call->settle(current_error());
    }
    return env.Undefined();
  });
}

}  // namespace embedcore
