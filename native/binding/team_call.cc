#include "binding/team_call.h"

#include "binding/convert.h"

namespace embedcore {

Napi::Value start_team_call(Napi::Env env, Napi::Value done, Napi::Object kept, int threads, TeamWork work,
                            std::function<void()> ended) {
  Environment& environment = Environment::of(env);
  const auto stop = std::make_shared<std::atomic<bool>>(false);
  const Napi::Object task = to_task(env, [stop] { *stop = true; });
  const auto result = std::make_shared<MakeResult>();
  const auto call = environment.begin_call(env, done.As<Napi::Function>(), kept);
  try {
    const auto job = environment.start_team(
        threads,
        [work = std::move(work), stop, result](const Stream& team, const std::function<void()>& give_way) {
          const std::function<void()> keep_going = [&] {
            give_way();
            if (*stop) fail(Code::kAborted, "the call was aborted");
          };
          keep_going();
          *result = work(team, keep_going);
        },
        [call, result, ended](std::shared_ptr<const Error> error) {
          if (ended) ended();
          call->settle(std::move(error), std::move(*result));
        });
    environment.end_with_environment(job, stop);
  } catch (...) {
    if (ended) ended();
    call->settle(current_error());
  }
  return task;
}

}  // namespace embedcore
