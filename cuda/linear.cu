// ops/linear.h: brings x into the dtype of the arithmetic, chooses a tile and launches its kernel.
#include "backend.h"
#include "linear_f32.cuh"
#include "linear_kernels.h"
#include "linear_lora.h"
#include "linear_mma.cuh"
#include "linear_rows.h"
#include "ops/checks.h"

namespace embedcore::cuda {
namespace {

bool begins_at_16_bytes(const void* rows, int64_t stride, size_t element_bytes) {
  return reinterpret_cast<uintptr_t>(rows) % 16 == 0 && static_cast<size_t>(stride) * element_bytes % 16 == 0;
}

Tail tail_of(const LinearArgs& args, const Packed& packed, const PreparedRows& rows) {
  const bool wide = begins_at_16_bytes(args.y, args.y_stride, dtype_size(args.y_dtype)) &&
                    (!args.residual || begins_at_16_bytes(args.residual, args.residual_stride, sizeof(float)));
  return {.y = args.y,
          .residual = args.residual,
          .bias = packed.bias,
          .y_stride = args.y_stride,
          .residual_stride = args.residual_stride,
          .rows = args.rows,
          .out = packed.out,
          .activation = args.activation,
          .y_dtype = args.y_dtype,
          .wide = wide,
          .scale = packed.scale,
          .sums = packed.sums,
          .step = rows.step,
          .zero = rows.zero};
}

Error launch_chosen(StreamHandle stream, const Device& device, const TileChoice& tile, const Packed& packed,
                    const PreparedRows& rows, const Tail& tail) {
  if (tile.family == TileFamily::kFloat) {
    constexpr auto kElement = static_cast<int64_t>(sizeof(float));
    return launch_float(stream, tile.index,
                        {.x = static_cast<const float*>(rows.x),
                         .x_stride = rows.stride / kElement,
                         .in = static_cast<int32_t>(rows.bytes / kElement),
                         .weight = static_cast<const float*>(packed.weight),
                         .row_elements = static_cast<int32_t>(packed.row_bytes / kElement),
                         .tail = tail});
  }
  const TileArgs args{.x = static_cast<const std::byte*>(rows.x),
                      .x_stride = rows.stride,
                      .x_bytes = rows.bytes,
                      .weight = static_cast<const std::byte*>(packed.weight),
                      .row_bytes = packed.row_bytes,
                      .tail = tail};
  if (tile.family == TileFamily::kSm75)
    return packed.dtype == DType::kI8 ? launch_int8_sm75(stream, tile.index, args)
                                      : launch_f16_sm75(stream, tile.index, args);
  if (tile.family == TileFamily::kSm90) {
    const auto launch = packed.dtype == DType::kBF16 ? launch_bf16_sm90 : launch_f16_sm90;
    return launch(stream, tile.index, args, device.properties.multiprocessors);
  }
  if (packed.dtype == DType::kI8) return launch_int8(stream, tile.index, args);
  return packed.dtype == DType::kBF16 ? launch_bf16(stream, tile.index, args) : launch_f16(stream, tile.index, args);
}

Status launch_product(Stream& stream, const LinearArgs& args, const PreparedRows& rows) {
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  const TileChoice tile =
      choose_tile(stream.device->properties, stream.device->architecture, packed.dtype, args.rows, packed.out);
  const Error error = launch_chosen(stream_of(stream), *stream.device, tile, packed, rows, tail_of(args, packed, rows));
  return error == Error::kOk ? kOk : report(stream, error, "Linear");
}

// The parts come between the sums and the activation, so the product leaves float32 sums to a kernel that finishes.
Status linear_with_lora(Stream& stream, const LinearArgs& args) {
  LoraScratch scratch;
  const size_t bytes = scratch.place(args, nullptr);
  std::byte* memory = nullptr;
  PreparedRows rows;
  if (const Status status = prepare_rows(stream, args, rows, bytes, &memory); status != kOk) return status;
  scratch.place(args, memory);
  if (const Status status = launch_lora_middle(stream, args, scratch); status != kOk) return status;
  LinearArgs sums = args;
  sums.y = scratch.sums;
  sums.y_stride = scratch.sums_stride;
  sums.y_dtype = DType::kF32;
  sums.activation = Activation::kIdentity;
  sums.residual = nullptr;
  if (const Status status = launch_product(stream, sums, rows); status != kOk) return status;
  return launch_lora_finish(stream, args, scratch);
}

}  // namespace

Status linear(Stream& stream, const LinearArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  if (args.rows == 0) return kOk;
  if (args.lora_parts > 0) return linear_with_lora(stream, args);
  PreparedRows rows;
  if (const Status status = prepare_rows(stream, args, rows); status != kOk) return status;
  return launch_product(stream, args, rows);
}

}  // namespace embedcore::cuda
