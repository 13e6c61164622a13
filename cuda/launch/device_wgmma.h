// The launch layer on a GPU: wgmma, whose instruction names each of its registers.
#pragma once

namespace embedcore::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

#define EMBEDCORE_N0 "%0, %1, %2, %3"
#define EMBEDCORE_N1 "%4, %5, %6, %7"
#define EMBEDCORE_N2 "%8, %9, %10, %11"
#define EMBEDCORE_N3 "%12, %13, %14, %15"
#define EMBEDCORE_N4 "%16, %17, %18, %19"
#define EMBEDCORE_N5 "%20, %21, %22, %23"
#define EMBEDCORE_N6 "%24, %25, %26, %27"
#define EMBEDCORE_N7 "%28, %29, %30, %31"
#define EMBEDCORE_N8 "%32, %33, %34, %35"
#define EMBEDCORE_N9 "%36, %37, %38, %39"
#define EMBEDCORE_N10 "%40, %41, %42, %43"
#define EMBEDCORE_N11 "%44, %45, %46, %47"
#define EMBEDCORE_N12 "%48, %49, %50, %51"
#define EMBEDCORE_N13 "%52, %53, %54, %55"
#define EMBEDCORE_N14 "%56, %57, %58, %59"
#define EMBEDCORE_N15 "%60, %61, %62, %63"
#define EMBEDCORE_N16 "%64, %65, %66, %67"
#define EMBEDCORE_N17 "%68, %69, %70, %71"
#define EMBEDCORE_N18 "%72, %73, %74, %75"
#define EMBEDCORE_N19 "%76, %77, %78, %79"
#define EMBEDCORE_N20 "%80, %81, %82, %83"
#define EMBEDCORE_N21 "%84, %85, %86, %87"
#define EMBEDCORE_N22 "%88, %89, %90, %91"
#define EMBEDCORE_N23 "%92, %93, %94, %95"
#define EMBEDCORE_N24 "%96, %97, %98, %99"
#define EMBEDCORE_N25 "%100, %101, %102, %103"
#define EMBEDCORE_N26 "%104, %105, %106, %107"
#define EMBEDCORE_N27 "%108, %109, %110, %111"
#define EMBEDCORE_N28 "%112, %113, %114, %115"
#define EMBEDCORE_N29 "%116, %117, %118, %119"
#define EMBEDCORE_N30 "%120, %121, %122, %123"
#define EMBEDCORE_N31 "%124, %125, %126, %127"
#define EMBEDCORE_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])

#define EMBEDCORE_WGMMA_16(type)                                                                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %10, 0;\nwgmma.mma_async.sync.aligned.m64n16k16.f32." type "." type \
               " {" EMBEDCORE_N0 ", " EMBEDCORE_N1 "}, %8, %9, p, 1, 1, 0, 0;\n}"                                    \
               : EMBEDCORE_D4(0), EMBEDCORE_D4(4)                                                                    \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_24(type)                                                                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %14, 0;\nwgmma.mma_async.sync.aligned.m64n24k16.f32." type "." type \
               " {" EMBEDCORE_N0 ", " EMBEDCORE_N1 ", " EMBEDCORE_N2 "}, %12, %13, p, 1, 1, 0, 0;\n}"                \
               : EMBEDCORE_D4(0), EMBEDCORE_D4(4), EMBEDCORE_D4(8)                                                   \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_32(type)                                                                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\nwgmma.mma_async.sync.aligned.m64n32k16.f32." type "." type \
               " {" EMBEDCORE_N0 ", " EMBEDCORE_N1 ", " EMBEDCORE_N2 ", " EMBEDCORE_N3                               \
               "}, %16, %17, p, 1, 1, 0, 0;\n}"                                                                      \
               : EMBEDCORE_D4(0), EMBEDCORE_D4(4), EMBEDCORE_D4(8), EMBEDCORE_D4(12)                                 \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_40(type)                                                                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %22, 0;\nwgmma.mma_async.sync.aligned.m64n40k16.f32." type "." type \
               " {" EMBEDCORE_N0 ", " EMBEDCORE_N1 ", " EMBEDCORE_N2 ", " EMBEDCORE_N3 ", " EMBEDCORE_N4             \
               "}, %20, %21, p, 1, 1, 0, 0;\n}"                                                                      \
               : EMBEDCORE_D4(0), EMBEDCORE_D4(4), EMBEDCORE_D4(8), EMBEDCORE_D4(12), EMBEDCORE_D4(16)               \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_48(type)                                                                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %26, 0;\nwgmma.mma_async.sync.aligned.m64n48k16.f32." type "." type \
               " {" EMBEDCORE_N0 ", " EMBEDCORE_N1 ", " EMBEDCORE_N2 ", " EMBEDCORE_N3 ", " EMBEDCORE_N4             \
               ", " EMBEDCORE_N5 "}, %24, %25, p, 1, 1, 0, 0;\n}"                                                    \
               : EMBEDCORE_D4(0), EMBEDCORE_D4(4), EMBEDCORE_D4(8), EMBEDCORE_D4(12), EMBEDCORE_D4(16),              \
                 EMBEDCORE_D4(20)                                                                                    \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_64(type)                                                                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type \
               " {" EMBEDCORE_N0 ", " EMBEDCORE_N1 ", " EMBEDCORE_N2 ", " EMBEDCORE_N3 ", " EMBEDCORE_N4             \
               ", " EMBEDCORE_N5 ", " EMBEDCORE_N6 ", " EMBEDCORE_N7 "}, %32, %33, p, 1, 1, 0, 0;\n}"                \
               : EMBEDCORE_D4(0), EMBEDCORE_D4(4), EMBEDCORE_D4(8), EMBEDCORE_D4(12), EMBEDCORE_D4(16),              \
                 EMBEDCORE_D4(20), EMBEDCORE_D4(24), EMBEDCORE_D4(28)                                                \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_96(type)                                                                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %50, 0;\nwgmma.mma_async.sync.aligned.m64n96k16.f32." type "." type \
               " {" EMBEDCORE_N0 ", " EMBEDCORE_N1 ", " EMBEDCORE_N2 ", " EMBEDCORE_N3 ", " EMBEDCORE_N4             \
               ", " EMBEDCORE_N5 ", " EMBEDCORE_N6 ", " EMBEDCORE_N7 ", " EMBEDCORE_N8 ", " EMBEDCORE_N9             \
               ", " EMBEDCORE_N10 ", " EMBEDCORE_N11 "}, %48, %49, p, 1, 1, 0, 0;\n}"                                \
               : EMBEDCORE_D4(0), EMBEDCORE_D4(4), EMBEDCORE_D4(8), EMBEDCORE_D4(12), EMBEDCORE_D4(16),              \
                 EMBEDCORE_D4(20), EMBEDCORE_D4(24), EMBEDCORE_D4(28), EMBEDCORE_D4(32), EMBEDCORE_D4(36),           \
                 EMBEDCORE_D4(40), EMBEDCORE_D4(44)                                                                  \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_128(type)                                                                                   \
  asm volatile(                                                                                                     \
      "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type        \
      " {" EMBEDCORE_N0 ", " EMBEDCORE_N1 ", " EMBEDCORE_N2 ", " EMBEDCORE_N3 ", " EMBEDCORE_N4 ", " EMBEDCORE_N5   \
      ", " EMBEDCORE_N6 ", " EMBEDCORE_N7 ", " EMBEDCORE_N8 ", " EMBEDCORE_N9 ", " EMBEDCORE_N10 ", " EMBEDCORE_N11 \
      ", " EMBEDCORE_N12 ", " EMBEDCORE_N13 ", " EMBEDCORE_N14 ", " EMBEDCORE_N15 "}, %64, %65, p, 1, 1, 0, 0;\n}"  \
      : EMBEDCORE_D4(0), EMBEDCORE_D4(4), EMBEDCORE_D4(8), EMBEDCORE_D4(12), EMBEDCORE_D4(16), EMBEDCORE_D4(20),    \
        EMBEDCORE_D4(24), EMBEDCORE_D4(28), EMBEDCORE_D4(32), EMBEDCORE_D4(36), EMBEDCORE_D4(40), EMBEDCORE_D4(44), \
        EMBEDCORE_D4(48), EMBEDCORE_D4(52), EMBEDCORE_D4(56), EMBEDCORE_D4(60)                                      \
      : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_192(type)                                                                                   \
  asm volatile(                                                                                                     \
      "{\n.reg .pred p;\nsetp.ne.b32 p, %98, 0;\nwgmma.mma_async.sync.aligned.m64n192k16.f32." type "." type        \
      " {" EMBEDCORE_N0 ", " EMBEDCORE_N1 ", " EMBEDCORE_N2 ", " EMBEDCORE_N3 ", " EMBEDCORE_N4 ", " EMBEDCORE_N5   \
      ", " EMBEDCORE_N6 ", " EMBEDCORE_N7 ", " EMBEDCORE_N8 ", " EMBEDCORE_N9 ", " EMBEDCORE_N10 ", " EMBEDCORE_N11 \
      ", " EMBEDCORE_N12 ", " EMBEDCORE_N13 ", " EMBEDCORE_N14 ", " EMBEDCORE_N15 ", " EMBEDCORE_N16                \
      ", " EMBEDCORE_N17 ", " EMBEDCORE_N18 ", " EMBEDCORE_N19 ", " EMBEDCORE_N20 ", " EMBEDCORE_N21                \
      ", " EMBEDCORE_N22 ", " EMBEDCORE_N23 "}, %96, %97, p, 1, 1, 0, 0;\n}"                                        \
      : EMBEDCORE_D4(0), EMBEDCORE_D4(4), EMBEDCORE_D4(8), EMBEDCORE_D4(12), EMBEDCORE_D4(16), EMBEDCORE_D4(20),    \
        EMBEDCORE_D4(24), EMBEDCORE_D4(28), EMBEDCORE_D4(32), EMBEDCORE_D4(36), EMBEDCORE_D4(40), EMBEDCORE_D4(44), \
        EMBEDCORE_D4(48), EMBEDCORE_D4(52), EMBEDCORE_D4(56), EMBEDCORE_D4(60), EMBEDCORE_D4(64), EMBEDCORE_D4(68), \
        EMBEDCORE_D4(72), EMBEDCORE_D4(76), EMBEDCORE_D4(80), EMBEDCORE_D4(84), EMBEDCORE_D4(88), EMBEDCORE_D4(92)  \
      : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#define EMBEDCORE_WGMMA_256(type)                                                                                      \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type \
               " {" EMBEDCORE_N0 ", " EMBEDCORE_N1 ", " EMBEDCORE_N2 ", " EMBEDCORE_N3 ", " EMBEDCORE_N4               \
               ", " EMBEDCORE_N5 ", " EMBEDCORE_N6 ", " EMBEDCORE_N7 ", " EMBEDCORE_N8 ", " EMBEDCORE_N9               \
               ", " EMBEDCORE_N10 ", " EMBEDCORE_N11 ", " EMBEDCORE_N12 ", " EMBEDCORE_N13 ", " EMBEDCORE_N14          \
               ", " EMBEDCORE_N15 ", " EMBEDCORE_N16 ", " EMBEDCORE_N17 ", " EMBEDCORE_N18 ", " EMBEDCORE_N19          \
               ", " EMBEDCORE_N20 ", " EMBEDCORE_N21 ", " EMBEDCORE_N22 ", " EMBEDCORE_N23 ", " EMBEDCORE_N24          \
               ", " EMBEDCORE_N25 ", " EMBEDCORE_N26 ", " EMBEDCORE_N27 ", " EMBEDCORE_N28 ", " EMBEDCORE_N29          \
               ", " EMBEDCORE_N30 ", " EMBEDCORE_N31 "}, %128, %129, p, 1, 1, 0, 0;\n}"                                \
               : EMBEDCORE_D4(0), EMBEDCORE_D4(4), EMBEDCORE_D4(8), EMBEDCORE_D4(12), EMBEDCORE_D4(16),                \
                 EMBEDCORE_D4(20), EMBEDCORE_D4(24), EMBEDCORE_D4(28), EMBEDCORE_D4(32), EMBEDCORE_D4(36),             \
                 EMBEDCORE_D4(40), EMBEDCORE_D4(44), EMBEDCORE_D4(48), EMBEDCORE_D4(52), EMBEDCORE_D4(56),             \
                 EMBEDCORE_D4(60), EMBEDCORE_D4(64), EMBEDCORE_D4(68), EMBEDCORE_D4(72), EMBEDCORE_D4(76),             \
                 EMBEDCORE_D4(80), EMBEDCORE_D4(84), EMBEDCORE_D4(88), EMBEDCORE_D4(92), EMBEDCORE_D4(96),             \
                 EMBEDCORE_D4(100), EMBEDCORE_D4(104), EMBEDCORE_D4(108), EMBEDCORE_D4(112), EMBEDCORE_D4(116),        \
                 EMBEDCORE_D4(120), EMBEDCORE_D4(124)                                                                  \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)))

#endif

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
  EMBEDCORE_WGMMA_TYPE(16)
  EMBEDCORE_WGMMA_TYPE(24)
  EMBEDCORE_WGMMA_TYPE(32)
  EMBEDCORE_WGMMA_TYPE(40)
  EMBEDCORE_WGMMA_TYPE(48)
  EMBEDCORE_WGMMA_TYPE(64)
  EMBEDCORE_WGMMA_TYPE(96)
  EMBEDCORE_WGMMA_TYPE(128)
  EMBEDCORE_WGMMA_TYPE(192)
  EMBEDCORE_WGMMA_TYPE(256)
#undef EMBEDCORE_WGMMA_TYPE
#endif
  static_assert(N == 16 || N == 24 || N == 32 || N == 40 || N == 48 || N == 64 || N == 96 || N == 128 || N == 192 ||
                N == 256);
}

}  // namespace embedcore::cuda
