/**
 * `npm run bench:kernels`: the kernels of the CPU backend one by one, beside what the machine can do. Builds native/kernels with CMake
 * into build-bench/, measures the peak with native/peak.cc, prints tables. README.md explains them.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describeCommit, describeMachine, measurePeak, peakOf, physicalCores } from './lib/machine.mjs'
import { UsageError, listOf, parseOptions, positive } from './lib/options.mjs'
import { ROOT } from './lib/paths.mjs'
import { reportKernels } from './lib/report-kernels.mjs'

const GROUPS = ['linear', 'attention', 'elementwise']

const OPTIONS = {
  groups: { type: 'string', value: 'A,B', default: GROUPS.join(','), help: 'what is measured' },
  repeats: { type: 'string', value: 'N', default: '7', help: 'samples of a case, of all cases of a shape in turn; the median counts' },
  seconds: { type: 'string', value: 'S', default: '0.004', help: 'least length of a sample; a call is never cut' },
  threads: { type: 'string', value: 'N', help: 'beside one thread (default the physical cores)' },
  out: { type: 'string', value: 'FILE', help: 'write all figures as JSON' },
  json: { type: 'boolean', default: false, help: 'print the JSON instead of tables' },
}

function run(command, args, stdio) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 26, stdio })
  if (error) throw new UsageError(error.code === 'ENOENT' ? `"${command}" was not found. Debian/Ubuntu: apt-get install -y g++ cmake ninja-build` : `${command}: ${error.message}`)
  if (status !== 0) throw new UsageError(`${command} failed (${signal ?? `exit code ${status}`})\n${stdout ?? ''}${stderr ?? ''}`.trimEnd())
  return stdout
}

function build() {
  const directory = join(ROOT, 'build-bench')
  run('cmake', ['-S', ROOT, '-B', directory, '-G', 'Ninja', '-DEMBEDCORE_BENCH=ON', '-DEMBEDCORE_ADDON=OFF'], 'pipe')
  run('cmake', ['--build', directory, '--target', 'embedcore_kernels'], 'pipe')
  return join(directory, 'embedcore_kernels')
}

const BYTES = { float32: 4, bfloat16: 2, int8: 1 }

/** Adds rates and shares to a case as it was measured. peaks: by number of threads. */
function judged(one, peaks) {
  const peak = peaks[one.threads]
  const operations = one.kernel === 'linear' ? 2 * one.in * one.out * one.rows : one.operations
  if (!operations) return one
  const out = { ...one, gops: operations / one.seconds / 1e9 }
  if (!peak) return out
  if (one.cold) out.shareOfRead = (one.in * one.out * BYTES[one.dtype]) / one.seconds / (peak.read_gb_s * 1e9)
  else out.shareOfPeak = (out.gops * 1e9) / peakOf(peak, one.dtype)
  return out
}

/** By number of threads: the better of this and an earlier measurement, rate by rate. A busy moment must not lower the bar. */
function bestPeaks(counts, before = {}) {
  const peaks = {}
  for (const count of counts) {
    const { peak, reason } = measurePeak(count)
    if (!peak) say(`no shares of the peak: ${reason}`)
    peaks[count] = peak ?? null
    const earlier = before[count]
    if (!peak || !earlier) continue
    peak.read_gb_s = Math.max(peak.read_gb_s, earlier.read_gb_s)
    for (const [name, rate] of Object.entries(peak)) if (rate?.gops) rate.gops = Math.max(rate.gops, earlier[name].gops)
  }
  return peaks
}

const say = (text) => process.stderr.write(`bench:kernels: ${text}\n`)

function main() {
  const options = parseOptions(process.argv.slice(2), OPTIONS, 'node bench/kernels.mjs [options]   times the kernels of the CPU backend')
  const groups = listOf('groups', options.groups, GROUPS)
  const repeats = positive('repeats', options.repeats)
  const seconds = positive('seconds', options.seconds, { integer: false, least: 0.0001 })
  const threads = options.threads ? positive('threads', options.threads) : physicalCores()
  say('building (about a minute the first time)')
  const binary = build()
  const machine = describeMachine(threads)
  say('measuring what the machine can do')
  const counts = [...new Set([1, threads])]
  const before = bestPeaks(counts)
  say('measuring the kernels')
  const lines = run(binary, [threads, repeats, seconds, groups.join(',')].map(String), ['ignore', 'pipe', 'inherit']).trim().split('\n').map((line) => JSON.parse(line))
  const peaks = bestPeaks(counts, before)
  const [{ backend, clockGhz }, ...cases] = lines
  const result = { schema: 1, date: new Date().toISOString(), ...describeCommit(), machine, backend, clockGhz, peaks, settings: { threads, repeats, seconds }, cases: cases.map((one) => judged(one, peaks)) }
  if (options.out) {
    mkdirSync(dirname(options.out), { recursive: true })
    writeFileSync(options.out, JSON.stringify(result, null, 1) + '\n')
  }
  process.stdout.write(options.json ? JSON.stringify(result) + '\n' : reportKernels(result))
}

try {
  main()
} catch (error) {
  process.stderr.write(`bench:kernels: ${error instanceof UsageError ? error.message : error.stack}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
