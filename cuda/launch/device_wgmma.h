// The launch layer on a GPU: wgmma, whose instruction names each of its registers.
#pragma once

namespace embedcore::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

#define EMBEDCORE_NAMES_0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define EMBEDCORE_NAMES_1 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define EMBEDCORE_NAMES_2 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define EMBEDCORE_NAMES_3 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define EMBEDCORE_NAMES_4 "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define EMBEDCORE_NAMES_5 "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define EMBEDCORE_NAMES_6 "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111"
#define EMBEDCORE_NAMES_7 \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define EMBEDCORE_FOUR(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define EMBEDCORE_SIXTEEN(d, i) \
  EMBEDCORE_FOUR(d, i), EMBEDCORE_FOUR(d, i + 4), EMBEDCORE_FOUR(d, i + 8), EMBEDCORE_FOUR(d, i + 12)

#define EMBEDCORE_WGMMA_32(type)                                                                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\nwgmma.mma_async.sync.aligned.m64n32k16.f32." type "." type \
               " {" EMBEDCORE_NAMES_0 "}, %16, %17, p, 1, 1, 0, 0;\n}"                                               \
               : EMBEDCORE_SIXTEEN(d, 0)                                                                             \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_64(type)                                                                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type \
               " {" EMBEDCORE_NAMES_0 ", " EMBEDCORE_NAMES_1 "}, %32, %33, p, 1, 1, 0, 0;\n}"                        \
               : EMBEDCORE_SIXTEEN(d, 0), EMBEDCORE_SIXTEEN(d, 16)                                                   \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_96(type)                                                                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %50, 0;\nwgmma.mma_async.sync.aligned.m64n96k16.f32." type "." type \
               " {" EMBEDCORE_NAMES_0 ", " EMBEDCORE_NAMES_1 ", " EMBEDCORE_NAMES_2 "}, %48, %49, p, 1, 1, 0, 0;\n}" \
               : EMBEDCORE_SIXTEEN(d, 0), EMBEDCORE_SIXTEEN(d, 16), EMBEDCORE_SIXTEEN(d, 32)                         \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_128(type)                                                                                      \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type  \
               " {" EMBEDCORE_NAMES_0 ", " EMBEDCORE_NAMES_1 ", " EMBEDCORE_NAMES_2 ", " EMBEDCORE_NAMES_3             \
               "}, %64, %65, p, 1, 1, 0, 0;\n}"                                                                        \
               : EMBEDCORE_SIXTEEN(d, 0), EMBEDCORE_SIXTEEN(d, 16), EMBEDCORE_SIXTEEN(d, 32), EMBEDCORE_SIXTEEN(d, 48) \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_192(type)                                                                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %98, 0;\nwgmma.mma_async.sync.aligned.m64n192k16.f32." type "." type \
               " {" EMBEDCORE_NAMES_0 ", " EMBEDCORE_NAMES_1 ", " EMBEDCORE_NAMES_2 ", " EMBEDCORE_NAMES_3            \
               ", " EMBEDCORE_NAMES_4 ", " EMBEDCORE_NAMES_5 "}, %96, %97, p, 1, 1, 0, 0;\n}"                         \
               : EMBEDCORE_SIXTEEN(d, 0), EMBEDCORE_SIXTEEN(d, 16), EMBEDCORE_SIXTEEN(d, 32),                         \
                 EMBEDCORE_SIXTEEN(d, 48), EMBEDCORE_SIXTEEN(d, 64), EMBEDCORE_SIXTEEN(d, 80)                         \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_256(type)                                                                                      \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type \
               " {" EMBEDCORE_NAMES_0 ", " EMBEDCORE_NAMES_1 ", " EMBEDCORE_NAMES_2 ", " EMBEDCORE_NAMES_3             \
               ", " EMBEDCORE_NAMES_4 ", " EMBEDCORE_NAMES_5 ", " EMBEDCORE_NAMES_6 ", " EMBEDCORE_NAMES_7             \
               "}, %128, %129, p, 1, 1, 0, 0;\n}"                                                                      \
               : EMBEDCORE_SIXTEEN(d, 0), EMBEDCORE_SIXTEEN(d, 16), EMBEDCORE_SIXTEEN(d, 32),                          \
                 EMBEDCORE_SIXTEEN(d, 48), EMBEDCORE_SIXTEEN(d, 64), EMBEDCORE_SIXTEEN(d, 80),                         \
                 EMBEDCORE_SIXTEEN(d, 96), EMBEDCORE_SIXTEEN(d, 112)                                                   \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#endif

// d[64 x N] = a[64 x 16] b[N x 16]^T, plus d where `accumulate`. Asynchronous: see launch.h.
template <typename T, int N>
GPU void wgmma(float (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define EMBEDCORE_WGMMA_TYPE(n)            \
  if constexpr (N == n) {                  \
    if constexpr (std::is_same_v<T, bf16>) \
      EMBEDCORE_WGMMA_##n("bf16");         \
    else                                   \
      EMBEDCORE_WGMMA_##n("f16");          \
  }
  EMBEDCORE_WGMMA_TYPE(32)
  EMBEDCORE_WGMMA_TYPE(64)
  EMBEDCORE_WGMMA_TYPE(96)
  EMBEDCORE_WGMMA_TYPE(128)
  EMBEDCORE_WGMMA_TYPE(192)
  EMBEDCORE_WGMMA_TYPE(256)
#undef EMBEDCORE_WGMMA_TYPE
#endif
  static_assert(N == 32 || N == 64 || N == 96 || N == 128 || N == 192 || N == 256);
}

}  // namespace embedcore::cuda
