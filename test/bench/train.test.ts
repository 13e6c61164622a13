/** The bench of training: a whole run with a small model, and how its figures are made and compared. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { ROOT } from '../support/golden.js'

const bench = (file: string) => import(pathToFileURL(join(ROOT, 'bench', file)).href)
const { makeRandomModel } = await bench('models/random_model.mjs')
const { makeTokenizer } = await bench('models/made_tokenizer.mjs')
const { MODELS } = await bench('lib/specs.mjs')
const { trainingFlops } = await bench('lib/flops.mjs')
const { baselineFile, baselineOf, compare, incomparable } = await bench('lib/baseline.mjs')
const { reportTrain } = await bench('lib/report-train.mjs')
const { buildResult } = await bench('train/result.mjs')
const { float32OverTheirs } = await bench('train/targets.mjs')
const { ROWS } = await bench('train/cases.mjs')

const folder = mkdtempSync(join(tmpdir(), 'embedcore-bench-train-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

interface Ended {
  code: number
  stdout: string
  stderr: string
}

/** Runs the bench without a Python and without a compiler, whose absence must not matter. */
function runBench(...args: string[]): Promise<Ended> {
  const env = { ...process.env, CXX: join(folder, 'no-compiler'), EMBEDCORE_BENCH_PYTHON: '' }
  return new Promise((resolve) => {
    execFile(process.execPath, [join(ROOT, 'bench/train.mjs'), ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    )
  })
}

test('a short run measures embedcore and says what was left out', async () => {
  const directory = join(folder, 'model')
  const spec = MODELS['minilm-shape']
  // The shape of MiniLM except for its width and depth, because the test is not about speed.
  const shape = { ...spec.shape, hidden_size: 48, num_hidden_layers: 1, intermediate_size: 96 }
  makeRandomModel(directory, { ...spec, shape }, 7)
  makeTokenizer(directory, shape.vocab_size, 7)
  const out = join(folder, 'result.json')
  const peers = 'embedcore,embedcore-lora,sentence-transformers'
  const quick = ['--cases', 'uniform', '--dtypes', 'float32', '--rounds', '1', '--peers', peers]
  const { code, stdout, stderr } = await runBench('--model-path', directory, ...quick, '--out', out)
  expect(stderr).toContain(`wrote ${out}`)
  expect(code).toBe(0)

  const result = JSON.parse(readFileSync(out, 'utf8'))
  expect(result).toMatchObject({ bench: 'train', peak: null, settings: { cells: ['uniform/float32'], rounds: 1 } })
  expect(result.texts.batches.uniform).toMatchObject({ tokens: 2048, shortest: 32, longest: 32 })
  const [full, lora, theirs] = result.peers
  for (const peer of [full, lora]) {
    const figures = peer.cases.uniform
    expect(peer).toMatchObject({ status: 'ranked', ours: true })
    expect(figures.gradientSeconds.median).toBeGreaterThan(0)
    expect(figures.updateSeconds.median).toBeGreaterThan(0)
    // Medians of three steps, so their sum may be a little more than that of a step.
    expect(figures.gradientSeconds.median).toBeLessThan(figures.stepSeconds.max * 1.001)
    expect(figures.peakRssBytes).toBeGreaterThan(10e6)
    expect(figures.eventLoopDelayP99Ms).toBeGreaterThan(0)
    expect(figures.shareOfPeak).toBeNull()
  }
  expect(theirs).toMatchObject({ id: 'sentence-transformers', status: 'skipped' })
  expect(result.ratios['embedcore-lora'].embedcore.uniform.median).toBeCloseTo(
    full.cases.uniform.stepSeconds.median / lora.cases.uniform.stepSeconds.median,
  )
  expect(stdout).toMatch(/^ {2}embedcore-lora +[\d,.]+ +[\d,.]+ - [\d,.]+ +1 /m)
  expect(stdout).toMatch(/embedcore-lora: step over embedcore +uniform +[\d.]+ +at most 0\.750 +(pass|FAIL)/)
  expect(stdout).toMatch(/not ranked\n {2}sentence-transformers: skipped: --python adds it/)
  expect(stdout).toMatch(/measured peak: none/)
}, 120_000) // It starts five processes, which load the package and a model each.

test('unknown names are refused', async () => {
  for (const [option, known] of [
    ['--cases', 'uniform, mixed, cached'],
    ['--dtypes', 'float32, bfloat16'],
    ['--model', 'minilm, minilm-shape, bert-base'],
  ] as const) {
    const { code, stderr } = await runBench(option, 'nothing')
    expect(stderr).toContain(`${option} takes some of ${known}, not "nothing"`)
    expect(code).toBe(2)
  }
})

const config = { ...MODELS['minilm-shape'].shape }

test('operations: three products for each linear layer, with LoRA two and the thin ones', () => {
  // MiniLM has 6 layers with 4 * 384 * 384 + 2 * 384 * 1536 weights each.
  const linear = 2 * 6 * (4 * 384 * 384 + 2 * 384 * 1536)
  const attention = 4 * 6 * 384 * (32 * 32 + 8 * 8)
  expect(trainingFlops(config, [32, 8], null)).toBe(3 * (40 * linear + attention))
  // A layer of m x n has factors of m x 16 and 16 x n.
  const thin = 2 * 6 * 16 * (4 * (384 + 384) + 2 * (384 + 1536))
  expect(trainingFlops(config, [32, 8], { rank: 16 })).toBe(40 * (2 * linear + 3 * thin) + 3 * attention)
})

test('the target of float32 depends on the processor', () => {
  const of = (family: string, modelNumber: string) => float32OverTheirs({ family, modelNumber })
  expect([of('25', '17'), of('25', '97'), of('25', '1'), of('26', '2'), of('6', '85')]).toEqual([
    0.65,
    0.65,
    null,
    0.4,
    null,
  ])
})

describe('from measurements to ratios', () => {
  const step = (seconds: number) => ({
    seconds,
    tokens: 64,
    gradients: { seconds: 0.8 * seconds, cpuSeconds: 1.5 * seconds },
    update: { seconds: 0.1 * seconds, cpuSeconds: 0.1 * seconds },
  })
  const tokens = Array(4).fill(16)
  const flops = trainingFlops(config, tokens, null)

  interface Measured {
    id: string
    times: (number | null)[]
    memory?: number
    status?: string
  }

  /** A result of the case `uniform` in which a row took `times` in its rounds; null = not measured in that round. */
  function result(rows: Measured[]) {
    const entries = rows.map(({ id, times, memory = 1e9, status = 'loaded' }) => ({
      id,
      row: ROWS.find((row: { id: string }) => row.id === id),
      status,
      reason: 'its process ended',
      version: '1',
      rounds: times.map((seconds) =>
        seconds === null
          ? undefined
          : {
              steps: [step(seconds), step(seconds), step(2 * seconds)],
              peak: 10 * flops,
              peaks: [],
              peakRssBytes: memory,
              eventLoopDelayP99Ms: 3,
            },
      ),
    }))
    return buildResult({
      groups: [{ name: 'uniform', dtype: 'float32', entries }],
      context: {
        model: { config },
        modelName: 'minilm-shape',
        pairs: { source: '', seed: 1, sha256: { uniform: 'a' }, sets: { uniform: [{ pairs: [], tokens }] } },
        threads: 2,
        rounds: 3,
        limit: 30,
        meter: {},
      },
      machine: { device: 'test-2t', cpu: 'test', isa: [], node: 'v20', family: '25', modelNumber: '17' },
      commit: { version: '1', commit: 'c', dirty: false },
      peak: null,
      date: new Date(0),
    })
  }

  const ours = { id: 'embedcore', times: [1, 2, 3] }
  const theirs = { id: 'sentence-transformers', times: [2, null, 9], memory: 4e9 }

  test('a ratio is of the rounds that both have; a share is of processor time', () => {
    const { peers, ratios, targets } = result([ours, theirs])
    expect(ratios.embedcore['sentence-transformers']).toMatchObject({
      uniform: { rounds: [2, 3], median: 2.5 },
      'memory/uniform': { median: 4 },
    })
    // Three steps of which one takes twice as long: 4 s of steps, 6 processor seconds of two threads.
    expect(peers[0].cases.uniform.shareOfPeak.rounds[0]).toBeCloseTo(3 / (3 * 10))
    expect(peers[0].cases.uniform.shareOfPeakByClock.rounds[0]).toBeCloseTo(3 / (3.2 * 10))
    expect(peers[1].cases.uniform.rounds).toEqual([0, 2])
    const judged = Object.fromEntries(targets.map((t: { figure: string }) => [t.figure, t]))
    expect(judged['step over sentence-transformers']).toMatchObject({ target: { most: 0.65 }, held: true })
    expect(judged['step over sentence-transformers'].value).toBeCloseTo((1 / 2 + 1 / 3) / 2)
    expect(judged['memory over sentence-transformers']).toMatchObject({ value: 0.25, held: true })
    expect(judged['forward and backward, of peak']).toMatchObject({ target: { least: 0.78 }, held: false })
    expect(judged['event loop, p99']).toMatchObject({ value: 3, held: true })
  })

  test('recomputation and LoRA are compared with the row without', () => {
    const { ratios, targets } = result([
      ours,
      { id: 'embedcore-recompute', times: [1.4, 2.8, 4.2], memory: 5e8 },
      { id: 'embedcore-lora', times: [0.7, 1.4, 2.1] },
    ])
    expect(Object.keys(ratios)).toEqual(['embedcore-recompute', 'embedcore-lora'])
    const of = (id: string) =>
      targets.find((t: { of: string; figure: string }) => t.of === id && t.figure === 'step over embedcore')
    expect(of('embedcore-recompute')).toMatchObject({ target: { most: 1.3 }, held: false })
    expect(of('embedcore-lora')).toMatchObject({ target: { most: 0.75 }, held: true })
  })

  test('a row that failed is not ranked and has no ratios', () => {
    const made = result([ours, { ...theirs, status: 'failed' }])
    expect(made.ratios).toEqual({})
    expect(reportTrain(made)).toContain('sentence-transformers: failed: uniform: its process ended')
  })

  test('a baseline notices a slower step and more memory', () => {
    const baseline = baselineOf(result([ours, theirs]))
    expect(baseline.ratios).toEqual({ embedcore: { 'sentence-transformers': { uniform: 2.5, 'memory/uniform': 4 } } })
    const same = result([ours, theirs])
    expect(baselineFile(same)).toMatch(/test-2t-train-minilm-shape\.json$/)
    expect(incomparable(baseline, same)).toBeNull()
    expect(incomparable(baseline, { ...same, bench: undefined })).toMatch(/of the bench train, the result of encode/)
    expect(incomparable(baseline, { ...same, texts: { sha256: { uniform: 'b' } } })).toMatch(/different texts/)
    expect(incomparable(baseline, { ...same, texts: { sha256: { mixed: 'b' } } })).toBeNull()
    const lost = (rows: Measured[]) =>
      compare(baseline, result(rows))
        .filter((row: { backwards: boolean }) => row.backwards)
        .map((row: { metric: string }) => row.metric)
    expect(lost([ours, theirs])).toEqual([])
    expect(lost([{ ...ours, times: [2, 2, 6] }, theirs])).toEqual(['uniform'])
    expect(lost([{ ...ours, memory: 1.3e9 }, theirs])).toEqual(['memory/uniform'])
  })
})
