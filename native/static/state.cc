// Checkpoints of a StaticTrainer.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/safetensors.h"
#include "base/safetensors_writer.h"
#include "static/trainer.h"

namespace embedcore {

namespace {

TensorToWrite tensor_of(const char* name, const RowBlock& rows) {
  return {name, DType::kF32, {rows.rows(), rows.width()}, [&rows](int64_t first, int64_t count, std::byte* to) {
            const int64_t width = rows.width();
            for (int64_t done = 0; done < count;) {
              const int64_t at = first + done, column = at % width, part = std::min(width - column, count - done);
              std::memcpy(to + done * static_cast<int64_t>(sizeof(float)), rows.row(at / width) + column,
                          static_cast<size_t>(part) * sizeof(float));
              done += part;
            }
          }};
}

const TensorView& find(const SafeTensors& file, const char* name, const RowBlock& rows) {
  const TensorView* view = file.find(name);
  if (!view) fail(Code::kInvalidFile, "%s is not a checkpoint: it has no tensor %s", file.path().c_str(), name);
  if (view->dtype != DType::kF32 || view->shape != std::vector<int64_t>{rows.rows(), rows.width()})
    fail(Code::kInvalidOption, "%s is of another run: %s is %s, expected [%lld, %lld]", file.path().c_str(), name,
         shape_string(view->shape).c_str(), static_cast<long long>(rows.rows()), static_cast<long long>(rows.width()));
  return *view;
}

void copy(const TensorView& from, const RowBlock& to) {
  const size_t bytes = static_cast<size_t>(to.width()) * sizeof(float);
  for (int64_t i = 0; i < to.rows(); ++i) std::memcpy(to.row(i), from.data + static_cast<size_t>(i) * bytes, bytes);
}

}  // namespace

void StaticTrainer::write_state(const std::string& path, const std::map<std::string, std::string>& metadata) const {
  const TensorToWrite tensors[] = {tensor_of("inputs", vectors_->inputs), tensor_of("outputs", vectors_->outputs)};
  write_safetensors(path, tensors, metadata);
}

void StaticTrainer::read_state(const std::string& path, int64_t block) {
  const auto file = SafeTensors::open(path);
  const TensorView &inputs = find(*file, "inputs", vectors_->inputs),
                   &outputs = find(*file, "outputs", vectors_->outputs);
  if (block < 0 || block > blocks_.count() * options_.epochs)
    fail(Code::kInvalidFile, "%s is not a checkpoint: it says that it is at block %lld of %lld", path.c_str(),
         static_cast<long long>(block), static_cast<long long>(blocks_.count() * options_.epochs));
  copy(inputs, vectors_->inputs);
  copy(outputs, vectors_->outputs);
  block_ = block;
}

}  // namespace embedcore
