/**
 * `npm run bench:check`: fails if embedcore has become slower relative to its peers. Compares the ratios of results (of
 * short runs of bench, bench:train and bench:static here, or of --result) with those of baselines/. Exit codes: 0 no ratio is worse, 1
 * some are, 2 they cannot be compared.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import {
  baselineFile,
  baselineOf,
  benchOf,
  compare,
  incomparable,
  metricName,
  ratiosOf,
  sentence,
} from './lib/baseline.mjs'
import { UsageError, listOf, parseOptions, positive } from './lib/options.mjs'
import { BASELINES, BENCH, CACHE, ROOT } from './lib/paths.mjs'
import { MODELS, PEERS, defaultModel } from './lib/specs.mjs'
import { table } from './lib/table.mjs'
import { CASES, ROWS, isTrained } from './train/cases.mjs'

const PARTS = ['encode', 'train', 'static']

const OPTIONS = {
  parts: {
    type: 'string',
    value: 'A,B',
    help: `what is measured: ${PARTS.join(', ')} (default all, training where the model can)`,
  },
  result: { type: 'string', value: 'FILE', help: 'compare this result of a bench and measure nothing' },
  baseline: { type: 'string', value: 'FILE', help: 'default bench/baselines/<device>[-train|-static]-<model>.json' },
  write: { type: 'boolean', default: false, help: 'write the baseline from --result instead of comparing with it' },
  model: { type: 'string', value: 'NAME', default: defaultModel(), help: Object.keys(MODELS).join(' | ') },
  'model-path': { type: 'string', value: 'DIR', help: 'folder with the weights of --model minilm' },
  peers: {
    type: 'string',
    value: 'A,B',
    default: 'embedcore,embedcore-bf16,embedcore-int8,transformers.js,transformers.js-q8,llama.cpp-q8_0',
    help: 'the rows of encode that are measured',
  },
  cases: { type: 'string', value: 'A,B', default: 'uniform,mixed', help: 'the cases of train that are measured' },
  rounds: { type: 'string', value: 'N', default: '3', help: 'rounds a measurement' },
  seconds: { type: 'string', value: 'S', default: '0.3', help: 'least length of a measurement of encode' },
}

class Incomparable extends Error {}

function readJson(name, path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UsageError(`--${name}: ${path} could not be read: ${error.message}`)
  }
}

/** Rows of train that have a tolerated ratio: not those of theirs without dropout. */
const TRAINED = ROWS.filter((row) => row.dropout && row.id !== 'embedcore-lora-recompute').map((row) => row.id)

const commands = {
  encode: ({ peers, seconds }) => ['run.mjs', '--peers', peers, '--own', 'none', '--seconds', seconds],
  train: ({ cases }) => [
    'train.mjs',
    '--cases',
    cases,
    '--peers',
    TRAINED.join(','),
    ...(process.env.EMBEDCORE_BENCH_PYTHON ? ['--python'] : []),
  ],
  static: () => ['static.mjs'],
}

/** Runs a short bench in another process; its tables go to stderr. Returns its result. */
function measure(part, options, rounds) {
  const file = join(CACHE, `check-${part}.json`)
  const [script, ...rest] = commands[part](options)
  const args = [join(BENCH, script), ...rest, '--rounds', String(rounds), '--out', file]
  if (part !== 'static') {
    args.push('--model', options.model)
    if (options['model-path']) args.push('--model-path', options['model-path'])
  }
  rmSync(file, { force: true })
  const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', process.stderr, 'inherit'] })
  // The failures are part of the result.
  if (!existsSync(file)) throw new Incomparable(`the bench itself failed (exit code ${status})`)
  return readJson('result', file)
}

function loadBaseline(options, result) {
  const path = options.baseline ?? baselineFile(result)
  return options.baseline || existsSync(path) ? readJson('baseline', path) : null
}

const COMMANDS = { encode: 'bench', train: 'bench:train', static: 'bench:static' }

/** Without a baseline, prints the measured ratios and how to make a baseline of them. */
function withoutBaseline(result) {
  const rows = ratiosOf(result)
  if (rows.length > 0)
    process.stdout.write(
      table(
        ['ratio', 'of', 'now'],
        rows.map((r) => [`${r.ours} over ${r.peer}`, metricName(r.metric), `${r.now.toFixed(2)}x`]),
      ) + '\n',
    )
  const known = existsSync(BASELINES) ? readdirSync(BASELINES).filter((name) => name.endsWith('.json')) : []
  throw new Incomparable(
    `no baseline for this machine and model (${relative(ROOT, baselineFile(result))}); ` +
      `there ${known.length ? `are ${known.join(', ')}` : 'are none'}. ` +
      `Write one: npm run ${COMMANDS[benchOf(result)]}, then node bench/check.mjs --write ` +
      '--result FILE',
  )
}

function write(options) {
  if (!options.result) throw new UsageError('--write needs --result FILE: a baseline comes from a whole run of a bench')
  const result = readJson('result', options.result)
  const baseline = baselineOf(result)
  const lost = result.peers.filter((p) => p.ours && p.status !== 'ranked')
  if (lost.length > 0)
    throw new Incomparable(
      `${lost.map((p) => p.id).join(', ')} was not measured in the result: leave it out with --peers, ` +
        'or later checks would not notice it',
    )
  if (Object.keys(baseline.versions).length === 0)
    throw new Incomparable('the result has no ratios of ours to a peer: it cannot be a baseline')
  const path = options.baseline ?? baselineFile(result)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, JSON.stringify(baseline, null, 1) + '\n')
  process.stdout.write(
    `bench:check: wrote ${path}${result.dirty ? ' (from a checkout with uncommitted changes)' : ''}\n`,
  )
}

function judge(baseline, result) {
  const reason = incomparable(baseline, result)
  if (reason) throw new Incomparable(reason)
  const rows = compare(baseline, result)
  if (rows.length === 0) throw new Incomparable('baseline and result have no ratio in common')
  return rows
}

function print(rows) {
  const lines = rows.map((r) => [
    `${r.ours} over ${r.peer}`,
    metricName(r.metric),
    `${r.then.toFixed(2)}x`,
    `${r.now.toFixed(2)}x`,
    `${r.change < 0 ? '' : '+'}${(100 * r.change).toFixed(0)} %`,
    `${(-100 * r.tolerance).toFixed(0)} %`,
    r.backwards ? 'backwards' : -r.change > r.tolerance ? 'uncertain' : '',
  ])
  process.stdout.write(table(['ratio', 'of', 'baseline', 'now', 'change', 'tolerated', ''], lines) + '\n')
}

function main() {
  const options = parseOptions(
    process.argv.slice(2),
    OPTIONS,
    'node bench/check.mjs [options]   fails when embedcore lost ground against its peers',
  )
  if (options.write) return write(options)
  listOf(
    'peers',
    options.peers,
    PEERS.map((p) => p.id),
  )
  if (options['model-path'] && !process.argv.some((argument) => /^--model(=|$)/.test(argument)))
    options.model = 'minilm'
  const rounds = positive('rounds', options.rounds)
  if (options.result) return finish([checkPart(readJson('result', options.result), options, null)])
  const parts = options.parts
    ? listOf('parts', options.parts, PARTS)
    : PARTS.filter((part) => part !== 'train' || isTrained(options.model))
  listOf('cases', options.cases, Object.keys(CASES))
  finish(
    parts.map((part) => {
      try {
        return checkPart(measure(part, options, rounds), options, () => measure(part, options, 2 * rounds))
      } catch (error) {
        // The other parts may be comparable.
        if (!(error instanceof Incomparable)) throw error
        process.stderr.write(`bench:check: ${part}: ${error.message}\n`)
        return 2
      }
    }),
  )
}

/** A loss of any part counts more than a part that could not be compared. */
function finish(codes) {
  process.exitCode = codes.includes(1) ? 1 : Math.max(...codes)
}

/** Compares a result with its baseline. again(): measures once more, null = it is not measured here. */
function checkPart(result, options, again) {
  const baseline = loadBaseline(options, result)
  if (!baseline) return withoutBaseline(result)
  let rows = judge(baseline, result)
  if (again && rows.some((r) => r.backwards)) {
    // A short run on a busy machine may be wrong, so a loss counts only if a second, longer run confirms it.
    process.stderr.write('bench:check: something looks slower; measuring again, twice as long\n')
    const key = (r) => [r.ours, r.peer, r.metric].join()
    const suspects = new Set(rows.filter((r) => r.backwards).map(key))
    rows = judge(baseline, again()).map((r) => ({ ...r, backwards: r.backwards && suspects.has(key(r)) }))
  }
  print(rows)
  const backwards = rows.filter((r) => r.backwards)
  for (const row of backwards) process.stdout.write(`bench:check: ${sentence(row)}\n`)
  if (backwards.length === 0)
    process.stdout.write(
      `bench:check: ${rows.length} ratios held against ` +
        `${baseline.commit?.slice(0, 9) ?? baseline.version} of ${baseline.date.slice(0, 10)}\n`,
    )
  return backwards.length > 0 ? 1 : 0
}

try {
  main()
} catch (error) {
  const expected = error instanceof UsageError || error instanceof Incomparable
  process.stderr.write(`bench:check: ${expected ? error.message : error.stack}\n`)
  process.exitCode = 2
}
