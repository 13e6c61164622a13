/**
 * `npm run cuda:mutants`: changes the kernels of cuda/ at random and prints the share of the changes that the emulated
 * tests catch. Fails below 95 %. docs/gpu.md explains it.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { inRandomOrder } from './cuda-mutants/choose.mjs'
import { KINDS, mutationsOf } from './cuda-mutants/mutations.mjs'
import { Trials } from './cuda-mutants/trial.mjs'
import { Units } from './cuda-mutants/units.mjs'
import { Verdicts } from './cuda-mutants/verdicts.mjs'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const BUILD = join(ROOT, 'build-cmake')
const EQUIVALENT = join(ROOT, 'scripts/cuda-mutants/equivalent.json')
const LEAST_SHARE = 0.95
const MOST_EQUIVALENT = 0.1
const HELP = `npm run cuda:mutants -- [options]
  --count N            mutants (default 100)
  --seed S             of the choice (default 1)
  --files linear,norm  sources of cuda/ whose name begins like these (default all)
  --kinds fence,lane   kinds of changes (default all: ${Object.keys(KINDS).join(', ')})
  --jobs N             mutants at a time, and compilations of the build (default the cores)
  --seconds N          of processor time for a mutant, to compile and to test (default 60)
  --fresh              tries again what a run before has found of the same sources and tests
  --list               prints the mutants and tests none
  --json               the result as JSON`

class UsageError extends Error {}

function options() {
  const number = (fallback) => ({ type: 'string', default: String(fallback) })
  let values
  try {
    values = parseArgs({
      options: {
        count: number(100),
        seed: number(1),
        jobs: number(availableParallelism()),
        seconds: number(60),
        files: { type: 'string' },
        kinds: { type: 'string' },
        fresh: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new UsageError(`${error.message}\n${HELP}`)
  }
  const whole = (name, least) => {
    const value = Number(values[name])
    if (!Number.isInteger(value) || value < least)
      throw new UsageError(`Expected --${name} of ${least} or more but received ${values[name]}`)
    return value
  }
  const list = (text) => text?.split(',').filter(Boolean)
  const kinds = list(values.kinds) ?? Object.keys(KINDS)
  for (const kind of kinds)
    if (!Object.hasOwn(KINDS, kind)) throw new UsageError(`There is no kind ${kind}: ${Object.keys(KINDS).join(', ')}`)
  return {
    ...values,
    kinds,
    files: list(values.files),
    count: whole('count', 1),
    seed: whole('seed', 0),
    jobs: whole('jobs', 1),
    seconds: whole('seconds', 1),
  }
}

function build({ json, jobs }) {
  const targets = ['embedcore_native_tests', 'embedcore_emulator_tests_checked', 'embedcore_cuda_emulated_checked']
  const set = { EMBEDCORE_TESTS: 'ON', EMBEDCORE_EMULATOR: 'ON', CMAKE_EXPORT_COMPILE_COMMANDS: 'ON' }
  set.CMAKE_RUNTIME_OUTPUT_DIRECTORY = join(ROOT, 'build-tests')
  const sets = Object.entries(set).map(([name, value]) => `-D${name}=${value}`)
  for (const args of [
    ['-S', ROOT, '-B', BUILD, '-G', 'Ninja', ...sets],
    ['--build', BUILD, '-j', String(jobs), '--target', ...targets],
  ]) {
    if (!json) console.log(`cmake ${args[0]} ...`)
    const { status, error } = spawnSync('cmake', args, { stdio: ['ignore', 'ignore', 'inherit'] })
    if (status !== 0) throw new Error(error?.message ?? `cmake ${args[0]} failed`)
  }
}

/** All changes of the sources that are asked for. */
function candidates(units, { files, kinds }) {
  const sources = units.sources.filter((name) => !files || files.some((begin) => name.startsWith(begin))).sort()
  if (sources.length === 0) throw new UsageError(`No source of cuda/ begins with ${files.join(' or ')}`)
  const mutants = sources.flatMap((file) =>
    mutationsOf(readFileSync(join(units.cuda, file), 'utf8')).map((mutation) => ({ file, ...mutation })),
  )
  return mutants.filter(({ kind }) => kinds.includes(kind))
}

function reasonsOf() {
  const entries = JSON.parse(readFileSync(EQUIVALENT, 'utf8'))
  return ({ file, old, new: now }) =>
    entries.find((entry) => entry.file === file && entry.old === old && entry.new === now)?.reason
}

function describe({ file, line, kind, old, new: now }, ...more) {
  return [`cuda/${file}:${line} ${kind}`, `    - ${old}`, `    + ${now}`, ...more.map((text) => `    ${text}`)].join(
    '\n',
  )
}

/** Tries mutants in their order until `count` of them compile. */
async function tryAll(mutants, trials, verdicts, { count, jobs, json }) {
  const reasonOf = reasonsOf()
  const done = [] // in the order of `mutants`, but for those that are no mutants
  const discarded = { uncompiled: 0, identical: 0 }
  const begin = Date.now()
  let fresh = 0
  let next = 0
  let running = 0
  const progress = () => {
    const tried = done.filter(({ result }) => result !== 'equivalent')
    const caught = tried.filter(({ result }) => result === 'caught').length
    const minutes = ((Date.now() - begin) / 60_000 / Math.max(1, fresh)) * (count - done.length)
    const share = tried.length > 0 ? ((100 * caught) / tried.length).toFixed(1) : '-'
    if (!json) console.log(`${done.length} of ${count}, ${share} % caught, ${minutes.toFixed(0)} min left`)
  }
  const worker = async () => {
    while (done.length + running < count && next < mutants.length) {
      const place = next++
      const mutant = mutants[place]
      const reason = reasonOf(mutant)
      ++running
      let verdict
      try {
        verdict = reason ? { result: 'equivalent', reason } : verdicts.of(mutant)
        if (!verdict) {
          verdict = await trials.try(mutant)
          verdicts.add(mutant, verdict)
          ++fresh
        }
      } finally {
        --running
      }
      if (Object.hasOwn(discarded, verdict.result)) {
        ++discarded[verdict.result]
        continue
      }
      done.push({ place, ...mutant, ...verdict })
      if (!json && (verdict.result === 'survived' || verdict.result === 'late'))
        console.log(describe(mutant, verdict.result))
      progress()
    }
  }
  // A worker that finds all places taken may be needed again for a mutant that is thrown away.
  while (done.length < count && next < mutants.length) await Promise.all(Array.from({ length: jobs }, worker))
  return { done: done.sort((a, b) => a.place - b.place), discarded }
}

function report({ done, discarded }, { json, seed }) {
  const of = (result) => done.filter((one) => one.result === result)
  const [caught, survived, late, equivalent] = ['caught', 'survived', 'late', 'equivalent'].map(of)
  const judged = done.length - equivalent.length
  const share = judged > 0 ? caught.length / judged : 0
  const tooMany = equivalent.length > MOST_EQUIVALENT * done.length
  const kinds = Object.fromEntries(
    Object.keys(KINDS).map((kind) => {
      const ofKind = done.filter((one) => one.kind === kind && one.result !== 'equivalent')
      return [kind, { mutants: ofKind.length, caught: ofKind.filter(({ result }) => result === 'caught').length }]
    }),
  )
  if (json) {
    const mutants = done.map(({ file, line, kind, old, new: now, result, by, reason, seconds: took }) =>
      Object.assign({ file, line, kind, old, new: now, result, by, reason }, { seconds: took && +took.toFixed(1) }),
    )
    console.log(JSON.stringify({ seed, share, judged, kinds, discarded, mutants }, null, 2))
  } else {
    for (const one of equivalent) console.log(describe(one, `declared equivalent: ${one.reason}`))
    for (const one of late) console.log(describe(one, `not caught within ${one.by}`))
    for (const one of survived) console.log(describe(one, 'survived'))
    for (const [kind, { mutants, caught: some }] of Object.entries(kinds))
      if (mutants > 0) console.log(`${kind.padEnd(10)} ${some} of ${mutants}`)
    const hung = caught.filter(({ by }) => by.startsWith('the time limit')).length
    console.log(`${discarded.uncompiled} did not compile, ${discarded.identical} compiled to the same object`)
    const most = Math.max(0, ...done.map(({ seconds }) => seconds ?? 0))
    console.log(`processor time of a mutant: at most ${most.toFixed(1)} s`)
    console.log(
      `caught: ${caught.length} of ${judged} mutants (${(100 * share).toFixed(1)} %), ${hung} of them by the time` +
        ` limit; ${equivalent.length} declared equivalent`,
    )
  }
  if (tooMany) console.error(`cuda-mutants: more than ${100 * MOST_EQUIVALENT} % are declared equivalent`)
  if (share < LEAST_SHARE) console.error(`cuda-mutants: fewer than ${100 * LEAST_SHARE} % are caught`)
  return !tooMany && share >= LEAST_SHARE
}

async function main() {
  const chosen = options()
  if (chosen.help) return console.log(HELP)
  if (process.platform !== 'linux') throw new Error('the emulator of the CUDA backend runs on Linux only')
  build(chosen)
  const units = new Units(ROOT, BUILD)
  const mutants = inRandomOrder(candidates(units, chosen), chosen.seed)
  if (chosen.list)
    return console.log(
      mutants
        .slice(0, chosen.count)
        .map((mutant) => describe(mutant))
        .join('\n'),
    )
  const trials = new Trials(units, chosen.seconds)
  const verdicts = new Verdicts(join(trials.kept, `verdicts-${chosen.seconds}s.jsonl`))
  if (chosen.fresh) verdicts.forget()
  const result = await tryAll(mutants, trials, verdicts, chosen)
  if (result.done.length < chosen.count) console.error(`cuda-mutants: there are only ${result.done.length} mutants`)
  if (!report(result, chosen)) process.exitCode = 1
}

main().catch((error) => {
  console.error(error instanceof UsageError ? error.message : `cuda-mutants: ${error.message}`)
  process.exit(1)
})
