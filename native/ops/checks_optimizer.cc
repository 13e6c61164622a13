// The checks of operations on blocks of parameters.
#include <cmath>

#include "ops/check_parts.h"
#include "ops/optimizer.h"

namespace embedcore {

using namespace checks;

namespace {

bool is_not_negative(Stream& stream, Operand of, double value) {
  if (std::isfinite(value) && value >= 0) return true;
  return refuse(stream, "Expected a finite number of at least 0 for %s of %s but received %g", of.operand, of.op,
                value);
}

bool is_beta(Stream& stream, Operand of, double value) {
  if (value >= 0 && value < 1) return true;
  return refuse(stream, "Expected at least 0 and less than 1 for %s of %s but received %g", of.operand, of.op, value);
}

bool is_correction(Stream& stream, Operand of, double value) {
  if (value > 0 && value <= 1) return true;
  return refuse(stream, "Expected more than 0 and at most 1 for %s of %s but received %g", of.operand, of.op, value);
}

}  // namespace

bool can_run(Stream& stream, const AxpbyArgs& args) {
  constexpr const char* kOp = "axpby";
  return is_size(stream, {"elements", kOp}, args.elements) && is_given(stream, {"y", kOp}, args.y, args.elements > 0);
}

bool can_run(Stream& stream, const SumSquaresArgs& args) {
  constexpr const char* kOp = "sum_squares";
  return is_size(stream, {"elements", kOp}, args.elements) && is_given(stream, {"x", kOp}, args.x, args.elements > 0) &&
         is_given(stream, {"the sum", kOp}, args.sum);
}

bool can_run(Stream& stream, const AdamWArgs& args) {
  constexpr const char* kOp = "adamw";
  if (!is_size(stream, {"elements", kOp}, args.elements) || !is_not_negative(stream, {"the rate", kOp}, args.rate) ||
      !is_beta(stream, {"beta1", kOp}, args.beta1) || !is_beta(stream, {"beta2", kOp}, args.beta2) ||
      !is_not_negative(stream, {"epsilon", kOp}, args.epsilon) ||
      !is_not_negative(stream, {"the decay", kOp}, args.decay) ||
      !is_correction(stream, {"correction1", kOp}, args.correction1) ||
      !is_correction(stream, {"correction2", kOp}, args.correction2))
    return false;
  const bool touched = args.elements > 0;
  return is_given(stream, {"the values", kOp}, args.values, touched) &&
         is_given(stream, {"the gradients", kOp}, args.gradients, touched) &&
         is_given(stream, {"the first moments", kOp}, args.first, touched) &&
         is_given(stream, {"the second moments", kOp}, args.second, touched);
}

}  // namespace embedcore
