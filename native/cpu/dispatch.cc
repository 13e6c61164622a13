#include "cpu/dispatch.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"

#ifdef EMBEDCORE_X86
#include <cpuid.h>
#endif

namespace embedcore {

#ifdef EMBEDCORE_X86
namespace cpu::avx512bf16 {
extern const Backend kBackend;
extern const WordKernels* const kWords;
extern const DoubleKernels* const kDoubles;
}  // namespace cpu::avx512bf16
namespace cpu::avx512vnni {
extern const Backend kBackend;
extern const WordKernels* const kWords;
extern const DoubleKernels* const kDoubles;
}  // namespace cpu::avx512vnni
namespace cpu::avx512 {
extern const Backend kBackend;
extern const WordKernels* const kWords;
extern const DoubleKernels* const kDoubles;
}  // namespace cpu::avx512
namespace cpu::avx2vnni {
extern const Backend kBackend;
extern const WordKernels* const kWords;
extern const DoubleKernels* const kDoubles;
}  // namespace cpu::avx2vnni
namespace cpu::avx2 {
extern const Backend kBackend;
extern const WordKernels* const kWords;
extern const DoubleKernels* const kDoubles;
}  // namespace cpu::avx2
#endif
namespace cpu::plain {
extern const Backend kBackend;
extern const WordKernels* const kWords;
extern const DoubleKernels* const kDoubles;
}  // namespace cpu::plain

namespace {

#ifdef EMBEDCORE_X86
// __builtin_cpu_supports needs a literal, so this is a macro. The function also checks the operating system's support
// (xgetbv).
#define EMBEDCORE_LACKS(feature) (__builtin_cpu_supports(feature) ? "" : " " feature)

// GCC 12's __builtin_cpu_supports does not know this extension. It uses the registers of AVX2, whose support is checked
// too.
bool has_avxvnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4)) != 0;
}
#endif

std::vector<CpuIsa> find_isas() {
  std::vector<CpuIsa> isas;
#ifdef EMBEDCORE_X86
// A set that was left out of the build (EMBEDCORE_ISAS) is not referred to.
#define EMBEDCORE_ADD(name, lacks)                                                                                 \
  if constexpr (EMBEDCORE_HAS_##name)                                                                              \
    isas.push_back(lacks.empty() ? CpuIsa{#name, "", &cpu::name::kBackend, cpu::name::kWords, cpu::name::kDoubles} \
                                 : CpuIsa{#name, "the processor lacks" + lacks, nullptr, nullptr, nullptr});       \
  else                                                                                                             \
    isas.push_back({#name, "not in this build", nullptr, nullptr, nullptr})
  const std::string avx2 = std::string() + EMBEDCORE_LACKS("avx2") + EMBEDCORE_LACKS("fma") + EMBEDCORE_LACKS("f16c");
  const std::string avx2vnni = avx2 + (has_avxvnni() ? "" : " avxvnni");
  const std::string avx512 = avx2 + EMBEDCORE_LACKS("avx512f") + EMBEDCORE_LACKS("avx512bw") +
                             EMBEDCORE_LACKS("avx512vl") + EMBEDCORE_LACKS("avx512dq");
  const std::string avx512vnni = avx512 + EMBEDCORE_LACKS("avx512vnni");
  const std::string avx512bf16 = avx512vnni + EMBEDCORE_LACKS("avx512bf16");
  EMBEDCORE_ADD(avx512bf16, avx512bf16);
  EMBEDCORE_ADD(avx512vnni, avx512vnni);
  EMBEDCORE_ADD(avx512, avx512);
  EMBEDCORE_ADD(avx2vnni, avx2vnni);
  EMBEDCORE_ADD(avx2, avx2);
#undef EMBEDCORE_ADD
#else
  for (const char* name : {"avx512bf16", "avx512vnni", "avx512", "avx2vnni", "avx2"})
    isas.push_back({name, "not an x86-64 processor", nullptr, nullptr, nullptr});
#endif
  isas.push_back({"plain", "", &cpu::plain::kBackend, cpu::plain::kWords, cpu::plain::kDoubles});
  return isas;
}

}  // namespace

const std::vector<CpuIsa>& cpu_isas() {
  static const std::vector<CpuIsa> isas = find_isas();
  return isas;
}

const Backend* cpu_backend(const char* isa) {
  for (const CpuIsa& entry : cpu_isas())
    if (std::strcmp(entry.name, isa) == 0) return entry.table;
  return nullptr;
}

const Backend& default_cpu_backend() {
  if (const char* forced = std::getenv("EMBEDCORE_CPU_ISA"); forced && *forced) {
    for (const CpuIsa& entry : cpu_isas()) {
      if (std::strcmp(entry.name, forced) != 0) continue;
      if (!entry.table)
        fail(Code::kInvalidOption, "EMBEDCORE_CPU_ISA=%s cannot run here: %s", forced, entry.reason.c_str());
      return *entry.table;
    }
    std::string names;
    for (const CpuIsa& entry : cpu_isas()) names += std::string(entry.name) + ", ";
    fail(Code::kInvalidOption, "EMBEDCORE_CPU_ISA=%s is unknown; expected one of %sreference, reference-device", forced,
         names.c_str());
  }
  for (const CpuIsa& entry : cpu_isas())
    if (entry.table) return *entry.table;
  fail(Code::kInternal, "no CPU backend was compiled in");
}

}  // namespace embedcore
