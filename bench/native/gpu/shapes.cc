#include "shapes.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "record.h"

namespace embedcore::gpu_bench {

double ModelShape::linear_operations(int64_t tokens) const {
  double weights = 0;
  for (const LinearShape& one : linears(*this)) weights += static_cast<double>(one.in) * static_cast<double>(one.out);
  return 2 * weights * static_cast<double>(layers) * static_cast<double>(tokens);
}

double ModelShape::attention_operations(const std::vector<int32_t>& lengths) const {
  double pairs = 0;
  for (const int32_t n : lengths) pairs += decoder ? 0.5 * n * (n + 1.0) : static_cast<double>(n) * n;
  return 4 * pairs * static_cast<double>(heads * head_dim() * layers);
}

std::vector<ModelShape> models(bool tiny) {
  if (tiny) return {{"tiny-bert", false, 2, 64, 128, 4, 4, 500, 512}, {"tiny-qwen2", true, 2, 64, 96, 4, 2, 500, 512}};
  // The word table of the last is cut: its size does not matter to the speed, and it would take 1 GB.
  return {{"minilm", false, 6, 384, 1536, 12, 12, 30522, 512},
          {"bert-base", false, 12, 768, 3072, 12, 12, 30522, 512},
          {"xlm-r-large", false, 24, 1024, 4096, 16, 16, 60000, 514},
          {"qwen2-0.5b", true, 24, 896, 4864, 14, 2, 151936, 32768},
          {"qwen2-7b", true, 28, 3584, 18944, 28, 4, 32000, 32768}};
}

std::vector<LinearShape> linears(const ModelShape& m) {
  return {{"qkv", m.hidden, m.qkv()},
          {"out", m.heads * m.head_dim(), m.hidden},
          {m.decoder ? "gate-up" : "up", m.hidden, m.decoder ? 2 * m.intermediate : m.intermediate},
          {"down", m.intermediate, m.hidden}};
}

std::vector<int64_t> row_counts(bool tiny) {
  if (tiny) return {10, 64};
  return {10, 64, 512, 4096, 65536};
}

int64_t Texts::tokens() const { return std::accumulate(lengths.begin(), lengths.end(), int64_t{0}); }

Texts uniform(int32_t length, int64_t tokens) {
  const auto count = static_cast<size_t>(std::max<int64_t>(1, tokens / length));
  return {"uniform-" + std::to_string(length), std::vector<int32_t>(count, length)};
}

Texts mixed(int64_t tokens) {
  std::mt19937 engine(7);
  Texts texts{"mixed", {}};
  for (int64_t left = tokens; left > 0; left -= texts.lengths.back()) {
    // From the bits and not by std::lognormal_distribution, whose numbers differ between libraries.
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(engine()) / 4294967296.0;
    const double length = 26 * std::exp(0.8 * (sum - 6));
    texts.lengths.push_back(static_cast<int32_t>(std::clamp(length, 5.0, 250.0)));
  }
  return texts;
}

std::vector<Texts> attention_texts(bool tiny, int64_t tokens) {
  std::vector<Texts> list;
  for (const int32_t n : tiny ? std::vector<int32_t>{16, 35} : std::vector<int32_t>{16, 35, 128, 512})
    list.push_back(uniform(n, tokens));
  list.push_back(mixed(tokens));
  return list;
}

std::vector<Texts> encode_texts(bool tiny, int64_t tokens) {
  if (tiny) return {uniform(16, tokens), mixed(tokens)};
  return {uniform(128, tokens), uniform(512, tokens), mixed(tokens)};
}

namespace {

template <typename List, typename Print>
std::string list_json(const List& list, Print print) {
  std::string json = "[";
  for (const auto& one : list) json += (json.size() > 1 ? "," : "") + print(one);
  return json + "]";
}

std::string texts_json(const std::vector<Texts>& list) {
  return list_json(list, [](const Texts& texts) {
    return Record()
        .text("name", texts.name)
        .json("lengths", list_json(texts.lengths, [](int32_t n) { return std::to_string(n); }))
        .object();
  });
}

}  // namespace

std::string shapes_json(bool tiny, int64_t tokens) {
  const auto model_json = [](const ModelShape& m) {
    const auto linear_json = [](const LinearShape& l) {
      return Record().text("layer", l.layer).number("in", l.in).number("out", l.out).object();
    };
    return Record()
        .text("name", m.name)
        .flag("decoder", m.decoder)
        .number("layers", m.layers)
        .number("hidden", m.hidden)
        .number("intermediate", m.intermediate)
        .number("heads", m.heads)
        .number("kvHeads", m.kv_heads)
        .number("vocab", m.vocab)
        .number("positions", m.positions)
        .json("linears", list_json(linears(m), linear_json))
        .object();
  };
  return Record()
      .flag("tiny", tiny)
      .number("tokens", tokens)
      .json("models", list_json(models(tiny), model_json))
      .json("rows", list_json(row_counts(tiny), [](int64_t rows) { return std::to_string(rows); }))
      .json("attention", texts_json(attention_texts(tiny, tokens)))
      .json("encode", texts_json(encode_texts(tiny, tokens)))
      .object();
}

}  // namespace embedcore::gpu_bench
