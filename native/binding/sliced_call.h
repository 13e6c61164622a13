// A call of JavaScript that the workers run in slices.
#pragma once

#include <napi.h>

#include "engine/slice_job.h"

namespace embedcore {

// Starts a call that keeps `kept` until it is settled through `done`. Returns the task, which aborts it.
Napi::Value start_sliced_call(Napi::Env env, Napi::Value done, Napi::Object kept, int64_t slices, SliceJob::Run run);

}  // namespace embedcore
