// JavaScript values of src/core/binding.ts to C++ and back. The TypeScript side has validated the user's values; a
// wrong type here is an internal error and gives ERR_EMBEDCORE_INTERNAL, never undefined behaviour.
#pragma once

#include <napi.h>

#include <functional>
#include <string>
#include <vector>

#include "model/model.h"
#include "ops/vectors.h"

namespace embedcore {

std::string get_string(Napi::Object from, const char* key);
int64_t get_int(Napi::Object from, const char* key);
double get_number(Napi::Object from, const char* key);
bool get_bool(Napi::Object from, const char* key);

// The modules of the list `key`.
std::vector<HeadModule> to_modules(Napi::Object from, const char* key);
AdapterSource to_adapter(Napi::Object options);
ModelSource to_source(Napi::Object options);
PlanOptions to_plan_options(Napi::Object options);
Similarity to_similarity(const std::string& name);
Precision to_precision(const std::string& name);
const char* mask_name(Mask mask);

// The RawTask of src/core/binding.ts.
Napi::Object to_task(Napi::Env env, std::function<void()> abort);

// The data of the view. With `optional`, null is allowed and gives empty data.
std::vector<int32_t> to_ints(Napi::Value value, const char* what, bool optional);

}  // namespace embedcore
