// Linear layers with bias by number of rows. With few rows the weights must come from memory, as they do between the
// layers of a model, so calls take several copies in turn, which exceed the caches.
#include "ops/linear.h"

#include <algorithm>

#include "base/error.h"
#include "numbers.h"
#include "record.h"
#include "sampling.h"
#include "shapes.h"
#include "target.h"

namespace embedcore::gpu_bench {

namespace {

constexpr int64_t kFewRows = 64;

// More than the caches of the cards that are there (up to 126 MB).
size_t cold_bytes(bool tiny) { return tiny ? 100000 : size_t{256} << 20; }

class Weights {
 public:
  Weights(const OpenDevice& device, const LinearShape& shape, DType dtype, size_t least_bytes)
      : backend_(device.backend()) {
    const DType file = dtype == DType::kF16 ? DType::kF16 : DType::kBF16;
    const auto numbers = random_halves(shape.in * shape.out, file, 0.02f);
    const std::vector<float> bias(static_cast<size_t>(shape.out), 0.02f);
    const LinearWeights from{.weight = numbers.data(),
                             .bias = bias.data(),
                             .in = shape.in,
                             .out = shape.out,
                             .dtype = dtype,
                             .weight_dtype = file};
    size_t bytes = 0;
    do {
      PackedLinear* copy = nullptr;
      const Status status = backend_.pack_linear(device.handle(), from, &copy);
      if (status != kOk) {
        release();
        check_status(status, Stream{}, "weights");
      }
      copies_.push_back(copy);
      bytes += copy->bytes;
    } while (bytes < least_bytes);
  }
  ~Weights() { release(); }
  Weights(const Weights&) = delete;

  int count() const { return static_cast<int>(copies_.size()); }
  const PackedLinear* copy(int number) const { return copies_[static_cast<size_t>(number)]; }

 private:
  void release() {
    for (PackedLinear* copy : copies_) backend_.free_linear(copy);
    copies_.clear();
  }
  const Backend& backend_;
  std::vector<PackedLinear*> copies_;
};

// The rows of x and y that all shapes of a dtype share.
struct Buffers {
  std::shared_ptr<void> x, y;
  int64_t x_count = 0, y_count = 0;

  void fit(OpenStream& stream, DType dtype, int64_t x_needed, int64_t y_needed) {
    if (x_needed > x_count) {
      x.reset();
      x = random_rows(stream, x_needed, dtype, 1);
      x_count = x_needed;
    }
    if (y_needed > y_count) {
      y.reset();
      y = stream.opened().allocate(static_cast<size_t>(y_needed) * dtype_size(dtype));
      y_count = y_needed;
    }
  }
};

struct Case {
  const ModelShape& model;
  const LinearShape& shape;
  DType dtype;
  int64_t rows;

  Record record() const {
    return Record()
        .text("kernel", "linear")
        .text("dtype", dtype_name(dtype))
        .text("model", model.name)
        .text("layer", shape.layer)
        .number("in", shape.in)
        .number("out", shape.out)
        .number("rows", rows);
  }
};

void run_case(OpenStream& stream, const Sampling& sampling, const Case& one, const Weights& weights, Buffers& buffers) {
  const DType rows_type = rows_dtype(stream.opened(), one.dtype);
  buffers.fit(stream, rows_type, one.rows * one.shape.in, one.rows * one.shape.out);
  const Backend& backend = stream.opened().backend();
  const int cycle = one.rows <= kFewRows ? weights.count() : 1;
  const Timing timing = measure(stream, sampling, cycle, [&](Stream& at, int number) {
    return backend.linear(at, {.weights = weights.copy(number),
                               .x = buffers.x.get(),
                               .x_stride = one.shape.in,
                               .y = buffers.y.get(),
                               .y_stride = one.shape.out,
                               .rows = one.rows,
                               .x_dtype = rows_type,
                               .y_dtype = rows_type});
  });
  const double operations =
      2.0 * static_cast<double>(one.rows) * static_cast<double>(one.shape.in) * static_cast<double>(one.shape.out);
  const double read = static_cast<double>(one.shape.in * one.shape.out) * static_cast<double>(dtype_size(one.dtype));
  Record record = one.record();
  record.real("seconds", timing.median)
      .real("least", timing.least)
      .real("most", timing.most)
      .number("samples", timing.samples)
      .number("calls", timing.calls)
      .number("copies", cycle)
      .flag("graph", timing.recorded)
      .real("operationsPerSecond", operations / timing.median)
      .real("weightBytesPerSecond", read / timing.median);
  record.print();
}

}  // namespace

int linear_mode(const Options& options) {
  const DevicePointer device = OpenDevice::open(find_backend(options));
  OpenStream stream(device);
  const Deadline deadline(options.seconds);
  const Sampling sampling(options.tiny);
  int failed = 0;
  for (const DType dtype : options.dtypes) {
    if (!device->supports(dtype)) continue;
    Buffers buffers;
    for (const ModelShape& model : models(options.tiny)) {
      if (!options.wants(model.name)) continue;
      for (const LinearShape& shape : linears(model)) {
        if (deadline.passed()) {
          Case{model, shape, dtype, 0}.record().text("leftOut", "the time was over").print();
          continue;
        }
        try {
          const Weights weights(*device, shape, dtype, cold_bytes(options.tiny));
          for (const int64_t rows : row_counts(options.tiny)) {
            try {
              run_case(stream, sampling, {model, shape, dtype, rows}, weights, buffers);
            } catch (const Error& error) {
              if (error.code != Code::kOutOfMemory) throw;
              Case{model, shape, dtype, rows}.record().text("leftOut", error.what()).print();
            }
          }
        } catch (const Error& error) {
          Case{model, shape, dtype, 0}.record().text("error", error.what()).print();
          ++failed;
          if (error.code == Code::kDevice) return failed;
        }
      }
    }
  }
  return failed;
}

}  // namespace embedcore::gpu_bench
