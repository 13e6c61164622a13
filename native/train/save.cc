#include "train/save.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/safetensors_writer.h"
#include "model/adapter_file.h"

namespace embedcore {

namespace {

// Reads elements of a block into host memory.
class BlockReader {
 public:
  BlockReader(const OpenDevice& device, OpenStream& stream) : device_(device), stream_(stream) {}

  void read(const float* from, int64_t count, float* to) const {
    check_status(device_.backend().download(stream_, to, from, static_cast<size_t>(count) * sizeof(float)), stream_,
                 "a download");
    stream_.wait();
  }
  std::vector<float> read(const float* from, int64_t count) const {
    std::vector<float> values(static_cast<size_t>(count));
    read(from, count, values.data());
    return values;
  }

 private:
  const OpenDevice& device_;
  OpenStream& stream_;
};

void to_dtype(const float* from, int64_t count, DType dtype, std::byte* to) {
  if (dtype == DType::kF32) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  auto* halves = reinterpret_cast<uint16_t*>(to);
  for (int64_t i = 0; i < count; ++i) halves[i] = dtype == DType::kBF16 ? f32_to_bf16(from[i]) : f32_to_f16(from[i]);
}

// The values of a block, or their average.
const Parameters& values_of(Trainer& trainer, bool of_head, bool average) {
  const Parameters& values = of_head ? trainer.head().values() : trainer.weights().values();
  if (!average) return values;
  for (const Optimizer::Block& block : trainer.optimizer().blocks())
    if (block.trained.values == &values && block.average) return *block.average;
  if (values.list().elements() == 0) return values;
  fail(Code::kInvalidOption, "the run keeps no average of its weights");
}

TensorToWrite trained_tensor(Trainer& trainer, const BlockReader& reader, const SavedTensor& saved, bool average,
                             DType dtype) {
  const Parameters& values = values_of(trainer, saved.of_head, average);
  const Parameter* parameter = values.list().find(saved.name);
  if (!parameter) fail(Code::kMissingTensor, "nothing named %s is trained", quote(saved.name).c_str());
  const float* at = values.data() + parameter->offset;
  return {.name = saved.as,
          .dtype = dtype,
          .shape = parameter->shape,
          .read = [&reader, at, dtype](int64_t first, int64_t count, std::byte* to) {
            const std::vector<float> floats = reader.read(at + first, count);
            to_dtype(floats.data(), count, dtype, to);
          }};
}

TensorToWrite file_tensor(const TensorView& view) {
  return {.name = view.name,
          .dtype = view.dtype,
          .shape = view.shape,
          .read = [&view](int64_t first, int64_t count, std::byte* to) {
            const size_t size = dtype_size(view.dtype);
            std::memcpy(to, view.data + static_cast<size_t>(first) * size, static_cast<size_t>(count) * size);
          }};
}

// The name that the model's own code has for a tensor of the file, without the file's prefix.
std::string without_prefix(const std::string& name, const std::string& prefix) {
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

std::string prefix_of(const WeightFiles& files, const ModelConfig& config) {
  for (const std::string& prefix : config.names.prefixes)
    if (files.find(prefix + config.input.tables.front().name)) return prefix;
  return {};
}

// 2019's names of norms (TensorReader::find).
std::string without_legacy(std::string name) {
  const auto replace = [&](const std::string& then, const std::string& now) {
    if (name.ends_with(then)) name.replace(name.size() - then.size(), then.size(), now);
  };
  replace("LayerNorm.gamma", "LayerNorm.weight");
  replace("LayerNorm.beta", "LayerNorm.bias");
  return name;
}

// The frozen table of tokens with its one trained row.
TensorToWrite table_with_row(Trainer& trainer, const BlockReader& reader, bool average, const TensorView& view) {
  const Parameters& values = values_of(trainer, false, average);
  const ModelConfig& config = trainer.weights().config();
  const TableSpec& table = *config.input.table(TableSpec::Index::kToken);
  const int64_t width = config.hidden;
  const std::vector<float> values_of_row = reader.read(values.at(token_row_name(table.name)), width);
  const auto size = static_cast<int64_t>(dtype_size(view.dtype));
  auto row = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(width * size));
  to_dtype(values_of_row.data(), width, view.dtype, row->data());
  // Rows beyond those of the file are as new as that of the token.
  std::vector<int64_t> rows = {trainer.weights().only_token()};
  for (int64_t i = view.elements() / width; i < table.rows; ++i) rows.push_back(i);
  return {.name = view.name,
          .dtype = view.dtype,
          .shape = {table.rows, width},
          .read = [&view, row, rows, width, size](int64_t first, int64_t count, std::byte* to) {
            // Elements begin .. end of the tensor, as far as they are asked for.
            const auto copy = [&](const std::byte* from, int64_t begin, int64_t end) {
              const int64_t low = std::max(begin, first), high = std::min(end, first + count);
              if (low < high)
                std::memcpy(to + (low - first) * size, from + (low - begin) * size,
                            static_cast<size_t>((high - low) * size));
            };
            copy(view.data, 0, view.elements());
            for (const int64_t i : rows) copy(row->data(), i * width, (i + 1) * width);
          }};
}

// A tensor of the file as it is written: its trained values, the values with low-rank parts, or as it is.
TensorToWrite tensor_of_rest(Trainer& trainer, const BlockReader& reader, const SaveOptions& options,
                             const TensorView& view, const std::string& prefix,
                             std::vector<std::unique_ptr<std::vector<float>>>& merged) {
  const std::string own = without_legacy(without_prefix(view.name, prefix));
  const auto saved = std::find_if(options.tensors.begin(), options.tensors.end(),
                                  [&](const SavedTensor& tensor) { return !tensor.of_head && tensor.name == own; });
  if (saved != options.tensors.end()) {
    SavedTensor named = *saved;
    named.as = view.name;
    return trained_tensor(trainer, reader, named, options.average, view.dtype);
  }
  if (trainer.weights().only_token() >= 0 &&
      own == trainer.weights().config().input.table(TableSpec::Index::kToken)->name)
    return table_with_row(trainer, reader, options.average, view);
  const std::string module = own.ends_with(".weight") ? own.substr(0, own.size() - 7) : own;
  const Parameters& values = values_of(trainer, false, options.average);
  const Parameter* a = values.list().find(module + ".lora_A.weight");
  if (!options.merged || !a) return file_tensor(view);
  const Parameter* b = values.list().find(module + ".lora_B.weight");
  merged.push_back(std::make_unique<std::vector<float>>(static_cast<size_t>(view.elements())));
  std::vector<float>& matrix = *merged.back();
  to_float32(view.data, view.dtype, matrix.data(), matrix.size());
  add_low_rank(matrix, reader.read(values.data() + a->offset, a->elements()),
               reader.read(values.data() + b->offset, b->elements()), a->shape[0],
               static_cast<double>(trainer.weights().lora_scale(module)));
  return {.name = view.name,
          .dtype = view.dtype,
          .shape = view.shape,
          .read = [&matrix, dtype = view.dtype](int64_t first, int64_t count, std::byte* to) {
            to_dtype(matrix.data() + first, count, dtype, to);
          }};
}

}  // namespace

void save_tensors(Trainer& trainer, OpenStream& stream, const SaveOptions& options) {
  trainer.refuse_average("save");
  const BlockReader reader(trainer.device(), stream);
  std::vector<TensorToWrite> tensors;
  std::vector<std::unique_ptr<std::vector<float>>> merged;
  std::shared_ptr<const WeightFiles> files;
  if (options.rest_of.empty()) {
    for (const SavedTensor& saved : options.tensors)
      tensors.push_back(trained_tensor(trainer, reader, saved, options.average, DType::kF32));
  } else {
    files = WeightFiles::open(options.rest_of);
    const std::string prefix = prefix_of(*files, trainer.weights().config());
    for (const TensorView& view : files->all())
      tensors.push_back(tensor_of_rest(trainer, reader, options, view, prefix, merged));
  }
  write_safetensors(options.path, tensors, options.metadata);
}

// --- state ---

namespace {

struct StateBlock {
  std::string name;
  const Parameters* values;
};

std::vector<StateBlock> state_blocks(Trainer& trainer) {
  std::vector<StateBlock> blocks;
  for (const Optimizer::Block& block : trainer.optimizer().blocks()) {
    const std::string name = block.trained.values == &trainer.head().values() ? "head" : "encoder";
    blocks.push_back({name + ".values", block.trained.values});
    blocks.push_back({name + ".first", block.first.get()});
    blocks.push_back({name + ".second", block.second.get()});
    if (block.average) blocks.push_back({name + ".average", block.average.get()});
  }
  return blocks;
}

}  // namespace

void write_state(Trainer& trainer, OpenStream& stream, const std::string& path) {
  trainer.refuse_average("write_state");
  const BlockReader reader(trainer.device(), stream);
  std::vector<TensorToWrite> tensors;
  for (const StateBlock& block : state_blocks(trainer))
    tensors.push_back({.name = block.name,
                       .shape = {block.values->list().elements()},
                       .read = [&reader, values = block.values](int64_t first, int64_t count, std::byte* to) {
                         const std::vector<float> floats = reader.read(values->data() + first, count);
                         std::memcpy(to, floats.data(), floats.size() * sizeof(float));
                       }});
  const std::vector<double> numbers = trainer.host_state();
  tensors.push_back({.name = "numbers",
                     .dtype = DType::kF64,
                     .shape = {static_cast<int64_t>(numbers.size())},
                     .read = [&numbers](int64_t first, int64_t count, std::byte* to) {
                       std::memcpy(to, numbers.data() + first, static_cast<size_t>(count) * sizeof(double));
                     }});
  write_safetensors(path, tensors, {{"format", "embedcore training state 1"}});
}

void read_state(Trainer& trainer, OpenStream& stream, const std::string& path) {
  trainer.refuse_average("read_state");
  const auto file = SafeTensors::open(path);
  const auto find = [&](const std::string& name, DType dtype, int64_t elements) -> const TensorView& {
    const TensorView* view = file->find(name);
    if (!view) fail(Code::kMissingTensor, "%s: tensor \"%s\" is missing", path.c_str(), name.c_str());
    if (view->dtype != dtype || view->elements() != elements)
      fail(Code::kShapeMismatch, "%s: \"%s\" has %lld elements of %s; this run has %lld of %s", path.c_str(),
           name.c_str(), static_cast<long long>(view->elements()), dtype_name(view->dtype),
           static_cast<long long>(elements), dtype_name(dtype));
    return *view;
  };
  std::vector<double> numbers = trainer.host_state();
  const TensorView& saved = find("numbers", DType::kF64, static_cast<int64_t>(numbers.size()));
  const std::vector<StateBlock> blocks = state_blocks(trainer);
  for (const StateBlock& block : blocks) {
    const TensorView& view = find(block.name, DType::kF32, block.values->list().elements());
    try {
      check_finite(view);
    } catch (const Error& error) {
      fail(error.code, "%s: %s", path.c_str(), error.what());
    }
  }
  std::memcpy(numbers.data(), saved.data, numbers.size() * sizeof(double));
  for (const StateBlock& block : blocks) {
    const TensorView& view = find(block.name, DType::kF32, block.values->list().elements());
    check_status(trainer.device().backend().upload(stream, block.values->data(), view.data, view.bytes), stream,
                 "an upload");
  }
  stream.wait();
  trainer.set_host_state(numbers);
  trainer.follow_values(stream);
  stream.wait();
}

}  // namespace embedcore
