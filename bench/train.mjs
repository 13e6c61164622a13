/**
 * `npm run bench:train`: measures steps of training of embedcore and of sentence-transformers on the same batches,
 * threads and weights, in turn, with the peak of the machine between them. README.md explains each column. Exit codes:
 * 0 measured; 1 embedcore was not measured, or with --check a target is missed; 2 wrong use.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describeCommit, describeMachine, peakMeter } from './lib/machine.mjs'
import { prepareModel } from './lib/models.mjs'
import { UsageError, listOf, parseOptions, positive } from './lib/options.mjs'
import { availableCores } from './lib/package.mjs'
import { RESULTS, ROOT } from './lib/paths.mjs'
import { progressLine } from './lib/progress.mjs'
import { reportTrain } from './lib/report-train.mjs'
import { MODELS, defaultModel } from './lib/specs.mjs'
import { CASES, DTYPES, ROWS, isTrained } from './train/cases.mjs'
import { measureCase } from './train/measure.mjs'
import { preparePairs } from './train/pairs.mjs'
import { buildResult } from './train/result.mjs'

const MODEL_NAMES = Object.keys(MODELS).filter(isTrained)
const WITHOUT_PYTHON = '--python adds it, from the Python named by EMBEDCORE_BENCH_PYTHON'

const OPTIONS = {
  model: { type: 'string', value: 'NAME', default: defaultModel(), help: MODEL_NAMES.join(' | ') },
  'model-path': {
    type: 'string',
    value: 'DIR',
    help: 'folder with the weights of --model minilm (default ../shared/models/all-MiniLM-L6-v2)',
  },
  cases: { type: 'string', value: 'A,B', default: Object.keys(CASES).join(','), help: 'what is measured' },
  dtypes: {
    type: 'string',
    value: 'A,B',
    help: `some of ${DTYPES.join(', ')} (default float32, and bfloat16 where the processor has instructions for it)`,
  },
  peers: { type: 'string', value: 'A,B', help: `some of ${ROWS.map((row) => row.id).join(', ')} (default all)` },
  python: {
    type: 'boolean',
    default: false,
    help: 'also sentence-transformers and peft, from the Python named by EMBEDCORE_BENCH_PYTHON',
  },
  rounds: { type: 'string', value: 'N', default: '3', help: 'rounds a measurement' },
  limit: {
    type: 'string',
    value: 'S',
    default: '30',
    help: 'seconds of steps after which a row of a case is measured in no further round',
  },
  threads: { type: 'string', value: 'N', help: 'threads of everyone (default the available cores)' },
  seed: { type: 'string', value: 'N', default: '1', help: 'of the texts' },
  out: {
    type: 'string',
    value: 'FILE',
    help: 'JSON result (default bench/results/<date>-<cpu>-train-<model>.json)',
  },
  json: { type: 'boolean', default: false, help: 'print the JSON result instead of tables' },
  check: { type: 'boolean', default: false, help: 'exit with 1 where a target is missed' },
}

/** The options, checked, and what is measured. */
async function readOptions() {
  const intro = 'node bench/train.mjs [options]   measures steps of training against sentence-transformers'
  const options = parseOptions(process.argv.slice(2), OPTIONS, intro)
  if (options['model-path'] && !process.argv.some((argument) => /^--model(=|$)/.test(argument)))
    options.model = 'minilm'
  listOf('model', options.model, MODEL_NAMES)
  if (options['model-path'] && !existsSync(join(options['model-path'], 'model.safetensors')))
    throw new UsageError(`--model-path: no model.safetensors in ${options['model-path']}`)
  const cores = await availableCores()
  const ids = ROWS.map((row) => row.id)
  const peers = options.peers ? listOf('peers', options.peers, ids) : ids
  return {
    ...options,
    cores,
    threads: options.threads ? positive('threads', options.threads) : cores,
    cases: listOf('cases', options.cases, Object.keys(CASES)),
    dtypes: options.dtypes ? listOf('dtypes', options.dtypes, DTYPES) : null,
    rows: ROWS.filter((row) => peers.includes(row.id)),
    rounds: positive('rounds', options.rounds),
    limit: positive('limit', options.limit, { integer: false }),
    seed: positive('seed', options.seed),
  }
}

async function main() {
  const options = await readOptions()
  const { progress, say } = progressLine()
  const date = new Date()
  const machine = describeMachine(options.cores, options.threads)
  const commit = describeCommit()
  progress('measuring what the machine can do')
  const meter = peakMeter(options.threads)
  const peak = meter.inTurn?.() ?? null
  const model = prepareModel(options.model, options['model-path'], say)
  model.packageVersion = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version
  const { rows, rounds, limit, threads, seed, python } = options
  const pairs = await preparePairs(model, options.cases, seed)
  const context = { model, modelName: options.model, pairs, rows, rounds, limit, threads, seed, meter, say, progress }
  Object.assign(context, { python, withoutPython: WITHOUT_PYTHON })
  const dtypes = options.dtypes ?? DTYPES.filter((dtype) => dtype === 'float32' || peak?.bfloat16)
  if (dtypes.length < DTYPES.length && !options.dtypes)
    say('bench:train: bfloat16 is left out: no instructions for it were measured; --dtypes float32,bfloat16 takes it')
  const groups = []
  for (const dtype of dtypes)
    for (const name of options.cases) groups.push({ name, dtype, entries: await measureCase(name, dtype, context) })
  progress('')
  const result = buildResult({ groups, context, machine, commit, peak, date })

  const file = `${date.toISOString().slice(0, 10)}-${machine.cpuSlug}-train-${options.model}.json`
  const out = options.out ?? join(RESULTS, file)
  mkdirSync(dirname(out), { recursive: true })
  writeFileSync(out, JSON.stringify(result, null, 1) + '\n')
  process.stdout.write(options.json ? JSON.stringify(result) + '\n' : reportTrain(result))
  say(`bench:train: wrote ${out}`)
  const ours = result.peers.filter((peer) => peer.ours)
  // A bench that could not measure the package must not count as a success.
  if (rows.some((row) => row.ours) && !ours.every((peer) => peer.status === 'ranked')) {
    say('bench:train: not all rows of embedcore were measured (see "not ranked")')
    process.exitCode = 1
  }
  if (options.check && result.targets.some((target) => target.held === false)) process.exitCode = 1
}

main().catch((error) => {
  process.stderr.write(`\nbench:train: ${error instanceof UsageError ? error.message : error.stack}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
})
