#include "emulator/report.h"

#include <dlfcn.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>

namespace embedcore::cuda::emulator {

namespace {

struct Reports {
  std::mutex mutex;
  // Guarded by mutex.
  std::vector<std::string> kept;
  bool printed = true;
};
Reports& reports() {
  static auto* instance = new Reports;  // reports may be made while the process ends
  return *instance;
}

}  // namespace

void add_report(std::string sentence) {
  std::lock_guard lock(reports().mutex);
  if (reports().printed) std::fprintf(stderr, "emulator: %s\n", sentence.c_str());
  reports().kept.push_back(std::move(sentence));
}

std::vector<std::string> take_reports() {
  std::lock_guard lock(reports().mutex);
  return std::exchange(reports().kept, {});
}

void print_reports(bool yes) {
  std::lock_guard lock(reports().mutex);
  reports().printed = yes;
}

std::string place_of(const void* site) {
  if (!site) return "";
  Dl_info info{};
  // The return address belongs to the instruction after the call.
  const auto* address = static_cast<const char*>(site) - 1;
  if (!::dladdr(address, &info) || !info.dli_fname) return format("%p", site);
  const auto offset = static_cast<unsigned long>(address - static_cast<const char*>(info.dli_fbase));
  const std::string otherwise = format("%s+0x%lx", info.dli_fname, offset);
  static std::mutex mutex;
  static std::map<std::string, std::string> known;  // guarded by mutex
  std::lock_guard lock(mutex);
  const auto found = known.find(otherwise);
  if (found != known.end()) return found->second;
  std::string place = otherwise;
  const std::string command = format("addr2line -e '%s' 0x%lx 2>/dev/null", info.dli_fname, offset);
  if (FILE* pipe = ::popen(command.c_str(), "r")) {
    char line[512] = "";
    if (std::fgets(line, sizeof line, pipe) && line[0] != '?') {
      place = line;
      place = place.substr(0, place.find_first_of("\n("));
      while (!place.empty() && place.back() == ' ') place.pop_back();
      // The folder is of no interest.
      const size_t slash = place.rfind('/');
      if (slash != std::string::npos) place = place.substr(slash + 1);
    }
    ::pclose(pipe);
  }
  return known[otherwise] = place;
}

std::string format(const char* format, ...) {
  va_list list;
  va_start(list, format);
  va_list again;
  va_copy(again, list);
  const int length = std::vsnprintf(nullptr, 0, format, list);
  va_end(list);
  std::string result(static_cast<size_t>(length), '\0');
  std::vsnprintf(result.data(), result.size() + 1, format, again);
  va_end(again);
  return result;
}

}  // namespace embedcore::cuda::emulator
