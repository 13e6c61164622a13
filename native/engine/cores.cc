#include "engine/cores.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#ifdef __linux__
#include <sched.h>
#include <sys/resource.h>
#endif

namespace embedcore {

namespace {

#ifdef __linux__
// The quota in cores of cgroup v2 (this group and those above it) or v1; 0 = none.
double cgroup_quota() {
  double quota = 0;
  auto take = [&quota](double cores) {
    if (cores > 0 && (quota == 0 || cores < quota)) quota = cores;
  };
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {
    if (line.rfind("0::", 0) != 0) continue;
    std::string path = line.substr(3);
    for (;;) {
      std::ifstream file("/sys/fs/cgroup" + path + "/cpu.max");
      std::string limit;
      double period = 0;
      if (file >> limit >> period && limit != "max" && period > 0) take(std::atof(limit.c_str()) / period);
      if (path.empty() || path == "/") break;
      path = path.substr(0, path.find_last_of('/'));
    }
  }
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double micros = 0, period = 0;
  if (quota_file >> micros && period_file >> period && micros > 0 && period > 0) take(micros / period);
  return quota;
}
#endif

}  // namespace

int available_cores() {
  int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#ifdef __linux__
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    std::set<std::string> physical;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &allowed)) continue;
      std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
      std::string siblings;
      physical.insert(file >> siblings ? siblings : "cpu" + std::to_string(cpu));
    }
    if (!physical.empty()) cores = static_cast<int>(physical.size());
  }
  if (const double quota = cgroup_quota(); quota > 0)
    cores = std::min(cores, std::max(1, static_cast<int>(std::ceil(quota))));
#endif
  return cores;
}

void lower_priority() {
#if defined(__linux__)
  // 0: on Linux the calling thread, not the process. Relative to what the process was started with.
  errno = 0;
  const int now = getpriority(PRIO_PROCESS, 0);
  if (now == -1 && errno != 0) return;
  setpriority(PRIO_PROCESS, 0, std::min(now + 5, 19));
#endif
}

}  // namespace embedcore
