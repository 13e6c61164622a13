// A call of JavaScript that a worker runs with its helpers.
#pragma once

#include <napi.h>

#include "binding/environment.h"
#include "engine/team_job.h"

namespace embedcore {

// keep_going lets short work of others go first, and throws Error(kAborted) when the call is aborted. What it returns
// makes the result.
using TeamWork = std::function<MakeResult(const Stream& team, const std::function<void()>& keep_going)>;

// Starts a call that keeps `kept` until it is settled through `done`: its work may read and write the arrays in it,
// because an environment that ends waits for it. Returns the task, which aborts it. `ended` is called when the work has
// ended, on any thread.
Napi::Value start_team_call(Napi::Env env, Napi::Value done, Napi::Object kept, int threads, TeamWork work,
                            std::function<void()> ended = {});

}  // namespace embedcore
