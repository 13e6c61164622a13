// The groups of cases; each has one source.
#pragma once

#include "base/dtype.h"
#include "rows.h"
#include "timing.h"

namespace embedcore::bench {

struct Context {
  const Backend& backend;
  Device* device;
  Team& team;
  Settings settings;
  std::vector<DType> dtypes;
};

// The type of the input and output rows of a linear layer in this arithmetic, as in the models.
inline DType activation_dtype(DType dtype) { return dtype == DType::kF32 ? DType::kF32 : DType::kBF16; }

void linear_cases(const Context& context);
void linear_training_cases(const Context& context);
void attention_cases(const Context& context);
void elementwise_cases(const Context& context);  // norm, gated activation, activations
void similarity_cases(const Context& context);
void row_gradient_cases(const Context& context);  // and passes over blocks of parameters
void loss_cases(const Context& context);          // over a batch, with gradients

// One thread, and all threads if there are more.
inline std::vector<bool> thread_choices(const Context& context) {
  return context.team.threads() > 1 ? std::vector<bool>{false, true} : std::vector<bool>{false};
}

}  // namespace embedcore::bench
