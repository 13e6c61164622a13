/** Facts about this machine and installation that `doctor` reports. It only reads files and does not load the addon. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

/** CPUs that the control group grants (may be a fraction), null = no limit. `root` replaces `/` in tests. */
export function cgroupCpuLimit(root = '/'): number | null {
  const groups = readText(join(root, 'proc/self/cgroup'))
  if (groups === null) return null
  const limits: number[] = []
  const unified = /^0::(\/.*)$/m.exec(groups)?.[1]
  if (unified !== undefined) {
    // Every parent group may set a limit, and the smallest one applies. Inside a container the path may not exist, but
    // the root does.
    for (let group = unified; ; group = dirname(group)) {
      const [quota, period] = (readText(join(root, 'sys/fs/cgroup', group, 'cpu.max')) ?? 'max').trim().split(' ')
      if (quota !== 'max' && Number(period) > 0) limits.push(Number(quota) / Number(period))
      if (group === '/') break
    }
  }
  const v1 = /^\d+:(?:[^:]*,)?cpu(?:,[^:]*)?:(\/.*)$/m.exec(groups)?.[1]
  if (v1 !== undefined) {
    for (let group = v1; ; group = dirname(group)) {
      const folder = join(root, 'sys/fs/cgroup/cpu', group)
      const quota = Number(readText(join(folder, 'cpu.cfs_quota_us')) ?? -1)
      const period = Number(readText(join(folder, 'cpu.cfs_period_us')) ?? 0)
      if (quota > 0 && period > 0) limits.push(quota / period)
      if (group === '/') break
    }
  }
  return limits.length === 0 ? null : Math.min(...limits)
}

/** The version of glibc; null with another C library (musl, macOS, Windows). */
export function glibcVersion(): string | null {
  const report = process.report as typeof process.report & { excludeNetwork?: boolean }
  // Without this, the report looks up the host names of all open sockets.
  report.excludeNetwork = true
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
  return header.glibcVersionRuntime ?? null
}

/** Version of an installed package, found without loading it; null = not installed. */
export function packageVersionOf(name: string): string | null {
  for (const folder of createRequire(import.meta.url).resolve.paths(name) ?? []) {
    const manifest = readText(join(folder, name, 'package.json'))
    if (manifest !== null) return (JSON.parse(manifest) as { version: string }).version
  }
  return null
}
