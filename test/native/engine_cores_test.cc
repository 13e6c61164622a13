// engine/cores.h: the quota of control groups.
#include "engine/cores.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base_files.h"

namespace embedcore {
namespace {

struct Root {
  void put(const std::string& path, std::string_view text) const {
    std::filesystem::create_directories(std::filesystem::path(directory / path).parent_path());
    directory.write(path, text);
  }
  double quota() const { return cpu_quota(directory.path()); }
  TemporaryDirectory directory;
};

TEST(CpuQuota, NoneWithoutAGroupOrALimit) {
  const Root root;
  EXPECT_EQ(root.quota(), 0);
  root.put("proc/self/cgroup", "0::/a/b\n");
  EXPECT_EQ(root.quota(), 0);
  root.put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(root.quota(), 0);
}

TEST(CpuQuota, TheSmallestOnTheWayUpApplies) {
  const Root root;
  root.put("proc/self/cgroup", "0::/a/b\n");
  root.put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  root.put("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  root.put("sys/fs/cgroup/cpu.max", "800000 100000\n");
  EXPECT_EQ(root.quota(), 1.5);
}

TEST(CpuQuota, VersionOneHasAFolderAController) {
  const Root root;
  root.put("proc/self/cgroup", "7:memory:/j\n5:cpu,cpuacct:/j/k\n3:cpuset:/j\n");
  root.put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1");
  root.put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(root.quota(), 0);
  root.put("sys/fs/cgroup/cpu/j/cpu.cfs_quota_us", "50000");
  root.put("sys/fs/cgroup/cpu/j/cpu.cfs_period_us", "100000");
  EXPECT_EQ(root.quota(), 0.5);
}

TEST(AvailableCores, AreAtLeastOne) { EXPECT_GE(available_cores(), 1); }

}  // namespace
}  // namespace embedcore
