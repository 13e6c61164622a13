/** Runs on a small trainer: steps, resumption, aborts, faults. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { EmbedCoreError } from '../../src/core/errors.js'
import { startTraining } from '../../src/train/train.js'
import type { TrainingEvent, TrainOptions } from '../../src/train/types.js'
import { GOLDEN } from '../support/golden.js'
import { type Faults, fakeTraining } from './fake-training.js'

const MODEL = path.join(GOLDEN, 'stack/mean-normalize')
const WORDS = ['quick', 'brown', 'fox', 'lazy', 'dog', 'captain', 'harbour', 'phone']
const word = (i: number): string => `${WORDS[i % 8]} ${WORDS[(i * 3 + 1) % 8]} ${WORDS[(i * 5 + 2) % 8]}`
const PAIRS = Array.from({ length: 50 }, (_, i) => ({ anchor: `${word(i)} ${i}`, positive: `${word(i + 9)} ${i}` }))
const DEV = Array.from({ length: 12 }, (_, i) => ({ sentence1: word(i), sentence2: word(i + 4), score: (i * 7) % 5 }))

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-run-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let number = 0
let output = ''
beforeEach(() => {
  output = path.join(root, `run-${number++}`)
})

const base = (): TrainOptions => ({ model: MODEL, data: PAIRS, output, batchSize: 8, epochs: 2, learningRate: 0.01 })

async function runOf(options: Partial<TrainOptions> = {}, faults: Faults = {}) {
  const { training, seen } = fakeTraining(faults)
  const events: TrainingEvent[] = []
  const run = startTraining({ ...base(), ...options }, training)
  for await (const event of run) events.push(event)
  return { result: await run, events, seen }
}

const failure = async (options: Partial<TrainOptions>, faults: Faults = {}): Promise<EmbedCoreError> => {
  const error: unknown = await startTraining({ ...base(), ...options }, fakeTraining(faults).training).catch(
    (caught: unknown) => caught,
  )
  expect(error).toBeInstanceOf(EmbedCoreError)
  return error as EmbedCoreError
}

const stepsOf = (events: readonly TrainingEvent[]) =>
  events.filter((event) => event.type === 'step').map(({ step, loss, learningRate }) => ({ step, loss, learningRate }))

describe('a run', () => {
  test('makes the steps of its epochs, with the rates of the schedule', async () => {
    const { result, events, seen } = await runOf()
    expect(result).toMatchObject({ steps: 14, epochs: 2, stopped: 'end', metrics: null, best: null, badRows: 0 })
    const steps = events.filter((event) => event.type === 'step')
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 14 }, (_, i) => i + 1))
    // transformers' linear schedule: ceil(0.1 * 14) = 2 updates of warm-up from 0, then 12 down to 0.
    const rates = Array.from({ length: 14 }, (_, step) => 0.01 * (step < 2 ? step / 2 : (14 - step) / 12))
    expect(steps.map(({ learningRate }) => learningRate)).toEqual(rates)
    expect(seen.rates).toEqual(rates)
    expect(seen.steps.map(({ draw }) => draw)).toEqual(Array.from({ length: 14 }, (_, i) => i))
    expect(steps.map(({ rows }) => rows)).toEqual([8, 8, 8, 8, 8, 8, 2, 8, 8, 8, 8, 8, 8, 2])
    expect(steps.at(-1)!.epoch).toBe(2)
    expect([seen.disposed, seen.underWay]).toEqual([1, 0])
    expect(events[0]).toMatchObject({ type: 'begin', step: 0, plan: { steps: 14, warmupSteps: 2, stepsPerEpoch: 7 } })
    expect(events.at(-1)).toEqual({ type: 'saved', step: 14, directory: output })
  })

  test('averages the gradients of accumulated batches, and never those of two epochs', async () => {
    const { result, seen } = await runOf({ gradientAccumulation: 3 })
    expect(result.steps).toBe(6)
    expect(seen.factors).toEqual([1 / 3, 1 / 3, 1, 1 / 3, 1 / 3, 1])
    expect(seen.steps.map(({ draw }) => draw)).toEqual(Array.from({ length: 14 }, (_, i) => i))
  })

  test('ends after maxSteps, however many epochs that takes', async () => {
    const { result } = await runOf({ epochs: undefined, maxSteps: 9 })
    expect(result).toMatchObject({ steps: 9 })
    expect(result.epochs).toBeCloseTo(1 + 2 / 7, 9)
  })

  test('has the same bits each time', async () => {
    const first = await runOf()
    output += '-again'
    const second = await runOf()
    expect(stepsOf(second.events)).toEqual(stepsOf(first.events))
    expect(second.seen.values).toEqual(first.seen.values)
  })

  test('gives its events to several readers, and goes on when one leaves', async () => {
    const run = startTraining(base(), fakeTraining().training)
    const all: string[] = []
    const reading = (async () => {
      for await (const { type } of run) all.push(type)
    })()
    for await (const { type } of run) if (type === 'step') break
    const { steps } = await run
    await reading
    expect(all.filter((type) => type === 'step')).toHaveLength(steps)
  })

  test('writes a log and a report', async () => {
    const { events } = await runOf({ evaluator: { task: 'sts', data: DEV } })
    const lines = readFileSync(path.join(output, 'log.jsonl'), 'utf8').trim().split('\n')
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(JSON.parse(JSON.stringify(events)))
    const report = readFileSync(path.join(output, 'report.html'), 'utf8')
    expect(report).toContain('spearman_cosine')
    expect(report.match(/<svg /g)!.length).toBeGreaterThanOrEqual(5)
    expect(report).not.toMatch(/NaN|undefined|https?:/)
  })

  test('without logs writes the model alone', async () => {
    await runOf({ logs: false })
    expect(readdirSync(output).filter((name) => /log|report|checkpoint|unfinished/.test(name))).toEqual([])
  })
})

describe('evaluation', () => {
  const evaluator = { task: 'sts' as const, data: DEV, name: 'dev' }

  test('comes before the first step, every evalSteps and at the end', async () => {
    const { events, result } = await runOf({ evaluator, evalSteps: 5 })
    const evaluations = events.filter((event) => event.type === 'evaluation')
    expect(evaluations.map(({ step }) => step)).toEqual([0, 5, 10, 14])
    expect(result.metrics).toEqual(evaluations.at(-1)!.metrics)
    expect(Object.keys(result.metrics!)).toContain('dev_spearman_cosine')
  })

  test('stands at the ends of epochs by default', async () => {
    const { events } = await runOf({ evaluator })
    expect(events.filter((event) => event.type === 'evaluation').map(({ step }) => step)).toEqual([0, 7, 14])
  })

  test('keeps the best weights and stops early', async () => {
    const { events, result, seen } = await runOf({
      evaluator,
      evalSteps: 1,
      epochs: 4,
      learningRate: 0.3,
      keepBest: true,
      keep: 1,
      earlyStopping: { patience: 3 },
    })
    const evaluations = events.filter((event) => event.type === 'evaluation')
    const scores = evaluations.map(({ score }) => score)
    const best = scores.indexOf(Math.max(...scores))
    expect(result).toMatchObject({ stopped: 'early', best: { step: best, score: scores[best]! } })
    expect(evaluations.at(-1)!.step).toBe(best + 3)
    expect(result.metrics).toEqual(evaluations[best]!.metrics)
    // The trainer has the weights of the best step again.
    const state = JSON.parse(readFileSync(path.join(output, `checkpoint-${best}/trainer.safetensors`), 'utf8')) as {
      values: number[]
    }
    expect(seen.values).toEqual(state.values)
  })

  test('judges the average where the run keeps one, and trains on with the last weights', async () => {
    const options = { evaluator, evalSteps: 5 }
    const plain = await runOf(options)
    output += '-average'
    const { events, seen } = await runOf({ ...options, averageDecay: 0.9 })
    expect(seen.averaged).toEqual([true, false, true, false, true, false, true, false])
    expect(stepsOf(events)).toEqual(stepsOf(plain.events))
    expect(seen.values).toEqual(plain.seen.values)
    const metrics = (all: readonly TrainingEvent[]) =>
      all.filter((event) => event.type === 'evaluation').map((event) => event.metrics['dev_pearson_cosine']!)
    expect(metrics(events)[0]).toBe(metrics(plain.events)[0])
    expect(metrics(events).at(-1)).not.toBe(metrics(plain.events).at(-1))
  })

  test('an abort while the average is judged leaves the last weights in the checkpoint', async () => {
    const options = { evaluator, evalSteps: 6, averageDecay: 0.9 }
    const whole = await runOf(options)
    output += '-parts'
    const { training, seen } = fakeTraining({ onAverage: () => seen.averaged.length === 2 && run.abort() })
    const run = startTraining({ ...base(), ...options }, training)
    await expect(run).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    expect(seen.averaged).toEqual([true, false, true, false])
    const second = await runOf({ ...options, resume: true })
    expect(second.events[0]).toMatchObject({ type: 'begin', step: 6 })
    expect(second.seen.values).toEqual(whole.seen.values)
    expect(second.result.metrics).toEqual(whole.result.metrics)
  })

  test('refuses a metric that the evaluators do not have, before the first step', async () => {
    const error = await failure({ evaluator, keepBest: 'dev_map' })
    expect(error.code).toBe('ERR_EMBEDCORE_INVALID_OPTION')
    expect(error.message).toContain('dev_spearman_cosine')
    expect(error.message).toContain('"dev_map"')
  })
})

describe('checkpoints', () => {
  test('are written every saveSteps, and the newest are kept', async () => {
    const { events } = await runOf({ saveSteps: 4, keep: 2 })
    expect(events.filter(({ type }) => type === 'checkpoint').map((event) => 'step' in event && event.step)).toEqual([
      4, 8, 12,
    ])
    expect(readdirSync(output).filter((name) => name.startsWith('checkpoint-'))).toEqual([
      'checkpoint-12',
      'checkpoint-8',
    ])
    expect(readdirSync(output).some((name) => name.startsWith('.'))).toBe(false)
  })

  test.each([1, 4, 7, 8, 13])('after an abort in step %i the run goes on with the same bits', async (at) => {
    const evaluator = { task: 'sts' as const, data: DEV }
    const options = { evaluator, evalSteps: 4, saveSteps: 3, gradientAccumulation: 1 }
    const whole = await runOf(options)
    output += '-parts'
    const stop = new AbortController()
    const first: TrainingEvent[] = []
    const run = startTraining(
      { ...base(), ...options, signal: stop.signal },
      fakeTraining({ onBatch: (draw) => draw === at && stop.abort(new Error('enough')) }).training,
    )
    const error: unknown = await (async () => {
      for await (const event of run) first.push(event)
    })().catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED', name: 'AbortError' })
    expect((error as EmbedCoreError).message).toContain(`after step ${at}`)
    const second = await runOf({ ...options, resume: true })
    expect(second.events[0]).toMatchObject({ type: 'begin', step: at })
    expect([...stepsOf(first), ...stepsOf(second.events)]).toEqual(stepsOf(whole.events))
    expect(second.seen.values).toEqual(whole.seen.values)
    expect(second.result.metrics).toEqual(whole.result.metrics)
    expect(second.result.tokens).toBe(whole.result.tokens)
    const logged = readFileSync(path.join(output, 'log.jsonl'), 'utf8').trim().split('\n')
    const events = logged.map((line) => JSON.parse(line) as TrainingEvent)
    expect(stepsOf(events)).toEqual(stepsOf(whole.events))
  })

  test('an abort among accumulated batches drops their gradients', async () => {
    const options = { gradientAccumulation: 3, saveSteps: 0 }
    const whole = await runOf(options)
    output += '-parts'
    const { training, seen } = fakeTraining({ onBatch: (draw) => draw === 4 && run.abort() })
    const run = startTraining({ ...base(), ...options }, training)
    await expect(run).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    expect(seen.cleared).toBe(1)
    const second = await runOf({ ...options, resume: true })
    expect(second.events[0]).toMatchObject({ step: 1 })
    expect(second.seen.values).toEqual(whole.seen.values)
  })

  test('an abort during an evaluation makes it again', async () => {
    const evaluator = { task: 'sts' as const, data: DEV }
    const whole = await runOf({ evaluator, evalSteps: 6 })
    output += '-parts'
    const run = startTraining({ ...base(), evaluator, evalSteps: 6 }, fakeTraining().training)
    for await (const event of run) {
      if (event.type !== 'step' || event.step !== 6) continue
      run.abort()
      break
    }
    await expect(run).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    const second = await runOf({ evaluator, evalSteps: 6, resume: true })
    const scores = (events: readonly TrainingEvent[]) =>
      events.filter((event) => event.type === 'evaluation').map(({ step, score }) => [step, score])
    expect(scores(second.events)).toEqual(scores(whole.events).slice(1))
  })

  test('a signal that is aborted already does nothing', async () => {
    const error = await failure({ signal: AbortSignal.abort() })
    expect(error.code).toBe('ERR_EMBEDCORE_ABORTED')
    expect(existsSync(output)).toBe(false)
  })

  test('of other options, or none, are refused by what differs', async () => {
    await runOf({ saveSteps: 4 })
    const error = await failure({ saveSteps: 4, resume: true, batchSize: 4 })
    expect(error.code).toBe('ERR_EMBEDCORE_INVALID_OPTION')
    expect(error.message).toMatch(/batchSize is "4" and was "8"/)
    expect((await failure({ resume: path.join(output, 'checkpoint-5') })).code).toBe('ERR_EMBEDCORE_NOT_FOUND')
    writeFileSync(path.join(output, 'checkpoint-12/state.json'), '{"version":1,')
    expect((await failure({ resume: true })).code).toBe('ERR_EMBEDCORE_INVALID_FILE')
    const other = [...PAIRS, PAIRS[0]!]
    expect((await failure({ resume: path.join(output, 'checkpoint-8'), data: other })).code).toBe(
      'ERR_EMBEDCORE_INVALID_OPTION',
    )
  })

  test('resume without a checkpoint begins the run', async () => {
    expect((await runOf({ resume: true })).events[0]).toMatchObject({ type: 'begin', step: 0 })
  })

  test('what a killed process left unfinished is not taken for one', async () => {
    await runOf({ saveSteps: 4 })
    const half = path.join(output, '.unfinished-checkpoint-13')
    mkdirSync(half)
    writeFileSync(path.join(half, 'trainer.safetensors'), 'half')
    expect((await runOf({ saveSteps: 4, resume: true })).events[0]).toMatchObject({ step: 12 })
    expect(existsSync(half)).toBe(false)
  })

  test('a disk that is full ends the run; the checkpoint before is whole', async () => {
    const error = await failure({ saveSteps: 3 }, { writeFailsFrom: 2 })
    expect(error.code).toBe('ERR_EMBEDCORE_WRITE_FAILED')
    expect(readdirSync(output).filter((name) => /checkpoint/.test(name))).toEqual(['checkpoint-3', 'checkpoint-6'])
    expect((await runOf({ saveSteps: 3, resume: true })).events[0]).toMatchObject({ step: 6 })
  })
})

describe('faults', () => {
  test('a loss that is not finite names the step and its rows, and leaves the checkpoint', async () => {
    const error = await failure({ saveSteps: 4, sampler: 'sequential' }, { nonFiniteAt: 5 })
    expect(error.code).toBe('ERR_EMBEDCORE_NON_FINITE')
    expect(error.message).toMatch(/^Step 6 failed: the loss Fake is nan .*rows rows\[40\], rows\[42\]/)
    expect(readdirSync(output)).toContain('checkpoint-4')
    expect(existsSync(path.join(output, 'modules.json'))).toBe(false)
  })

  test('an output that holds other things is refused, and replaced when asked', async () => {
    await runOf()
    const error = await failure({})
    expect(error.code).toBe('ERR_EMBEDCORE_INVALID_OPTION')
    expect(error.message).toContain('overwrite')
    writeFileSync(path.join(output, 'notes.txt'), 'mine')
    await runOf({ overwrite: true })
    expect(readdirSync(output)).toContain('notes.txt')
  })

  test('the directory of the model is not written to', async () => {
    const model = path.join(root, 'model')
    cpSync(MODEL, model, { recursive: true })
    const error = await failure({ model, output: path.join(model, '../model'), overwrite: true })
    expect(error.message).toMatch(/^Expected another directory than that of the model for output/)
    expect(readdirSync(model)).toEqual(readdirSync(MODEL))
  })

  test('the error reaches whoever awaits and whoever iterates', async () => {
    const run = startTraining({ ...base(), epochs: 0 }, fakeTraining().training)
    const iterated = (async () => {
      for await (const event of run) void event
    })()
    await expect(iterated).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_OPTION' })
    await expect(run).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_OPTION' })
  })
})
