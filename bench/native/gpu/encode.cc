// Whole models with random weights, through the engine, from token ids to vectors in host memory: throughput of large
// calls, and the latency of single queries with and without recorded work.
#include <algorithm>
#include <chrono>
#include <future>
#include <random>

#include "base/error.h"
#include "engine/engine.h"
#include "numbers.h"
#include "random_model.h"
#include "record.h"
#include "sampling.h"
#include "target.h"

namespace embedcore::gpu_bench {

namespace {

constexpr int32_t kQueryTokens = 10;
constexpr int64_t kMaxBatchTokens = 32768;  // the package's default

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::shared_ptr<Piece> piece_of(const Texts& texts, int64_t vocab) {
  std::mt19937 engine(3);
  auto piece = std::make_shared<Piece>();
  piece->offsets = {0};
  for (const int32_t length : texts.lengths) {
    for (int32_t i = 0; i < length; ++i)
      piece->ids.push_back(static_cast<int32_t>(1 + engine() % static_cast<uint64_t>(vocab - 1)));
    piece->offsets.push_back(static_cast<int32_t>(piece->ids.size()));
    piece->skip.push_back(0);
    piece->prefix.push_back(0);
  }
  return piece;
}

class Encoder {
 public:
  Encoder(const std::string& directory, const Backend& backend, DType dtype, int threads) {
    ModelSource source;
    source.directory = directory;
    source.dtype = dtype;
    const double start = now();
    engine_ = std::make_unique<Engine>(Model::load(source, OpenDevice::open(backend)),
                                       EngineOptions{.threads = threads, .max_batch_tokens = kMaxBatchTokens});
    load_seconds = now() - start;
    PlanOptions options;
    options.pooling = {Pooling::kMean};
    options.normalize = true;
    plan_ = std::make_shared<const EncodePlan>(engine_->model().plan(options));
  }

  // Seconds of a call.
  double encode(const Texts& texts) {
    const auto piece = piece_of(texts, engine_->model().vocab());
    rows_.resize(static_cast<size_t>(piece->texts() * plan_->dimension));
    const auto call = std::make_shared<Call>(plan_, rows_.data(), piece->texts());
    std::promise<std::shared_ptr<const Error>> done;
    piece->done = [&done](std::shared_ptr<const Error> error) { done.set_value(std::move(error)); };
    const double start = now();
    engine_->submit(call, piece);
    const auto error = done.get_future().get();
    const double seconds = now() - start;
    if (error) throw *error;
    return seconds;
  }

  size_t weight_bytes() const { return engine_->model().weight_bytes(); }
  double load_seconds = 0;

 private:
  std::unique_ptr<Engine> engine_;
  std::shared_ptr<const EncodePlan> plan_;
  std::vector<float> rows_;
};

struct Cell {
  const Backend& backend;
  const ModelShape& model;
  DType dtype;
  int threads;

  Record record(const char* kernel) const {
    Record record;
    record.text("kernel", kernel)
        .text("backend", backend.name)
        .text("model", model.name)
        .text("dtype", dtype_name(dtype));
    if (backend.host_memory) record.number("threads", threads);
    return record;
  }
};

void throughput(const Cell& cell, Encoder& encoder, const Texts& texts, bool tiny) {
  // Longer than a few seconds, a call is not made again.
  std::vector<double> times;
  const double first = encoder.encode(texts);
  if (!tiny && first > 4) {
    times.push_back(first);
  } else {
    const double start = now();
    encoder.encode(texts);
    while (times.size() < (tiny ? 2u : 5u) || (!tiny && now() - start < 0.5)) {
      times.push_back(encoder.encode(texts));
      if (times.size() >= 3 && now() - start > 5) break;
    }
  }
  const double seconds = median(times);
  const auto tokens = texts.tokens();
  const double operations = cell.model.linear_operations(tokens) + cell.model.attention_operations(texts.lengths);
  cell.record("encode")
      .text("texts", texts.name)
      .number("tokens", tokens)
      .number("count", static_cast<int64_t>(texts.lengths.size()))
      .real("seconds", seconds)
      .real("least", *std::min_element(times.begin(), times.end()))
      .real("most", *std::max_element(times.begin(), times.end()))
      .number("samples", static_cast<int64_t>(times.size()))
      .real("tokensPerSecond", static_cast<double>(tokens) / seconds)
      .real("operationsPerSecond", operations / seconds)
      .print();
}

void query_latency(const Cell& cell, Encoder& encoder, bool recorded, bool tiny) {
  const Texts query{"query", {kQueryTokens}};
  for (int i = 0; i < (tiny ? 3 : 20); ++i) encoder.encode(query);
  std::vector<double> times;
  const double start = now();
  while (times.size() < (tiny ? 3u : 300u) && (times.size() < 20 || now() - start < 3))
    times.push_back(encoder.encode(query));
  std::sort(times.begin(), times.end());
  cell.record("query")
      .number("tokens", kQueryTokens)
      .flag("graph", recorded)
      .number("samples", static_cast<int64_t>(times.size()))
      .real("p50", times[times.size() / 2])
      .real("p99", times[times.size() * 99 / 100])
      .print();
}

// The same table without recorded work.
const Backend& without_replay(const Backend& backend) {
  static Backend table;
  table = backend;
  table.begin_replay = nullptr;
  table.end_replay = nullptr;
  return table;
}

void run_model(const Options& options, const Cell& cell, const std::string& directory, const Deadline& deadline) {
  const bool records = cell.backend.begin_replay != nullptr;
  {
    Encoder encoder(directory, cell.backend, cell.dtype, cell.threads);
    cell.record("load")
        .real("seconds", encoder.load_seconds)
        .number("weightBytes", static_cast<int64_t>(encoder.weight_bytes()))
        .print();
    if (options.latency) query_latency(cell, encoder, records, options.tiny);
    for (const Texts& texts : encode_texts(options.tiny, options.batch_tokens())) {
      if (deadline.passed()) {
        cell.record("encode").text("texts", texts.name).text("leftOut", "the time was over").print();
      } else {
        throughput(cell, encoder, texts, options.tiny);
      }
    }
  }
  if (options.latency && records && cell.dtype == DType::kBF16 && !deadline.passed()) {
    Encoder encoder(directory, without_replay(cell.backend), cell.dtype, cell.threads);
    query_latency(cell, encoder, false, options.tiny);
  }
}

}  // namespace

int encode_mode(const Options& options) {
  const Backend& backend = find_backend(options);
  const Deadline deadline(options.seconds);
  int failed = 0;
  for (const ModelShape& model : models(options.tiny)) {
    if (!options.wants(model.name)) continue;
    const RandomModel files(options.folder, model);
    for (const DType dtype : options.dtypes) {
      const Cell cell{backend, model, dtype, options.threads};
      if (!OpenDevice::open(backend)->supports(dtype)) {
        cell.record("encode").text("leftOut", "the device does not compute in it").print();
        continue;
      }
      if (deadline.passed()) {
        cell.record("encode").text("leftOut", "the time was over").print();
        continue;
      }
      try {
        run_model(options, cell, files.directory(), deadline);
      } catch (const Error& error) {
        const bool memory = error.code == Code::kOutOfMemory;
        cell.record("encode").text(memory ? "leftOut" : "error", error.what()).print();
        if (!memory) ++failed;
        if (error.code == Code::kDevice) return failed;
      }
    }
  }
  return failed;
}

}  // namespace embedcore::gpu_bench
