// The groups of cases, one source each.
#pragma once

#include "base/dtype.h"
#include "rows.h"
#include "timing.h"

namespace embedcore::bench {

struct Context {
  const Backend& backend;
  Team& team;
  Settings settings;
  std::vector<DType> dtypes;
};

// The type of rows that a linear layer of this arithmetic is given and gives: what the models use.
inline DType activation_dtype(DType dtype) { return dtype == DType::kF32 ? DType::kF32 : DType::kBF16; }

void linear_cases(const Context& context);
void attention_cases(const Context& context);
void elementwise_cases(const Context& context);  // norm, gate, activations

// One thread, and all where there are more.
inline std::vector<bool> thread_choices(const Context& context) {
  return context.team.threads() > 1 ? std::vector<bool>{false, true} : std::vector<bool>{false};
}

}  // namespace embedcore::bench
