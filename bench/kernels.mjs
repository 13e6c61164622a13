/**
 * `npm run bench:kernels`: times the kernels of the CPU backend one by one, in turn with the limits of the machine.
 * Builds native/kernels with CMake into build-bench/, runs it, prints tables. README.md explains them.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describeCommit, describeMachine } from './lib/machine.mjs'
import { UsageError, listOf, parseOptions, positive } from './lib/options.mjs'
import { availableCores } from './lib/package.mjs'
import { ROOT } from './lib/paths.mjs'
import { reportKernels } from './lib/report-kernels.mjs'
import { median } from './lib/stats.mjs'

const GROUPS = ['linear', 'attention', 'elementwise', 'similarity', 'gradients', 'losses', 'training']

const OPTIONS = {
  groups: { type: 'string', value: 'A,B', default: GROUPS.join(','), help: 'what is measured' },
  repeats: {
    type: 'string',
    value: 'N',
    default: '7',
    help: 'samples of a case, of all cases of a shape and their limits in turn; the median counts',
  },
  seconds: { type: 'string', value: 'S', default: '0.004', help: 'least length of a sample; a call is never cut' },
  threads: { type: 'string', value: 'N', help: 'beside one thread (default the available cores)' },
  out: { type: 'string', value: 'FILE', help: 'write all figures as JSON' },
  json: { type: 'boolean', default: false, help: 'print the JSON instead of tables' },
}

function run(command, args, stdio) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    stdio,
  })
  if (error)
    throw new UsageError(
      error.code === 'ENOENT'
        ? `"${command}" was not found. Debian/Ubuntu: apt-get install -y g++ cmake ninja-build`
        : `${command}: ${error.message}`,
    )
  if (status !== 0)
    throw new UsageError(
      `${command} failed (${signal ?? `exit code ${status}`})\n${stdout ?? ''}${stderr ?? ''}`.trimEnd(),
    )
  return stdout
}

function build() {
  const directory = join(ROOT, 'build-bench')
  run('cmake', ['-S', ROOT, '-B', directory, '-G', 'Ninja', '-DEMBEDCORE_BENCH=ON', '-DEMBEDCORE_ADDON=OFF'], 'pipe')
  run('cmake', ['--build', directory, '--target', 'embedcore_kernels'], 'pipe')
  return join(directory, 'embedcore_kernels')
}

const LIMITS = { peak: 'operations', read: 'bytes', clock: 'cycles' }

/** Adds rates and shares to a measured case. A share refers to the limit measured in the same rounds. */
function judged({ share, leastShare, mostShare, ...one }) {
  const out = one.operations && one.seconds ? { ...one, gops: one.operations / one.seconds / 1e9 } : one
  if (share === undefined) return out
  if (one.elements) return { ...out, cyclesPerElement: 1 / share }
  return { ...out, [one.cold ? 'shareOfRead' : 'shareOfPeak']: share, leastShare, mostShare }
}

/** The limits of the machine, by number of threads: the median over the shapes, and the best sample. */
function limitsOf(references, threads) {
  const rates = (kernel, dtype) => {
    const of = references.filter(
      (r) => r.kernel === kernel && r.threads === threads && r.dtype === dtype && r.clean > 0,
    )
    if (of.length === 0) return null
    const rate = (seconds) => (r) => r[LIMITS[kernel]] / r[seconds] / 1e9
    return {
      median: median(of.map(rate('seconds'))),
      best: Math.max(...of.map(rate('least'))),
      ...(dtype && { instructions: of[0].instructions }),
    }
  }
  return {
    ...Object.fromEntries(['float32', 'bfloat16', 'int8'].map((dtype) => [dtype, rates('peak', dtype)])),
    read: rates('read'),
  }
}

const say = (text) => process.stderr.write(`bench:kernels: ${text}\n`)

async function main() {
  const options = parseOptions(
    process.argv.slice(2),
    OPTIONS,
    'node bench/kernels.mjs [options]   times the kernels of the CPU backend',
  )
  const groups = listOf('groups', options.groups, GROUPS)
  const repeats = positive('repeats', options.repeats)
  const seconds = positive('seconds', options.seconds, { integer: false, least: 0.0001 })
  const cores = await availableCores()
  const threads = options.threads ? positive('threads', options.threads) : cores
  say('building (about a minute the first time)')
  const binary = build()
  const machine = describeMachine(cores, threads)
  say('measuring')
  const lines = run(binary, [threads, repeats, seconds, groups.join(',')].map(String), ['ignore', 'pipe', 'inherit'])
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const [{ backend }, ...measured] = lines
  const references = measured.filter((one) => LIMITS[one.kernel])
  const cases = measured.filter((one) => !LIMITS[one.kernel]).map(judged)
  const limits = Object.fromEntries([...new Set([1, threads])].map((count) => [count, limitsOf(references, count)]))
  const samples = {
    all: repeats * measured.length,
    clean: measured.reduce((sum, one) => sum + one.clean, 0),
    repeated: measured.reduce((sum, one) => sum + one.repeated, 0),
  }
  const result = {
    schema: 2,
    date: new Date().toISOString(),
    ...describeCommit(),
    machine,
    backend,
    limits,
    settings: { threads, repeats, seconds },
    samples,
    references,
    cases,
  }
  if (options.out) {
    mkdirSync(dirname(options.out), { recursive: true })
    writeFileSync(options.out, JSON.stringify(result, null, 1) + '\n')
  }
  process.stdout.write(options.json ? JSON.stringify(result) + '\n' : reportKernels(result))
}

main().catch((error) => {
  process.stderr.write(`bench:kernels: ${error instanceof UsageError ? error.message : error.stack}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
})
