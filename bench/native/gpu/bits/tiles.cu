// Whether all tiles of linear give the same bits, which ops/linear.h promises: every tile of a family, rows alone and
// in any number, and the same call twice. And whether families agree, which nothing promises: where they do, weights
// may be read by mma.sync for few rows and by wgmma for many.
//
// Calls the launch functions of cuda/linear_kernels.h, because the table chooses its tiles by itself.
//   embedcore_gpu_bits [--tiny]     a line of JSON for each family and shape; exit code 1 if a family disagrees with
//   itself
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iterator>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "../record.h"
#include "backend.h"
#include "device.h"
#include "linear_f32.cuh"
#include "linear_kernels.h"
#include "linear_mma.cuh"
#include "linear_rows.h"
#include "linear_tile.h"

namespace embedcore::cuda {
namespace {

using gpu_bench::Record;

struct Family {
  const char* name;  // of the instruction
  DType dtype;
  int first, last;  // architectures; kernels of sm_75 are empty on later ones
  int tiles;
  std::function<Error(StreamHandle, int, const TileArgs&, int multiprocessors)> launch;  // none for float32
};

std::vector<Family> families() {
  const auto plain = [](Error (*launch)(StreamHandle, int, const TileArgs&)) {
    return [launch](StreamHandle stream, int index, const TileArgs& args, int) { return launch(stream, index, args); };
  };
  constexpr int kSm75 = std::size(kTilesSm75), kSm80 = std::size(kTilesSm80), kSm90 = std::size(kTilesSm90);
  return {{"fma", DType::kF32, 75, 999, std::size(kFloatTiles), nullptr},
          {"mma.sync sm_80", DType::kBF16, 80, 999, kSm80, plain(launch_bf16)},
          {"wgmma", DType::kBF16, 90, 90, kSm90, launch_bf16_sm90},
          {"mma.sync sm_75", DType::kF16, 75, 79, kSm75, plain(launch_f16_sm75)},
          {"mma.sync sm_80", DType::kF16, 80, 999, kSm80, plain(launch_f16)},
          {"wgmma", DType::kF16, 90, 90, kSm90, launch_f16_sm90},
          {"mma.sync sm_75", DType::kI8, 75, 79, kSm75, plain(launch_int8_sm75)},
          {"mma.sync sm_80", DType::kI8, 80, 999, kSm80, plain(launch_int8)}};
}

[[noreturn]] void stop(const std::string& sentence) { throw std::runtime_error(sentence); }

struct Free {
  Device* device;
  void operator()(void* memory) const { release(device, memory); }
};

// A device, a stream, and memory of both.
class Bench {
 public:
  Bench() {
    char message[256] = "";
    device_ = open_device(0, message, sizeof message);
    if (!device_) stop(message);
    stream_.device = device_;
    expect(open_stream(stream_));
  }
  ~Bench() {
    close_stream(stream_);
    close_device(device_);
  }
  Bench(const Bench&) = delete;

  using Memory = std::unique_ptr<void, Free>;
  Memory memory(size_t bytes) {
    void* found = allocate(device_, bytes);
    if (!found) stop("the device has no memory left");
    return Memory(found, Free{device_});
  }
  Memory upload(const void* from, size_t bytes) {
    Memory there = memory(bytes);
    expect(cuda::upload(stream_, there.get(), from, bytes));
    expect(wait(stream_));
    return there;
  }
  void expect(Status status) {
    if (status != kOk) stop(stream_.message[0] ? stream_.message : "an operation failed");
  }
  Device& device() { return *device_; }
  Stream& stream() { return stream_; }

 private:
  Device* device_ = nullptr;
  Stream stream_;
};

struct Shape {
  int64_t in, out;
};

// One weight matrix and its inputs in one dtype.
class Layer {
 public:
  Layer(Bench& bench, const Shape& shape, DType dtype, int64_t rows) : bench_(bench), shape_(shape), rows_(rows) {
    std::mt19937 engine(11);
    std::normal_distribution<float> normal(0, 1);
    std::vector<float> x(static_cast<size_t>(rows * shape.in)), weight(static_cast<size_t>(shape.in * shape.out)),
        bias(static_cast<size_t>(shape.out));
    for (auto* list : {&x, &weight, &bias})
      for (float& number : *list) number = normal(engine);
    PackedLinear* packed = nullptr;
    bench.expect(pack_linear(
        &bench.device(),
        {.weight = weight.data(), .bias = bias.data(), .in = shape.in, .out = shape.out, .dtype = dtype}, &packed));
    packed_.reset(packed);
    x_ = bench.upload(x.data(), x.size() * sizeof(float));
    y_ = bench.memory(static_cast<size_t>(rows * stride()) * sizeof(float));
  }

  // The results of rows first .. first + count.
  std::vector<float> run(const Family& family, int tile, int64_t first, int64_t count) {
    const Packed& packed = static_cast<const Packed&>(*packed_);
    Stream& stream = bench_.stream();
    const LinearArgs args{.weights = packed_.get(),
                          .x = static_cast<const float*>(x_.get()) + first * shape_.in,
                          .x_stride = shape_.in,
                          .y = y_.get(),
                          .y_stride = stride(),
                          .rows = count};
    PreparedRows rows;
    bench_.expect(prepare_rows(stream, args, rows));
    const Tail tail{.y = args.y,
                    .residual = nullptr,
                    .bias = packed.bias,
                    .y_stride = args.y_stride,
                    .residual_stride = 0,
                    .rows = count,
                    .out = packed.out,
                    .activation = Activation::kGelu,
                    .y_dtype = DType::kF32,
                    .wide = true,
                    .scale = packed.scale,
                    .sums = packed.sums,
                    .step = rows.step,
                    .zero = rows.zero};
    const Error error = launch(family, tile, packed, rows, tail);
    if (error != Error::kOk) bench_.expect(report(stream, error, "a tile of linear"));
    std::vector<float> y(static_cast<size_t>(count * stride()));
    bench_.expect(download(stream, y.data(), y_.get(), y.size() * sizeof(float)));
    bench_.expect(wait(stream));
    std::vector<float> dense;
    for (int64_t row = 0; row < count; ++row)
      dense.insert(dense.end(), y.begin() + row * stride(), y.begin() + row * stride() + shape_.out);
    return dense;
  }
  int64_t rows() const { return rows_; }
  int64_t out() const { return shape_.out; }

 private:
  int64_t stride() const { return (shape_.out + 3) / 4 * 4; }
  Error launch(const Family& family, int tile, const Packed& packed, const PreparedRows& rows, const Tail& tail) {
    const StreamHandle stream = stream_of(bench_.stream());
    if (!family.launch) {
      constexpr auto kElement = static_cast<int64_t>(sizeof(float));
      return launch_float(stream, tile,
                          {.x = static_cast<const float*>(rows.x),
                           .x_stride = rows.stride / kElement,
                           .in = static_cast<int32_t>(rows.bytes / kElement),
                           .weight = static_cast<const float*>(packed.weight),
                           .row_elements = static_cast<int32_t>(packed.row_bytes / kElement),
                           .tail = tail});
    }
    return family.launch(stream, tile,
                         {.x = static_cast<const std::byte*>(rows.x),
                          .x_stride = rows.stride,
                          .x_bytes = rows.bytes,
                          .weight = static_cast<const std::byte*>(packed.weight),
                          .row_bytes = packed.row_bytes,
                          .tail = tail},
                         bench_.device().properties.multiprocessors);
  }

  struct FreeLinear {
    void operator()(PackedLinear* packed) const { free_linear(packed); }
  };
  Bench& bench_;
  const Shape shape_;
  const int64_t rows_;
  std::unique_ptr<PackedLinear, FreeLinear> packed_;
  Bench::Memory x_{nullptr, Free{nullptr}}, y_{nullptr, Free{nullptr}};
};

int64_t differing(const std::vector<float>& a, const float* b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += std::memcmp(&a[i], b + i, sizeof(float)) != 0;
  return count;
}

double greatest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double squares = 0, most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    squares += static_cast<double>(a[i]) * a[i];
    most = std::max(most, std::abs(static_cast<double>(a[i]) - b[i]));
  }
  return most / std::sqrt(squares / static_cast<double>(a.size()));
}

Record record_of(const Family& family, const Shape& shape) {
  Record record;
  record.text("kernel", "bits").text("dtype", dtype_name(family.dtype)).text("family", family.name);
  return record.number("in", shape.in).number("out", shape.out);
}

// Prints what a family does with a layer; returns all rows by its first tile, or nothing if it disagrees with itself.
std::vector<float> check(const Family& family, const Shape& shape, Layer& layer) {
  const std::vector<float> wanted = layer.run(family, 0, 0, layer.rows());
  int64_t tiles = 0, twice = 0, fewer = 0, alone = 0;
  for (int tile = 0; tile < family.tiles; ++tile) {
    tiles += differing(layer.run(family, tile, 0, layer.rows()), wanted.data());
    twice += differing(layer.run(family, tile, 0, layer.rows()), wanted.data());
    for (int64_t count = 1; count < layer.rows(); count = 2 * count + 1)
      fewer += differing(layer.run(family, tile, 0, count), wanted.data());
    for (const int64_t row : {int64_t{1}, layer.rows() / 2, layer.rows() - 1})
      alone += differing(layer.run(family, tile, row, 1), wanted.data() + row * layer.out());
  }
  bool finite = true;
  for (const float number : wanted) finite = finite && std::isfinite(number);
  const bool ok = finite && tiles + twice + fewer + alone == 0;
  record_of(family, shape)
      .number("rows", layer.rows())
      .number("tiles", family.tiles)
      .number("differTiles", tiles)
      .number("differTwice", twice)
      .number("differFewerRows", fewer)
      .number("differAlone", alone)
      .flag("finite", finite)
      .flag("ok", ok)
      .print();
  return ok ? wanted : std::vector<float>{};
}

int run(bool tiny) {
  Bench bench;
  const std::vector<Shape> shapes =
      tiny ? std::vector<Shape>{{64, 48}, {100, 70}}
           : std::vector<Shape>{{384, 1152}, {1536, 384}, {896, 1152}, {3584, 4608}, {18944, 512}, {100, 70}};
  const int64_t rows = tiny ? 40 : 700;
  int failed = 0;
  for (const Shape& shape : shapes) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kI8}) {
      if (!supports(&bench.device(), dtype)) continue;
      Layer layer(bench, shape, dtype, rows);
      const char* first = nullptr;
      std::vector<float> of_first;
      for (const Family& family : families()) {
        const int here = bench.device().architecture;
        if (family.dtype != dtype || here < family.first || here > family.last) continue;
        const std::vector<float> results = check(family, shape, layer);
        if (results.empty()) {
          ++failed;
        } else if (!first) {
          first = family.name;
          of_first = results;
        } else {
          record_of(family, shape)
              .text("against", first)
              .number("elements", static_cast<int64_t>(results.size()))
              .number("differ", differing(results, of_first.data()))
              .real("greatest", greatest_difference(of_first, results))
              .print();
        }
      }
    }
  }
  return failed;
}

}  // namespace
}  // namespace embedcore::cuda

int main(int argc, char** argv) {
  const bool tiny = argc == 2 && std::strcmp(argv[1], "--tiny") == 0;
  if (argc > 1 && !tiny) {
    std::fprintf(stderr, "usage: embedcore_gpu_bits [--tiny]\n");
    return 2;
  }
  try {
    return embedcore::cuda::run(tiny) > 0 ? 1 : 0;
  } catch (const std::exception& error) {
    embedcore::gpu_bench::Record().text("kernel", "bits").text("error", error.what()).print();
    std::fprintf(stderr, "embedcore_gpu_bits: %s\n", error.what());
    return 1;
  }
}
