#include "binding/environment.h"

#include "binding/model.h"

namespace embedcore {

namespace {

void deliver(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<ReturnPath::Message> message(static_cast<ReturnPath::Message*>(data));
  if (!env) return;  // the environment is going away
  Napi::HandleScope handles(env);
  try {
    (*message)(Napi::Env(env));
  } catch (const Napi::Error& error) {
    // A callback threw: that is the program's uncaught exception, not ours to swallow.
    napi_fatal_exception(env, error.Value());
  }
}

}  // namespace

void ReturnPath::open(Napi::Env env) {
  const auto name = Napi::String::New(env, "embedcore");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, deliver,
                                      &function_) != napi_ok)
    throw Napi::Error::New(env, "could not create a thread-safe function");
  napi_unref_threadsafe_function(env, function_);
}

void ReturnPath::post(Message message) {
  auto owned = std::make_unique<Message>(std::move(message));
  std::lock_guard lock(mutex_);
  if (function_ && napi_call_threadsafe_function(function_, owned.get(), napi_tsfn_nonblocking) == napi_ok)
    owned.release();
}

void ReturnPath::hold(Napi::Env env, bool alive) {
  if (!function_) return;
  if (alive)
    napi_ref_threadsafe_function(env, function_);
  else
    napi_unref_threadsafe_function(env, function_);
}

void ReturnPath::close() {
  std::lock_guard lock(mutex_);
  if (function_) napi_release_threadsafe_function(function_, napi_tsfn_abort);
  function_ = nullptr;
}

Environment::Environment(Napi::Env env) : env_(env), background_(std::make_unique<Background>()) {
  path->open(env);
  napi_add_env_cleanup_hook(env, clean_up, this);
}

Environment::~Environment() {
  if (!closed_) napi_remove_env_cleanup_hook(env_, clean_up, this);
  clean_up(this);
}

// Before the environment's memory goes: no thread may still write to it or call into it. Running calls end at their
// next layer.
void Environment::clean_up(void* data) {
  auto* self = static_cast<Environment*>(data);
  if (self->closed_) return;
  self->closed_ = true;
  self->path->close();
  for (ModelHandle* model : self->models) model->detach();
  self->models.clear();
  self->background_.reset();
}

uint64_t Environment::begin_call(Napi::Env env, Napi::Function done, Napi::Object kept) {
  if (calls_.empty()) path->hold(env, true);
  const uint64_t call = next_call_++;
  calls_.emplace(call, PendingCall{Napi::Persistent(done), Napi::Persistent(kept)});
  return call;
}

void Environment::finish_call(Napi::Env env, uint64_t call, const Error* error,
                              const std::function<Napi::Value(Napi::Env, PendingCall&)>& result) {
  const auto found = calls_.find(call);
  if (found == calls_.end()) return;
  PendingCall pending = std::move(found->second);
  calls_.erase(found);
  if (calls_.empty()) path->hold(env, false);
  const Napi::Function done = pending.done.Value();
  if (error)
    done.MakeCallback(env.Global(), {to_napi(env, *error).Value()});
  else
    done.MakeCallback(env.Global(), {env.Null(), result ? result(env, pending) : env.Undefined()});
}

void Environment::run_in_background(Napi::Env env, Napi::Function done, Napi::Object kept,
                                    std::function<std::function<Napi::Value(Napi::Env, PendingCall&)>()> work) {
  const uint64_t call = begin_call(env, done, kept);
  background_->post([call, path = path, work = std::move(work)] {
    std::shared_ptr<Error> error;
    std::function<Napi::Value(Napi::Env, PendingCall&)> result;
    try {
      result = work();
    } catch (const Error& known) {
      error = std::make_shared<Error>(known);
    } catch (const std::bad_alloc&) {
      error = std::make_shared<Error>(Code::kOutOfMemory, "out of memory");
    } catch (const std::exception& other) {
      error = std::make_shared<Error>(Code::kInternal, other.what());
    }
    path->post([call, error, result](Napi::Env to) { Environment::of(to).finish_call(to, call, error.get(), result); });
  });
}

Napi::Error to_napi(Napi::Env env, const Error& error) {
  Napi::Error made = Napi::Error::New(env, error.what());
  made.Set("code", Napi::String::New(env, code_name(error.code)));
  return made;
}

}  // namespace embedcore
