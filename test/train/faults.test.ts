/** What may go wrong in a run of the addon: a coded error, a checkpoint that serves, and a process that lives on. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { EmbedCoreError } from '../../src/core/errors.js'
import { load, train } from '../../src/index.js'
import { LOSSES, type LossName } from '../../src/train/loss-types.js'
import type { StepEvent, TrainOptions } from '../../src/train/types.js'
import { GOLDEN } from '../support/golden.js'
import { makeModel } from '../support/made-model.mjs'
import { canLimit, ChildRun, limit } from './child.js'

const MODEL = path.join(GOLDEN, 'stack/mean-normalize')
const WORDS = ['quick', 'brown', 'fox', 'lazy', 'dog', 'captain', 'harbour', 'phone']
const text = (i: number): string => `${WORDS[i % 8]} ${WORDS[(3 * i + 1) % 8]} ${WORDS[(5 * i + (i >> 3)) % 8]}`
const pairs = (count: number) => Array.from({ length: count }, (_, i) => ({ anchor: text(i), positive: text(i + 3) }))

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-faults-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let number = 0
let output = ''
beforeEach(() => {
  output = path.join(root, `run-${number++}`)
})

const base = (): TrainOptions => ({
  model: MODEL,
  data: pairs(32),
  output,
  batchSize: 8,
  learningRate: 1e-3,
  sampler: 'sequential',
  threads: 1,
})

const failure = async (options: Partial<TrainOptions>): Promise<EmbedCoreError> => {
  const error: unknown = await train({ ...base(), ...options }).then(
    () => new Error('the run did not fail'),
    (caught: unknown) => caught,
  )
  expect(error).toBeInstanceOf(EmbedCoreError)
  return error as EmbedCoreError
}

const checkpoints = (): string[] => readdirSync(output).filter((name) => /checkpoint/.test(name))

describe('rows', () => {
  test.each<[string, Partial<TrainOptions>, string, RegExp]>([
    ['none', { data: [] }, 'INVALID_DATA', /row/],
    ['none from an iterable', { data: async function* () {}, maxSteps: 3 }, 'INVALID_DATA', /row/],
    ['none that can be used', { data: [{ anchor: 1, positive: 2 }] as never, onBadRow: 'skip' }, 'INVALID_DATA', /row/],
    ['too few for a batch', { dropLast: true, batchSize: 64 }, 'INVALID_OPTION', /at least 64 rows/],
    [
      'labels that are there once',
      { data: pairs(8).map(({ anchor }, label) => ({ sentence: anchor, label })), sampler: undefined },
      'INVALID_DATA',
      /at least two labels with two rows or more/,
    ],
    [
      'a text without a positive',
      { data: [...pairs(8), { anchor: 'fox' }] as never },
      'INVALID_DATA',
      /rows\[8\].*positive/,
    ],
    [
      'a text that the model cannot take',
      { data: [...pairs(9), { anchor: 'fox '.repeat(64), positive: 'dog' }], truncate: false },
      'TEXT_TOO_LONG',
      /rows\[9\]/,
    ],
    ['more tokens than the model takes', { maxTokens: 64 }, 'INVALID_OPTION', /from 1 to 32 .* for maxTokens/],
  ])('%s', async (_, options, code, message) => {
    const error = await failure(options)
    expect([error.code, error.message]).toEqual([`ERR_EMBEDCORE_${code}`, expect.stringMatching(message) as string])
  })

  const scored = pairs(9).map(({ anchor, positive }, i) => ({ sentence1: anchor, sentence2: positive, score: i % 2 }))
  const triplets = pairs(9).map((row, i) => ({ ...row, negative: text(i + 5) }))
  const labelled = pairs(9).map(({ anchor }, i) => ({ sentence: anchor, label: i % 3 }))
  const dataOf = (loss: LossName): object[] => {
    if (/^(CoSENT|AnglE|Contrastive|OnlineContrastive|CosineSimilarity)/.test(loss)) return scored
    if (/^MarginMSE/.test(loss)) return triplets.map((row) => ({ ...row, score: 0.5 }))
    if (/^DistillKLDiv/.test(loss)) return triplets.map((row) => ({ ...row, scores: [0.9, 0.1] }))
    if (loss === 'TripletLoss') return triplets
    return loss.startsWith('Batch') ? labelled : pairs(9)
  }
  test.each([...LOSSES])('one that is left over for the last batch: %s', async (type) => {
    const loss =
      type === 'GISTEmbedLoss'
        ? { type, guide: MODEL }
        : type === 'MSELoss' || type === 'EmbedDistillLoss'
          ? { type, teacher: MODEL }
          : type
    const steps: StepEvent[] = []
    const run = train({ ...base(), data: dataOf(type) as never, loss: loss as never })
    for await (const event of run) if (event.type === 'step') steps.push(event)
    expect(steps.map(({ rows }) => rows)).toEqual([8, 1])
    for (const { loss: value, gradientNorm } of steps) expect([value, gradientNorm].every(Number.isFinite)).toBe(true)
  })
})

describe('numbers that are not finite', () => {
  const spoil = (file: string): void => {
    const bytes = readFileSync(file)
    bytes.writeFloatLE(NaN, 8 + Number(bytes.readBigUInt64LE(0)) + 40)
    writeFileSync(file, bytes)
  }

  test('in a checkpoint are refused, and the one before serves', async () => {
    const whole = await train({ ...base(), output: `${output}-whole` })
    const stop = new AbortController()
    const run = train({ ...base(), saveSteps: 1, keep: 3, signal: stop.signal })
    for await (const event of run) {
      if (event.type !== 'checkpoint' || event.step !== 2) continue
      stop.abort()
      break
    }
    await expect(run).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    const newest = checkpoints().sort().at(-1)!
    spoil(path.join(output, newest, 'trainer.safetensors'))
    const error = await failure({ saveSteps: 1, keep: 3, resume: true })
    expect([error.code, error.message]).toEqual([
      'ERR_EMBEDCORE_NON_FINITE',
      expect.stringContaining(path.join(newest, 'trainer.safetensors')) as string,
    ])
    const again = await train({ ...base(), saveSteps: 1, keep: 3, resume: path.join(output, 'checkpoint-1') })
    expect(again.steps).toBe(whole.steps)
    const weightsOf = (folder: string): Buffer => readFileSync(path.join(folder, 'model.safetensors'))
    expect(weightsOf(output).equals(weightsOf(`${output}-whole`))).toBe(true)
  })

  test('in the weights of the model are refused before the first step', async () => {
    const model = path.join(root, 'spoilt')
    cpSync(MODEL, model, { recursive: true })
    spoil(path.join(model, 'model.safetensors'))
    const error = await failure({ model })
    expect(error.code).toBe('ERR_EMBEDCORE_NON_FINITE')
    expect(error.message).toContain('nan')
  })

  test('that a step comes to end the run at that step', async () => {
    const error = await failure({ learningRate: 1e30, warmup: 0, maxGradNorm: 0, saveSteps: 1, keep: 9 })
    expect(error.code).toBe('ERR_EMBEDCORE_NON_FINITE')
    expect(error.message).toMatch(/^Step [2-4] failed: .*rows rows\[\d+\]/)
    expect(checkpoints().length).toBeGreaterThan(0)
  })
})

describe.skipIf(!canLimit)('of a process (prlimit of util-linux sets its limits)', () => {
  /** As the rows of the process come. */
  const inTurn = (...lists: ReturnType<typeof pairs>[]) =>
    async function* () {
      for (const list of lists) yield* list
    }
  const rest = (run: ChildRun) => run.lines.slice(run.lines.findIndex(({ type }) => type === 'error') + 1)

  test('a disk that is full', { timeout: 180_000 }, async () => {
    const options = { ...base(), maxSteps: 6, saveSteps: 1, keep: 9 }
    const run = new ChildRun({ ...options, more: pairs(40) })
    await run.until(({ type, step }) => type === 'checkpoint' && step === 2)
    limit(run, 'fsize', 1 << 14) // Less than the state of the run.
    run.goOn()
    expect(await run.ended).toBe(0)
    expect([run.errors, run.error]).toEqual(['', expect.objectContaining({ code: 'ERR_EMBEDCORE_WRITE_FAILED' })])
    expect(rest(run)).toEqual([{ type: 'alive', dimension: 16 }])
    expect(checkpoints()).toContain('checkpoint-2')
    expect(checkpoints().filter((name) => name.startsWith('.'))).toEqual([])
    expect(await train({ ...options, data: inTurn(pairs(32), pairs(40)), resume: true })).toMatchObject({ steps: 6 })
  })

  test('no memory for a step', { timeout: 180_000 }, async () => {
    const model = makeModel(path.join(root, 'made'), { layers: 2 })
    const long = Array.from({ length: 256 }, (_, i) => text(i)).join(' ')
    const more = Array.from({ length: 64 }, (_, i) => ({
      anchor: `${text(i)} ${long}`,
      positive: `${long} ${text(i)}`,
    }))
    const options = { ...base(), model, batchSize: 64, maxSteps: 4, saveSteps: 1, data: pairs(192) }
    const run = new ChildRun({ ...options, more })
    await run.until(({ type, step }) => type === 'checkpoint' && step === 2)
    const status = readFileSync(`/proc/${run.pid}/status`, 'utf8')
    const used = 1024 * Number(/^VmSize:\s+(\d+) kB$/m.exec(status)![1])
    limit(run, 'as', used + (256 << 20)) // Of the two gigabytes that the last step needs.
    run.goOn()
    expect(await run.ended).toBe(0)
    expect([run.errors, run.error]).toEqual(['', expect.objectContaining({ code: 'ERR_EMBEDCORE_OUT_OF_MEMORY' })])
    expect(rest(run)).toEqual([{ type: 'alive', dimension: 384 }])
    expect(checkpoints()).toContain('checkpoint-2')
    const data = inTurn(pairs(192), pairs(64))
    expect(await train({ ...options, data, resume: true })).toMatchObject({ steps: 4 })
  })
})

test('a model is loaded and called after all of these', async () => {
  await using model = await load(MODEL)
  const [vector] = await model.encode(['quick fox'])
  expect(vector).toHaveLength(16)
})
