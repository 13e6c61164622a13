#include "random_model.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "numbers.h"
#include "record.h"

namespace embedcore::gpu_bench {

namespace {

struct Tensor {
  std::string name;
  std::vector<int64_t> shape;
  bool is_scale = false;  // of a norm: near 1

  int64_t elements() const {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    return count;
  }
};

class TensorList {
 public:
  void weight(const std::string& name, int64_t out, int64_t in) { list_.push_back({name + ".weight", {out, in}}); }
  void linear(const std::string& name, int64_t out, int64_t in) {
    weight(name, out, in);
    list_.push_back({name + ".bias", {out}});
  }
  void scale(const std::string& name, int64_t size) { list_.push_back({name + ".weight", {size}, true}); }
  void layer_norm(const std::string& name, int64_t size) {
    scale(name, size);
    list_.push_back({name + ".bias", {size}});
  }
  const std::vector<Tensor>& all() const { return list_; }

 private:
  std::vector<Tensor> list_;
};

TensorList bert_tensors(const ModelShape& m) {
  TensorList list;
  list.weight("embeddings.word_embeddings", m.vocab, m.hidden);
  list.weight("embeddings.position_embeddings", m.positions, m.hidden);
  list.weight("embeddings.token_type_embeddings", 2, m.hidden);
  list.layer_norm("embeddings.LayerNorm", m.hidden);
  for (int64_t i = 0; i < m.layers; ++i) {
    const std::string layer = "encoder.layer." + std::to_string(i);
    for (const char* part : {"query", "key", "value"})
      list.linear(layer + ".attention.self." + part, m.hidden, m.hidden);
    list.linear(layer + ".attention.output.dense", m.hidden, m.hidden);
    list.layer_norm(layer + ".attention.output.LayerNorm", m.hidden);
    list.linear(layer + ".intermediate.dense", m.intermediate, m.hidden);
    list.linear(layer + ".output.dense", m.hidden, m.intermediate);
    list.layer_norm(layer + ".output.LayerNorm", m.hidden);
  }
  return list;
}

TensorList qwen2_tensors(const ModelShape& m) {
  TensorList list;
  const int64_t kv = m.kv_heads * m.head_dim();
  list.weight("embed_tokens", m.vocab, m.hidden);
  for (int64_t i = 0; i < m.layers; ++i) {
    const std::string layer = "layers." + std::to_string(i);
    list.linear(layer + ".self_attn.q_proj", m.hidden, m.hidden);
    list.linear(layer + ".self_attn.k_proj", kv, m.hidden);
    list.linear(layer + ".self_attn.v_proj", kv, m.hidden);
    list.weight(layer + ".self_attn.o_proj", m.hidden, m.hidden);
    list.weight(layer + ".mlp.gate_proj", m.intermediate, m.hidden);
    list.weight(layer + ".mlp.up_proj", m.intermediate, m.hidden);
    list.weight(layer + ".mlp.down_proj", m.hidden, m.intermediate);
    list.scale(layer + ".input_layernorm", m.hidden);
    list.scale(layer + ".post_attention_layernorm", m.hidden);
  }
  list.scale("norm", m.hidden);
  return list;
}

std::string config_json(const ModelShape& m) {
  Record config;
  config.text("model_type", m.decoder ? "qwen2" : "bert")
      .text("hidden_act", m.decoder ? "silu" : "gelu")
      .text("dtype", "bfloat16")
      .number("hidden_size", m.hidden)
      .number("intermediate_size", m.intermediate)
      .number("num_hidden_layers", m.layers)
      .number("num_attention_heads", m.heads)
      .number("vocab_size", m.vocab)
      .number("max_position_embeddings", m.positions);
  if (m.decoder) {
    config.number("num_key_value_heads", m.kv_heads)
        .real("rms_norm_eps", 1e-6)
        .real("rope_theta", 1e6)
        .flag("use_sliding_window", false);
  } else {
    config.number("type_vocab_size", 2).real("layer_norm_eps", 1e-12).number("pad_token_id", 0);
  }
  return config.object();
}

class Output {
 public:
  explicit Output(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "wb"), std::fclose) {
    if (!file_) refuse();
  }
  void write(const void* data, size_t bytes) {
    if (std::fwrite(data, 1, bytes, file_.get()) != bytes) refuse();
  }
  void finish() {
    if (std::fflush(file_.get()) != 0) refuse();
  }

 private:
  [[noreturn]] void refuse() const { fail(Code::kNotFound, "%s cannot be written", quote(path_).c_str()); }
  std::string path_;
  std::unique_ptr<FILE, int (*)(FILE*)> file_;
};

void write_tensors(const std::string& path, const TensorList& tensors) {
  Record header;
  int64_t end = 0;
  for (const Tensor& tensor : tensors.all()) {
    const int64_t begin = end;
    end += 2 * tensor.elements();
    std::string shape;
    for (const int64_t size : tensor.shape) shape += (shape.empty() ? "" : ",") + std::to_string(size);
    header.json(tensor.name.c_str(),
                Record()
                    .text("dtype", "BF16")
                    .json("shape", "[" + shape + "]")
                    .json("data_offsets", "[" + std::to_string(begin) + "," + std::to_string(end) + "]")
                    .object());
  }
  Output file(path);
  std::string json = header.object();
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const uint64_t length = json.size();
  file.write(&length, sizeof length);
  file.write(json.data(), json.size());
  constexpr int64_t kPiece = int64_t{1} << 21;
  const auto random = random_halves(kPiece, DType::kBF16, 0.02f);
  for (const Tensor& tensor : tensors.all()) {
    if (tensor.is_scale) {
      const std::vector<uint16_t> ones(static_cast<size_t>(tensor.elements()), f32_to_bf16(1));
      file.write(ones.data(), 2 * ones.size());
      continue;
    }
    for (int64_t left = tensor.elements(); left > 0; left -= kPiece)
      file.write(random.data(), 2 * static_cast<size_t>(std::min(left, kPiece)));
  }
  file.finish();
}

}  // namespace

RandomModel::RandomModel(const std::string& folder, const ModelShape& shape) {
  std::string pattern = folder + "/embedcore-gpu-XXXXXX";
  if (!::mkdtemp(pattern.data())) fail(Code::kNotFound, "no directory can be made in %s", quote(folder).c_str());
  directory_ = pattern;
  try {
    const std::string config = config_json(shape);
    Output file(directory_ + "/config.json");
    file.write(config.data(), config.size());
    file.finish();
    write_tensors(directory_ + "/model.safetensors", shape.decoder ? qwen2_tensors(shape) : bert_tensors(shape));
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
    throw;
  }
}

RandomModel::~RandomModel() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

}  // namespace embedcore::gpu_bench
