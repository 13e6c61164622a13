#include "binding/call.h"

#include "binding/convert.h"
#include "binding/model.h"

namespace embedcore {

Napi::Function CallHandle::define(Napi::Env env) {
  return DefineClass(env, "Call",
                     {InstanceMethod<&CallHandle::submit>("submit"), InstanceMethod<&CallHandle::abort>("abort")});
}

CallHandle::~CallHandle() {
  if (environment_) environment_->calls.erase(this);
  if (model_) model_->calls.erase(this);
  // Queued pieces hold this object, so none is left; the memory of the rows is released with it.
  if (call_) call_->fail(shared_error(Code::kAborted, "the call was dropped"));
}

void CallHandle::open(Environment& environment, ModelHandle& model, std::shared_ptr<Engine> engine,
                      std::shared_ptr<const EncodePlan> plan, Napi::Float32Array out) {
  const auto rows = static_cast<int64_t>(out.ElementLength()) / plan->dimension;
  call_ = std::make_shared<Call>(std::move(plan), out.Data(), rows);
  engine_ = engine;
  out_ = Napi::Persistent(out.As<Napi::Object>());
  environment.calls.insert(this);
  environment_ = &environment;
  model.calls.insert(this);
  model_ = &model;
}

void CallHandle::fail(const std::shared_ptr<const Error>& error) noexcept {
  if (!call_) return;
  if (const auto engine = engine_.lock())
    engine->cancel(*call_, error);
  else
    call_->fail(error);
}

void CallHandle::detach(const std::shared_ptr<const Error>& error) noexcept {
  fail(error);
  environment_ = nullptr;
  model_ = nullptr;
  engine_.reset();
}

void CallHandle::leave_model(const std::shared_ptr<const Error>& error) noexcept {
  fail(error);
  model_ = nullptr;
  engine_.reset();
}

// submit(batch, firstRow, done)
void CallHandle::submit(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    if (!call_ || !environment_) embedcore::fail(Code::kInternal, "the call is not open");
    const auto batch = info[0].As<Napi::Object>();
    auto piece = std::make_shared<Piece>();
    piece->ids = to_ints(batch.Get("ids"), "ids", false);
    piece->offsets = to_ints(batch.Get("offsets"), "offsets", false);
    if (piece->offsets.empty())
      embedcore::fail(Code::kInternal, "offsets must have one entry more than there are texts");
    const auto texts = static_cast<size_t>(piece->texts());
    if (batch.Has("first")) piece->first_text = get_int(batch, "first");
    piece->skip = to_ints(batch.Get("skip"), "skip", true);
    piece->prefix = to_ints(batch.Get("prefix"), "prefix", true);
    if (piece->skip.empty()) piece->skip.assign(texts, 0);
    if (piece->prefix.empty()) piece->prefix = piece->skip;
    if (piece->skip.size() != texts || piece->prefix.size() != texts)
      embedcore::fail(Code::kInternal, "skip and prefix must have one entry a text");
    for (size_t i = 0; i < texts; ++i)
      if (piece->skip[i] < 0 || piece->prefix[i] < 0)
        embedcore::fail(Code::kInternal, "skip and prefix may not be negative");
    if (!info[1].IsNumber()) embedcore::fail(Code::kInternal, "the first row must be a number");
    piece->first_row = info[1].As<Napi::Number>().Int64Value();
    const int64_t rows = call_->plan().token_output ? piece->tokens() : piece->texts();
    if (piece->first_row < 0 || piece->first_row + rows > call_->rows())
      embedcore::fail(Code::kInternal, "rows %lld to %lld are not among the %lld of the call",
                      static_cast<long long>(piece->first_row), static_cast<long long>(piece->first_row + rows),
                      static_cast<long long>(call_->rows()));

    // Held until the piece is done, together with the memory of the rows.
    const auto open = environment_->begin_call(env, info[2].As<Napi::Function>(), info.This().As<Napi::Object>());
    piece->done = [open](std::shared_ptr<const Error> error) { open->settle(std::move(error)); };
    // Refusals are reported in the same way as failures: once, through the callback.
    try {
      const auto engine = engine_.lock();
      if (!engine) embedcore::fail(Code::kDisposed, "the model was disposed");
      engine->submit(call_, piece);
    } catch (...) {
      open->settle(current_error());
    }
  });
}

void CallHandle::abort(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { fail(shared_error(Code::kAborted, "the call was aborted")); });
}

}  // namespace embedcore
