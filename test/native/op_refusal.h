// Tests of ops/checks.h: each change of valid arguments is refused with a sentence, and nothing is written.
#pragma once

#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "op_support.h"

namespace embedcore::test {

class RefusalTest : public OpTest {
 protected:
  template <typename Args>
  using Change = std::function<void(Args&)>;

  // `valid` makes arguments that the operation takes and puts its result into y; each change of them is refused.
  template <typename Args>
  void expect_refused(Status (*operation)(Stream&, const Args&), const std::function<Args(OpCall&, Rows& y)>& valid,
                      const std::vector<std::pair<Change<Args>, std::string>>& changes) {
    Rows y(3, 12);
    {
      OpCall call(backend());
      EXPECT_EQ(call.attempt(operation, valid(call, y)), kOk) << call.message();
    }
    for (const auto& [change, sentence] : changes) {
      SCOPED_TRACE(sentence);
      OpCall call(backend());
      Args args = valid(call, y);
      const Rows before = y;
      change(args);
      EXPECT_EQ(call.attempt(operation, args), kBadArgument);
      EXPECT_EQ(call.message(), sentence);
      for (int64_t row = 0; row < y.rows(); ++row)
        EXPECT_EQ(std::memcmp(y.data(row), before.data(row), 12 * sizeof(float)), 0) << "row " << row;
    }
  }

  // "float32 or bfloat16": the dtypes of rows that the device supports.
  std::string row_types() const {
    constexpr DType kRows[] = {DType::kF32, DType::kF16, DType::kBF16};
    const std::vector<DType> has = supported(backend(), kRows);
    std::string names = dtype_name(has[0]);
    for (size_t i = 1; i < has.size(); ++i)
      names += std::string(i + 1 < has.size() ? ", " : " or ") + dtype_name(has[i]);
    return names;
  }
  // Changes of a dtype to each that rows cannot have here.
  template <typename Args>
  void add_dtypes(std::vector<std::pair<Change<Args>, std::string>>& changes, DType Args::*field,
                  const std::string& of) {
    for (const DType dtype : {DType::kF16, DType::kBF16, DType::kI8, DType::kF64}) {
      const bool is_row = dtype == DType::kF16 || dtype == DType::kBF16;
      if (is_row && backend().supports(device_of(backend()), dtype)) continue;
      changes.push_back({[=](Args& args) { args.*field = dtype; },
                         "Expected " + row_types() + " for " + of + " but received " + dtype_name(dtype)});
    }
  }

  // The inputs of every call.
  Rows x_ = std::move(Rows(3, 24).each([](float) { return 0.5f; }));
  std::vector<int32_t> offsets_ = {0, 1, 3}, ids_ = {0, 1, 0}, prefix_ = {1, 1};
};
}  // namespace embedcore::test
