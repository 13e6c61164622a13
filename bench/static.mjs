/**
 * `npm run bench:static`: Word2Vec compared with gensim, fastText and the original C program, at the same threads and
 * settings: seconds from the text file to the trained vectors, and with --quality how good the vectors are. Trainers
 * take turns, each in its own process. README.md explains the columns. Exit codes: 0 measured; 1 a ratio is below its
 * limit, only with --check; 2 wrong use.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describeCommit, describeMachine } from './lib/machine.mjs'
import { listOf, parseOptions, positive, UsageError } from './lib/options.mjs'
import { availableCores } from './lib/package.mjs'
import { CACHE, ROOT } from './lib/paths.mjs'
import { prepareCorpus, QUESTIONS } from './static/corpus.mjs'
import { PEERS } from './static/peers.mjs'
import { buildResult, rowsOf } from './static/result.mjs'

/** Least ratios of speed; the C program has none. */
const LIMITS = { gensim: 2, fasttext: 1 }
const MODELS = { skipgram: { sg: true }, cbow: { sg: false } }
const SETTINGS = { vectorSize: 100, window: 5, negative: 5, sample: 1e-4, minCount: 5, alpha: 0.025 }

const OPTIONS = {
  models: { type: 'string', value: 'A,B', default: Object.keys(MODELS).join(','), help: 'what is trained' },
  peers: { type: 'string', value: 'A,B', default: Object.keys(PEERS).join(','), help: 'with what' },
  tokens: { type: 'string', value: 'N', default: '2000000', help: 'tokens of the corpus; 0 = all' },
  epochs: { type: 'string', value: 'N', default: '2', help: 'passes over it' },
  threads: { type: 'string', value: 'N', help: 'threads of each trainer (default: all cores)' },
  rounds: { type: 'string', value: 'N', default: '3', help: 'turns; the median counts' },
  quality: { type: 'boolean', default: false, help: 'judge the vectors: with --tokens 0 --epochs 5, half an hour' },
  out: { type: 'string', value: 'FILE', help: 'write the JSON result' },
  json: { type: 'boolean', default: false, help: 'print the JSON result instead of tables' },
  check: { type: 'boolean', default: false, help: 'exit with 1 where a ratio is below its limit' },
}

const say = (text) => process.stderr.write(`bench:static: ${text}\n`)

async function judge(file) {
  const { loadStatic } = await import(pathToFileURL(join(ROOT, 'dist', 'index.js')).href)
  const vectors = await loadStatic(file)
  const { accuracy, judged } = await vectors.evaluateAnalogies(QUESTIONS.analogies, { restrictVocab: 30_000 })
  const [ws353, simlex] = [
    await vectors.evaluateWordPairs(QUESTIONS.ws353),
    await vectors.evaluateWordPairs(QUESTIONS.simlex),
  ]
  vectors.dispose()
  return { analogies: accuracy, questions: judged, ws353: ws353.spearman, simlex: simlex.spearman }
}

/** Every trainer in turn, by round. */
async function measure(model, peers, corpus, options, versions) {
  const empty = () => ({ seconds: [], cpuSeconds: [], savedSeconds: [], savedCpuSeconds: [], quality: [] })
  const times = Object.fromEntries(peers.map((name) => [name, empty()]))
  for (let round = 0; round < options.rounds; round++) {
    // Each round begins with another one, so that nobody always runs after the same neighbour.
    for (const name of [...peers.slice(round % peers.length), ...peers.slice(0, round % peers.length)]) {
      say(`${model}, round ${round + 1} of ${options.rounds}: ${name}`)
      const out = join(CACHE, `static-${name}.txt`)
      const settings = { ...SETTINGS, ...MODELS[model], epochs: options.epochs, threads: options.threads }
      const result = await PEERS[name].train({ ...settings, corpus: corpus.path, out, seed: round + 1 })
      const own = times[name]
      own.seconds.push(result.seconds)
      if (result.cpuSeconds !== null) own.cpuSeconds.push(result.cpuSeconds)
      if (result.saved) {
        own.savedSeconds.push(result.saved.seconds)
        own.savedCpuSeconds.push(result.saved.cpuSeconds)
      }
      if (result.version) versions[name] = result.version
      if (options.quality && corpus.real) own.quality.push(await judge(result.vectors ?? out))
    }
  }
  return times
}

const number = (value, digits = 2) => (value === null ? '-' : value.toFixed(digits))

function print(rows) {
  const score = ({ median: middle, min, max }) => `${middle.toFixed(3)} (${min.toFixed(3)} to ${max.toFixed(3)})`
  console.log('model      trainer       seconds   CPU s   words/s   ratio   CPU ratio')
  for (const { model, peer, seconds, cpuSeconds, wordsPerSecond, ratio, cpuRatio } of rows)
    console.log(
      [
        model.padEnd(10),
        peer.padEnd(12),
        number(seconds.median).padStart(8),
        number(cpuSeconds?.median ?? null).padStart(7),
        number(wordsPerSecond / 1000, 0).padStart(8) + 'k',
        number(ratio?.median ?? null).padStart(7),
        number(cpuRatio?.median ?? null).padStart(11),
      ].join(' '),
    )
  for (const { model, peer, quality } of rows.filter((row) => row.quality !== null))
    console.log(
      `${model} ${peer}: analogies ${score(quality.analogies)}, WS-353 ${score(quality.ws353)}, ` +
        `SimLex ${score(quality.simlex)}`,
    )
}

async function main() {
  const values = parseOptions(process.argv.slice(2), OPTIONS, 'npm run bench:static -- [options]')
  const options = {
    models: listOf('models', values.models, Object.keys(MODELS)),
    peers: listOf('peers', values.peers, Object.keys(PEERS)),
    epochs: positive('epochs', values.epochs),
    threads: values.threads === undefined ? await availableCores() : positive('threads', values.threads),
    rounds: positive('rounds', values.rounds),
    quality: values.quality,
  }
  const tokens = positive('tokens', values.tokens, { least: 0 })
  const corpus = prepareCorpus(tokens === 0 ? null : tokens)
  const notRanked = {}
  const peers = options.peers.filter((name) => {
    const why = PEERS[name].why()
    if (why !== null) notRanked[name] = why
    return why === null
  })
  if (peers.length === 0) throw new UsageError(`nothing to measure: ${Object.values(notRanked).join('; ')}`)
  const machine = describeMachine(await availableCores(), options.threads)
  const commit = describeCommit() // of the code that runs, whatever is edited meanwhile
  const [times, versions] = [{}, {}]
  for (const model of options.models) times[model] = await measure(model, peers, corpus, options, versions)
  const saves = peers.filter((name) => PEERS[name].saves)
  const { epochs, threads, rounds } = options
  const result = buildResult({
    rows: rowsOf(times, saves, corpus.tokens * epochs),
    versions: { ...versions, embedcore: commit.version },
    notRanked,
    corpus,
    settings: { ...SETTINGS, epochs, threads, rounds },
    machine,
    commit,
    date: new Date().toISOString(),
  })
  if (values.json) console.log(JSON.stringify(result, null, 2))
  else print(result.rows)
  for (const [name, why] of Object.entries(notRanked)) say(`not ranked: ${name}: ${why}`)
  if (values.out !== undefined) {
    mkdirSync(dirname(values.out), { recursive: true })
    writeFileSync(values.out, `${JSON.stringify(result, null, 2)}\n`)
  }
  if (!values.check) return 0
  const low = result.rows.filter(({ peer, ratio }) => peer in LIMITS && ratio !== null && ratio.median < LIMITS[peer])
  for (const { model, peer, ratio } of low)
    say(`${model}: ${ratio.median.toFixed(2)} times ${peer} is below ${LIMITS[peer].toFixed(1)}`)
  return low.length === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  say(error.message)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
