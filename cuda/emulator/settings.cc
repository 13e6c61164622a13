#include "emulator/settings.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <span>

#include "code_choice.h"

namespace embedcore::cuda::emulator {

namespace {

[[noreturn]] void refuse(const char* name, const char* value, const char* expected) {
  std::fprintf(stderr, "emulator: Expected %s for %s but received \"%s\"\n", expected, name, value);
  std::exit(2);
}

uint64_t number(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  if (!value || !*value) return otherwise;
  char* end = nullptr;
  uint64_t result = std::strtoull(value, &end, 10);
  if (*end == 'K') result <<= 10, ++end;
  if (*end == 'M') result <<= 20, ++end;
  if (*end == 'G') result <<= 30, ++end;
  if (*end || value[0] == '-') refuse(name, value, "a whole number");
  return result;
}

Fault fault_of_environment() {
  constexpr const char* kName = "EMBEDCORE_EMULATED_FAULT";
  const char* value = std::getenv(kName);
  if (!value || !*value) return {};
  Fault fault;
  char what[32] = "", unit[32] = "", rest = 0;
  long long after = 0;
  if (std::sscanf(value, "%31s after %lld %31s %c", what, &after, unit, &rest) != 3 || after < 0)
    refuse(kName, value, "\"illegal-address after N launches\" or the like");
  if (std::strcmp(what, "illegal-address") == 0) {
    fault.what = Fault::What::kIllegalAddress;
  } else if (std::strcmp(what, "launch-failed") == 0) {
    fault.what = Fault::What::kLaunchFailed;
  } else if (std::strcmp(what, "out-of-memory") == 0) {
    fault.what = Fault::What::kOutOfMemory;
  } else {
    refuse(kName, value, "illegal-address, launch-failed or out-of-memory");
  }
  if (std::strncmp(unit, "allocation", 10) == 0) {
    fault.in_allocations = true;
  } else if (std::strncmp(unit, "launch", 6) != 0) {
    refuse(kName, value, "launches or allocations");
  }
  fault.after = after;
  return fault;
}

Code code_of_environment() {
  constexpr const char* kName = "EMBEDCORE_EMULATED_CODE";
  const char* value = std::getenv(kName);
  Code code;
  if (!value) return code;
  for (const char* at = value; *at;) {
    const bool is_ptx = std::strncmp(at, "ptx", 3) == 0;
    if (is_ptx) at += 3;
    char* end = nullptr;
    const long architecture = std::strtol(at, &end, 10);
    const bool known = end != at && architecture >= 50 && architecture < 200 && (!*end || (*end == ',' && end[1]));
    if (!known || (is_ptx ? code.ptx != 0 : code.count == std::ssize(code.machine_code)))
      refuse(kName, value, "a list such as \"75,80,ptx80\"");
    (is_ptx ? code.ptx : code.machine_code[code.count++]) = static_cast<int>(architecture);
    at = *end ? end + 1 : end;
  }
  return code;
}

Settings& mutable_settings() {
  static Settings instance = settings_of_environment();
  return instance;
}

}  // namespace

Settings settings_of_environment() {
  const Settings usual;
  Settings result;
  result.architecture = static_cast<int>(number("EMBEDCORE_EMULATED_ARCH", usual.architecture));
  bool known = false;
  for (const int architecture : {75, 80, 86, 89, 90, 100}) known |= result.architecture == architecture;
  if (!known) refuse("EMBEDCORE_EMULATED_ARCH", std::getenv("EMBEDCORE_EMULATED_ARCH"), "75, 80, 86, 89, 90 or 100");
  result.devices = static_cast<int>(number("EMBEDCORE_EMULATED_DEVICES", usual.devices));
  result.multiprocessors = static_cast<int>(number("EMBEDCORE_EMULATED_MULTIPROCESSORS", usual.multiprocessors));
  result.memory = number("EMBEDCORE_EMULATED_MEMORY", usual.memory);
  result.driver = static_cast<int>(number("EMBEDCORE_EMULATED_DRIVER", usual.driver));
  result.code = code_of_environment();
  result.threads = static_cast<int>(number("EMBEDCORE_EMULATED_THREADS", usual.threads));
  if (result.threads < 1) result.threads = 1;
  result.seed = number("EMBEDCORE_EMULATED_SEED", usual.seed);
  result.fault = fault_of_environment();
  return result;
}

const Settings& settings() { return mutable_settings(); }
int code_architecture() {
  const Settings& what = settings();
  if (what.code.count == 0 && what.code.ptx == 0) return what.architecture;
  return choose_code({what.code.machine_code, static_cast<size_t>(what.code.count)}, what.code.ptx, what.architecture);
}
void set_settings(const Settings& settings) { mutable_settings() = settings; }

}  // namespace embedcore::cuda::emulator
