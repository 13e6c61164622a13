// runtime.h by the CUDA runtime, which is linked statically. The few functions of the driver that the runtime lacks are
// asked of it by name, so the library opens on a machine without a driver.
#include <cuda.h>
#include <cuda_runtime.h>

#include "code_choice.h"
#include "runtime.h"

namespace embedcore::cuda {

namespace {

Error of(cudaError_t error) {
  if (error != cudaSuccess) cudaGetLastError();  // it would be reported again by the next launch
  return static_cast<Error>(error);
}
Error of(CUresult result) { return static_cast<Error>(result); }  // the codes are the same where both have one

cudaStream_t native(StreamHandle stream) { return static_cast<cudaStream_t>(stream.stream); }
cudaEvent_t native(EventHandle event) { return static_cast<cudaEvent_t>(event.event); }

// A function of the driver, null where there is none.
template <typename Function>
Function* driver_function(const char* name, unsigned version) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  if (of(cudaGetDriverEntryPointByVersion(name, &function, version, cudaEnableDefault, &found)) != Error::kOk)
    return nullptr;
  return found == cudaDriverEntryPointSuccess ? reinterpret_cast<Function*>(function) : nullptr;
}

}  // namespace

const char* error_name(Error error) { return cudaGetErrorName(static_cast<cudaError_t>(error)); }
const char* error_sentence(Error error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

bool is_sticky(Error error) {
  switch (static_cast<cudaError_t>(error)) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorUnknown: return true;
    default: return false;
  }
}

Error device_count(int* count) {
  *count = 0;
  return of(cudaGetDeviceCount(count));
}

Error versions(int* driver, int* runtime) {
  *driver = *runtime = 0;
  const Error error = of(cudaRuntimeGetVersion(runtime));
  return error != Error::kOk ? error : of(cudaDriverGetVersion(driver));
}

Error device_properties(int device, Properties* properties) {
  cudaDeviceProp all;
  const Error error = of(cudaGetDeviceProperties(&all, device));
  if (error != Error::kOk) return error;
  *properties = Properties{};
  for (size_t i = 0; i + 1 < sizeof properties->name && i < sizeof all.name && all.name[i]; ++i)
    properties->name[i] = all.name[i];
  properties->major = all.major;
  properties->minor = all.minor;
  properties->multiprocessors = all.multiProcessorCount;
  properties->memory_bytes = all.totalGlobalMem;
  properties->l2_bytes = static_cast<size_t>(all.l2CacheSize);
  properties->shared_bytes_per_block = static_cast<int>(all.sharedMemPerBlockOptin);
  properties->shared_bytes_per_multiprocessor = static_cast<int>(all.sharedMemPerMultiprocessor);
  return Error::kOk;
}

int code_for(int architecture) {
  int made_for[] = {__CUDA_ARCH_LIST__};  // 750, 800, ...
  for (int& code : made_for) code /= 10;
#ifdef EMBEDCORE_CUDA_PTX
  constexpr int kPtx = EMBEDCORE_CUDA_PTX;
#else
  constexpr int kPtx = 0;
#endif
  return choose_code(made_for, kPtx, architecture);
}

Error memory_info(int device, size_t* free_bytes, size_t* total_bytes) {
  // The runtime would keep the device initialised, which takes hundreds of megabytes of it.
  static const auto get = driver_function<CUresult(CUdevice*, int)>("cuDeviceGet", 2000);
  static const auto retain = driver_function<CUresult(CUcontext*, CUdevice)>("cuDevicePrimaryCtxRetain", 7000);
  static const auto release = driver_function<CUresult(CUdevice)>("cuDevicePrimaryCtxRelease", 11000);
  static const auto push = driver_function<CUresult(CUcontext)>("cuCtxPushCurrent", 4000);
  static const auto pop = driver_function<CUresult(CUcontext*)>("cuCtxPopCurrent", 4000);
  static const auto info = driver_function<CUresult(size_t*, size_t*)>("cuMemGetInfo", 3020);
  if (!get || !retain || !release || !push || !pop || !info) return Error::kDriverTooOld;
  *free_bytes = *total_bytes = 0;
  CUdevice handle = 0;
  CUcontext context = nullptr;
  Error error = of(get(&handle, device));
  if (error != Error::kOk) return error;
  error = of(retain(&context, handle));
  if (error != Error::kOk) return error;
  error = of(push(context));
  if (error == Error::kOk) {
    error = of(info(free_bytes, total_bytes));
    pop(&context);
  }
  release(handle);
  return error;
}

Error set_device(int device) { return of(cudaSetDevice(device)); }

Error allocate(void** memory, size_t bytes) { return of(cudaMalloc(memory, bytes)); }
Error release(void* memory) { return of(cudaFree(memory)); }
Error allocate_pinned(void** memory, size_t bytes) { return of(cudaHostAlloc(memory, bytes, cudaHostAllocDefault)); }
Error release_pinned(void* memory) { return of(cudaFreeHost(memory)); }

Error open_stream(StreamHandle* stream) {
  cudaStream_t handle = nullptr;
  const Error error = of(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking));
  stream->stream = handle;
  return error;
}
Error close_stream(StreamHandle stream) { return of(cudaStreamDestroy(native(stream))); }
Error wait_stream(StreamHandle stream) { return of(cudaStreamSynchronize(native(stream))); }
Error query_stream(StreamHandle stream, bool* done) {
  const cudaError_t error = cudaStreamQuery(native(stream));
  *done = error == cudaSuccess;
  return error == cudaErrorNotReady ? Error::kOk : of(error);
}

Error copy_to_device(void* to, const void* from, size_t bytes, StreamHandle stream) {
  return of(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, native(stream)));
}
Error copy_to_host(void* to, const void* from, size_t bytes, StreamHandle stream) {
  return of(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, native(stream)));
}
Error copy_on_device(void* to, const void* from, size_t bytes, StreamHandle stream) {
  return of(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, native(stream)));
}
Error fill(void* memory, int byte, size_t bytes, StreamHandle stream) {
  return of(cudaMemsetAsync(memory, byte, bytes, native(stream)));
}

Error open_event(EventHandle* event) {
  cudaEvent_t handle = nullptr;
  const Error error = of(cudaEventCreateWithFlags(&handle, cudaEventDisableTiming | cudaEventBlockingSync));
  event->event = handle;
  return error;
}
Error close_event(EventHandle event) { return of(cudaEventDestroy(native(event))); }
Error record(EventHandle event, StreamHandle stream) { return of(cudaEventRecord(native(event), native(stream))); }
Error wait_event(EventHandle event) { return of(cudaEventSynchronize(native(event))); }
Error query_event(EventHandle event, bool* done) {
  const cudaError_t error = cudaEventQuery(native(event));
  *done = error == cudaSuccess;
  return error == cudaErrorNotReady ? Error::kOk : of(error);
}
Error stream_waits(StreamHandle stream, EventHandle event) {
  return of(cudaStreamWaitEvent(native(stream), native(event), 0));
}

Error begin_capture(StreamHandle stream) {
  // Relaxed: this thread and others may allocate meanwhile.
  return of(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeRelaxed));
}
Error end_capture(StreamHandle stream, GraphHandle* graph) {
  graph->graph = nullptr;
  cudaGraph_t recorded = nullptr;
  Error error = of(cudaStreamEndCapture(native(stream), &recorded));
  if (error != Error::kOk) return error;
  cudaGraphExec_t ready = nullptr;
  error = of(cudaGraphInstantiate(&ready, recorded, 0));
  cudaGraphDestroy(recorded);
  graph->graph = ready;
  return error;
}
Error launch_graph(GraphHandle graph, StreamHandle stream) {
  return of(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph.graph), native(stream)));
}
Error close_graph(GraphHandle graph) { return of(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph.graph))); }

Error make_tensor_map(TensorMap* map, const void* memory, int64_t columns, int64_t rows, int64_t stride_bytes,
                      int box_rows) {
  using Encode = CUresult(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*,
                          const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                          CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  static const auto encode = driver_function<Encode>("cuTensorMapEncodeTiled", 12000);
  if (!encode) return Error::kDriverTooOld;
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap) && alignof(TensorMap) >= alignof(CUtensorMap));
  const cuuint64_t size[2] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t stride[1] = {static_cast<cuuint64_t>(stride_bytes)};
  const cuuint32_t box[2] = {64, static_cast<cuuint32_t>(box_rows)}, step[2] = {1, 1};
  return of(encode(reinterpret_cast<CUtensorMap*>(map), CU_TENSOR_MAP_DATA_TYPE_UINT16, 2, const_cast<void*>(memory),
                   size, stride, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                   CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
}

}  // namespace embedcore::cuda
