#include "binding/sliced_call.h"

#include "binding/convert.h"
#include "binding/environment.h"

namespace embedcore {

Napi::Value start_sliced_call(Napi::Env env, Napi::Value done, Napi::Object kept, int64_t slices, SliceJob::Run run) {
  Environment& environment = Environment::of(env);
  // Made first: once slices run, nothing may fail here, since a call that ends lets go of what it kept.
  const auto job = std::make_shared<std::weak_ptr<SliceJob>>();
  const Napi::Object task = to_task(env, [job] {
    if (const auto running = job->lock()) running->cancel(shared_error(Code::kAborted, "the call was aborted"));
  });
  const auto call = environment.begin_call(env, done.As<Napi::Function>(), kept);
  try {
    if (slices == 0)
      call->settle(nullptr);
    else
      *job = environment.start_slices(call, slices, std::move(run));
  } catch (...) {
    call->settle(current_error());
  }
  return task;
}

}  // namespace embedcore
