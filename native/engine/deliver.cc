// Functions of both executors for finished batches. Declared in executor.h.
#include <algorithm>
#include <bit>
#include <string>

#include "engine/executor.h"

namespace embedcore {

namespace {

// Largest magnitude as an integer, which a compiler can vectorise: infinities and NaN are above all numbers.
bool all_finite(const float* x, int64_t count) {
  int32_t most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, std::bit_cast<int32_t>(x[i]) & 0x7fffffff);
  return most < 0x7f800000;
}

void fail_not_finite(const BatchPart& part, const char* dtype) noexcept {
  try {
    const int64_t first = part.piece->first_text + part.first_text;
    const std::string which = part.texts == 1 ? "text " + std::to_string(first) + " gives"
                                              : "one of the texts " + std::to_string(first) + " to " +
                                                    std::to_string(first + part.texts - 1) + " gives";
    const std::string message = which + " values that are not finite: the model's numbers overflow " + dtype;
    part.call->fail(shared_error(Code::kNonFinite, message.c_str()));
  } catch (...) {
    part.call->fail(current_error());
  }
}

}  // namespace

int64_t batch_tokens(const Model& model, const EngineOptions& options) {
  const int64_t preferred = model.backend().batch_tokens;
  return preferred > 0 ? std::min(preferred, options.max_batch_tokens) : options.max_batch_tokens;
}

void deliver(const Model& model, const BatchWork& work, const float* rows, int64_t stride) {
  // bfloat16 and int8 have the range of float32.
  const TransformerEncoder* transformer = model.transformer();
  const char* range = dtype_name(transformer && transformer->dtype() == DType::kF16 ? DType::kF16 : DType::kF32);
  const EncodePlan& plan = work.plan();
  for (const BatchPart& part : work.parts) {
    const Piece& piece = *part.piece;
    const auto first = static_cast<size_t>(part.first_text);
    const int64_t to = plan.token_output ? piece.offsets[first] : part.first_text;
    const int64_t count =
        plan.token_output ? piece.offsets[first + static_cast<size_t>(part.texts)] - piece.offsets[first] : part.texts;
    bool finite = true;
    for (int64_t i = 0; i < count; ++i) finite = finite && all_finite(rows + i * stride, plan.dimension);
    if (finite)
      part.call->write(piece.first_row + to, rows, stride, count);
    else
      fail_not_finite(part, range);
    rows += count * stride;
    part.call->delivered(part.piece, part.texts);
  }
}

void fail_all(const BatchWork& work, const std::shared_ptr<const Error>& error) noexcept {
  for (const BatchPart& part : work.parts) part.call->fail(error);
}

}  // namespace embedcore
