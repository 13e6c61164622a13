/**
 * `npm run bench`: measures embedcore and its peers on the same texts, threads and weights, each in its own process, in
 * turn. Order: peak of the machine, texts, comparison of vectors, then interleaved rounds, with the peak between them.
 * README.md explains each column.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describeCommit, describeMachine, peakMeter } from './lib/machine.mjs'
import { measure } from './lib/measure.mjs'
import { prepareModel } from './lib/models.mjs'
import { UsageError, listOf, parseOptions, positive } from './lib/options.mjs'
import { OWN_CELLS, measureOwn } from './lib/own.mjs'
import { availableCores } from './lib/package.mjs'
import { RESULTS, ROOT } from './lib/paths.mjs'
import { progressLine } from './lib/progress.mjs'
import { report } from './lib/report.mjs'
import { buildResult } from './lib/result.mjs'
import { INSTALL_ADVICE, peersInstalled } from './lib/setup.mjs'
import { MODELS, PEERS, defaultModel } from './lib/specs.mjs'
import { chart } from './lib/svg.mjs'
import { prepareTexts } from './lib/texts.mjs'

const OPTIONS = {
  model: { type: 'string', value: 'NAME', default: defaultModel(), help: Object.keys(MODELS).join(' | ') },
  'model-path': {
    type: 'string',
    value: 'DIR',
    help: 'folder with the weights of --model minilm (default ../shared/models/all-MiniLM-L6-v2)',
  },
  peers: {
    type: 'string',
    value: 'A,B',
    help: `some of ${PEERS.map((p) => p.id).join(', ')} (default all that run here)`,
  },
  python: {
    type: 'boolean',
    default: false,
    help: 'also sentence-transformers, from the Python named by EMBEDCORE_BENCH_PYTHON',
  },
  sets: { type: 'string', value: 'A,B', help: 'mixed, uniform (default as the model says)' },
  batches: { type: 'string', value: '1,32', help: 'texts a call (default as the model says)' },
  own: {
    type: 'string',
    value: 'A,B',
    help: `cells of our rows alone: ${OWN_CELLS.join(', ')}, or none (default as the model says)`,
  },
  rounds: { type: 'string', value: 'N', default: '5', help: 'rounds a measurement' },
  seconds: {
    type: 'string',
    value: 'S',
    default: '0.5',
    help: 'least length of a measurement; a batch always runs to its end',
  },
  threads: { type: 'string', value: 'N', help: 'threads of every peer (default the available cores)' },
  seed: { type: 'string', value: 'N', default: '1', help: 'of the texts' },
  out: {
    type: 'string',
    value: 'FILE',
    help: 'JSON result (default bench/results/<date>-<cpu>-<model>.json); a chart goes beside it',
  },
  json: { type: 'boolean', default: false, help: 'print the JSON result instead of tables' },
}

function chosenCells(options) {
  const sets = options.sets && listOf('sets', options.sets, ['mixed', 'uniform'])
  const batches = options.batches?.split(',').map((b) => positive('batches', b))
  const defaults = MODELS[options.model].cells
  if (!batches) return defaults.filter((cell) => !sets || sets.includes(cell.set))
  return (sets ?? [...new Set(defaults.map((cell) => cell.set))]).flatMap((set) =>
    batches.map((batch) => ({ set, batch })),
  )
}

function chosenOwn(options) {
  if (options.own === 'none') return []
  return options.own ? listOf('own', options.own, OWN_CELLS) : MODELS[options.model].own
}

function chosenPeers(options) {
  if (!options.peers) return PEERS.filter((peer) => !peer.python || options.python)
  const ids = listOf(
    'peers',
    options.peers,
    PEERS.map((p) => p.id),
  )
  return PEERS.filter((peer) => ids.includes(peer.id))
}

async function main() {
  const options = parseOptions(
    process.argv.slice(2),
    OPTIONS,
    'node bench/run.mjs [options]   measures embedcore against its peers',
  )
  if (options['model-path'] && !process.argv.some((argument) => /^--model(=|$)/.test(argument)))
    options.model = 'minilm'
  if (!MODELS[options.model])
    throw new UsageError(`--model is one of ${Object.keys(MODELS).join(', ')}, not "${options.model}"`)
  if (options['model-path'] && !existsSync(join(options['model-path'], 'model.safetensors')))
    throw new UsageError(`--model-path: no model.safetensors in ${options['model-path']}`)
  const { progress, say } = progressLine()
  const cores = await availableCores()
  const threads = options.threads ? positive('threads', options.threads) : cores
  const cells = chosenCells(options)
  const own = chosenOwn(options)
  const specs = chosenPeers(options)
  const rounds = positive('rounds', options.rounds)
  const seconds = positive('seconds', options.seconds, { integer: false })
  const seed = positive('seed', options.seed)
  const date = new Date()

  const machine = describeMachine(cores, threads)
  const commit = describeCommit()
  progress('measuring what the machine can do')
  const meter = peakMeter(threads)
  const peak = meter.best?.()
  const model = prepareModel(options.model, options['model-path'], say)
  model.packageVersion = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version
  const texts = await prepareTexts(model, seed)
  const context = {
    specs,
    model,
    modelName: options.model,
    texts,
    cells,
    own,
    threads,
    rounds,
    seconds,
    meter,
    installed: peersInstalled(),
    turns: new Map(),
    say,
    progress,
  }
  if (!context.installed && specs.some((s) => !s.ours && !s.python))
    say(`bench: the npm peers are not installed and are left out; ${INSTALL_ADVICE}`)
  const entries = await measure(context)
  const ownCells = await measureOwn(entries, context)
  const result = buildResult({ entries, own: ownCells, context, machine, commit, peak, date })

  const out =
    options.out ?? join(RESULTS, `${date.toISOString().slice(0, 10)}-${machine.cpuSlug}-${options.model}.json`)
  mkdirSync(dirname(out), { recursive: true })
  writeFileSync(out, JSON.stringify(result, null, 1) + '\n')
  const picture = out.replace(/(\.json)?$/, '.svg')
  writeFileSync(picture, chart(result))
  process.stdout.write(options.json ? JSON.stringify(result) + '\n' : report(result))
  say(`bench: wrote ${out} and ${picture}`)
  // A bench that could not measure the package must not count as a success.
  if (specs.some((s) => s.ours) && !result.peers.some((p) => p.ours && p.status === 'ranked')) {
    say('bench: embedcore itself was not measured (see "not ranked")')
    process.exitCode = 1
  }
}

main().catch((error) => {
  process.stderr.write(`\nbench: ${error instanceof UsageError ? error.message : error.stack}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
})
