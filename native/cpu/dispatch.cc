#include "cpu/dispatch.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace embedcore {

#ifdef EMBEDCORE_X86
namespace cpu::avx512 {
extern const Backend kBackend;
}
namespace cpu::avx2 {
extern const Backend kBackend;
}
#endif
namespace cpu::plain {
extern const Backend kBackend;
}

namespace {

#ifdef EMBEDCORE_X86
// __builtin_cpu_supports wants literals, hence the macro. It looks at the operating system's part (xgetbv) too.
#define EMBEDCORE_LACKS(feature) (__builtin_cpu_supports(feature) ? "" : " " feature)

std::string lacking(std::string list) { return list.empty() ? "" : "the processor lacks" + list; }
#endif

std::vector<CpuIsa> find_isas() {
  std::vector<CpuIsa> isas;
#ifdef EMBEDCORE_X86
  const std::string avx2 = std::string() + EMBEDCORE_LACKS("avx2") + EMBEDCORE_LACKS("fma") + EMBEDCORE_LACKS("f16c");
  const std::string avx512 = avx2 + EMBEDCORE_LACKS("avx512f") + EMBEDCORE_LACKS("avx512bw") + EMBEDCORE_LACKS("avx512vl") + EMBEDCORE_LACKS("avx512dq");
  isas.push_back({"avx512", lacking(avx512), avx512.empty() ? &cpu::avx512::kBackend : nullptr});
  isas.push_back({"avx2", lacking(avx2), avx2.empty() ? &cpu::avx2::kBackend : nullptr});
#else
  isas.push_back({"avx512", "not an x86-64 processor", nullptr});
  isas.push_back({"avx2", "not an x86-64 processor", nullptr});
#endif
  isas.push_back({"plain", "", &cpu::plain::kBackend});
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
      if (!entry.table) fail(Code::kInvalidOption, "EMBEDCORE_CPU_ISA=%s cannot run here: %s", forced, entry.reason.c_str());
      return *entry.table;
    }
    fail(Code::kInvalidOption, "EMBEDCORE_CPU_ISA=%s is unknown; expected avx512, avx2 or plain", forced);
  }
  for (const CpuIsa& entry : cpu_isas())
    if (entry.table) return *entry.table;
  fail(Code::kInternal, "no CPU backend was compiled in");
}

}  // namespace embedcore
