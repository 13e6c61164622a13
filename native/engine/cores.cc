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

double cpu_quota(const std::string& root) {
  double quota = 0;
#ifdef __linux__
  const auto take = [&quota](double cores) {
    if (cores > 0 && (quota == 0 || cores < quota)) quota = cores;
  };
  // The group and those above it. Inside a container the path of the group may not exist, but the root does.
  const auto walk = [](std::string path, auto&& look) {
    for (;;) {
      look(path == "/" ? "" : path);
      if (path.empty() || path == "/") return;
      path = path.substr(0, path.find_last_of('/'));
    }
  };
  std::ifstream groups(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {
    // "0::/path" is version 2; "5:cpu,cpuacct:/path" version 1.
    const size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,")
      walk(path, [&](const std::string& group) {
        std::ifstream file(root + "/sys/fs/cgroup" + group + "/cpu.max");
        std::string limit;
        double period = 0;
        if (file >> limit >> period && limit != "max" && period > 0) take(std::atof(limit.c_str()) / period);
      });
    if (controllers.find(",cpu,") != std::string::npos)
      walk(path, [&](const std::string& group) {
        const std::string folder = root + "/sys/fs/cgroup/cpu" + group;
        std::ifstream quota_file(folder + "/cpu.cfs_quota_us"), period_file(folder + "/cpu.cfs_period_us");
        double micros = 0, period = 0;
        if (quota_file >> micros && period_file >> period && period > 0) take(micros / period);
      });
  }
#endif
  return quota;
}

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
  if (const double quota = cpu_quota(); quota > 0)
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
