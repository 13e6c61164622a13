/**
 * `npm run bench:loop`: for how long the package blocks the event loop, compared with an idle control measured in turn,
 * and how evenly many clients with short queries are served. Each case runs in a fresh process. README.md explains the
 * columns. Exit codes: 0 measured; 1 a limit is exceeded or a case failed, only with --check; 2 wrong use.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describeCommit, describeMachine } from './lib/machine.mjs'
import { prepareModel } from './lib/models.mjs'
import { UsageError, listOf, parseOptions, positive } from './lib/options.mjs'
import { availableCores } from './lib/package.mjs'
import { BENCH } from './lib/paths.mjs'
import { reportLoop } from './lib/report-loop.mjs'
import { MODELS, SHALLOW, defaultModel } from './lib/specs.mjs'
import { summary } from './lib/stats.mjs'
import { prepareTexts } from './lib/texts.mjs'
import { CASES } from './loop/cases.mjs'

/** The longest delay that any call may cause. */
const LIMIT_MS = 20
/** p99 over p50 of many clients with short queries. */
const LIMIT_RATIO = 2.2
const NAMES = [...Object.keys(CASES), 'clients']

const OPTIONS = {
  cases: { type: 'string', value: 'A,B', default: NAMES.join(','), help: 'what is measured' },
  runs: { type: 'string', value: 'N', default: '5', help: 'runs of a case; the median counts' },
  clients: { type: 'string', value: 'N', default: '32', help: 'clients of the case clients' },
  seconds: { type: 'string', value: 'S', default: '4', help: 'length of a run of the case clients' },
  threads: { type: 'string', value: 'N', help: 'worker threads (default as the package chooses)' },
  'model-path': {
    type: 'string',
    value: 'DIR',
    help: 'folder with the weights of MiniLM (default ../shared/models/all-MiniLM-L6-v2, else its shape is generated)',
  },
  out: { type: 'string', value: 'FILE', help: 'write the JSON result' },
  json: { type: 'boolean', default: false, help: 'print the JSON result instead of tables' },
  check: { type: 'boolean', default: false, help: 'exit with 1 where a limit is exceeded or a case fails' },
}

const say = (text) => process.stderr.write(`bench:loop: ${text.replace(/^bench: /, '')}\n`)

/** Runs one case in a fresh process. Returns its runs, or { failed }. */
function runChild(argument) {
  const args = [join(BENCH, 'loop', 'child.mjs'), JSON.stringify(argument)]
  return new Promise((resolve) => {
    execFile(process.execPath, args, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (!error) return resolve(JSON.parse(stdout))
      const reason = stderr.trim().split('\n').at(-1)
      resolve({ failed: `its process ended (${error.signal ?? `exit code ${error.code}`}): ${reason}` })
    })
  })
}

const column = (runs, name) => summary(runs.map((run) => run[name]))

function judgeCase({ title }, runs) {
  if (runs.failed) return { title, failed: runs.failed }
  const delayMs = column(runs, 'delayMs')
  return {
    title,
    delayMs,
    waitedMs: runs[0].waitedMs === null ? null : column(runs, 'waitedMs'),
    idleDelayMs: column(runs, 'idleDelayMs'),
    seconds: column(runs, 'seconds'),
    limitMs: LIMIT_MS,
    held: delayMs.median <= LIMIT_MS,
  }
}

function judgeClients(runs, seconds) {
  if (runs.failed) return { failed: runs.failed }
  const ratio = column(runs, 'ratio')
  return {
    ...Object.fromEntries(['p50', 'p99', 'max', 'overtaken'].map((name) => [name, column(runs, name)])),
    callsPerSecond: summary(runs.map((run) => run.calls / seconds)),
    ratio,
    limitRatio: LIMIT_RATIO,
    held: ratio.median <= LIMIT_RATIO,
  }
}

/** The models that the chosen cases need: { minilm, large, shallow }, each { title, model }. */
function prepareModels(names, modelPath) {
  const name = modelPath ? 'minilm' : defaultModel()
  const minilm = prepareModel(name, modelPath, say)
  const models = { minilm: { title: MODELS[name].title, model: minilm } }
  const needed = new Set(names.map((one) => CASES[one]?.model))
  const add = (key, id, spec) => {
    if (needed.has(key))
      models[key] = { title: spec.title, model: prepareModel(id, undefined, say, spec, minilm.layout) }
  }
  add('large', 'loop-large', MODELS['bert-base'])
  add('shallow', 'loop-shallow', SHALLOW)
  return models
}

async function main() {
  const intro = 'node bench/loop.mjs [options]   how long the event loop stands still while the package works'
  const options = parseOptions(process.argv.slice(2), OPTIONS, intro)
  const names = listOf('cases', options.cases, NAMES)
  const runs = positive('runs', options.runs)
  const clients = positive('clients', options.clients)
  const seconds = positive('seconds', options.seconds, { integer: false })
  const threads = options.threads ? positive('threads', options.threads) : null
  const date = new Date()
  const cores = await availableCores()
  const machine = describeMachine(cores, threads ?? cores)
  const models = prepareModels(names, options['model-path'])
  const texts = await prepareTexts(models.minilm.model, 1)
  const result = {
    schema: 1,
    date: date.toISOString(),
    ...describeCommit(),
    machine,
    models: Object.values(models).map(({ title }) => title),
    settings: { runs, clients, seconds },
    cases: {},
    clients: null,
  }
  for (const name of names) {
    const { directory } = (models[CASES[name]?.model] ?? models.minilm).model
    say(name)
    const given = { name, directory, texts: texts.path, runs, options: threads ? { threads } : {}, clients, seconds }
    const measured = await runChild(given)
    if (name === 'clients') result.clients = judgeClients(measured, seconds)
    else result.cases[name] = judgeCase(CASES[name], measured)
  }
  if (options.out) {
    mkdirSync(dirname(options.out), { recursive: true })
    writeFileSync(options.out, JSON.stringify(result, null, 1) + '\n')
  }
  process.stdout.write(options.json ? JSON.stringify(result) + '\n' : reportLoop(result))
  const all = [...Object.values(result.cases), result.clients].filter(Boolean)
  if (options.check && all.some((one) => one.failed || !one.held)) process.exitCode = 1
}

main().catch((error) => {
  say(error instanceof UsageError ? error.message : error.stack)
  process.exitCode = error instanceof UsageError ? 2 : 1
})
