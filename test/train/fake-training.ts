/**
 * A trainer of a few numbers in place of the addon's, for tests of options, checkpoints, aborts and faults. Its
 * arithmetic depends on tokens, draws, rates and the order of calls, so that a run that differs anywhere ends
 * elsewhere.
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { EmbedCoreError } from '../../src/core/errors.js'
import type {
  RawOptimizer,
  RawParameter,
  RawStep,
  RawStepResult,
  RawTrainer,
  RawTrainerOptions,
  RawTraining,
} from '../../src/core/training-binding.js'

const WIDTH = 16
const COUNT = 8

export interface Faults {
  /** The loss of the batch with this number is not finite. */
  nonFiniteAt?: number
  /** Writing the state of a run fails from the n-th time on, counted from 0. */
  writeFailsFrom?: number
  /** Called before the average is put in the place of the weights. */
  onAverage?: () => void
  /** Called before each batch. */
  onBatch?: (draw: number) => void
}

/** What tests look at. */
export interface Seen {
  options: RawTrainerOptions | null
  steps: RawStep[]
  rates: number[]
  factors: number[]
  values: number[]
  cleared: number
  disposed: number
  underWay: number
  /** Whether each call of useAverage put the average in. */
  averaged: boolean[]
}

export function fakeTraining(faults: Faults = {}): { training: () => RawTraining; seen: Seen } {
  const seen: Seen = {
    options: null,
    steps: [],
    rates: [],
    factors: [],
    values: [],
    cleared: 0,
    disposed: 0,
    underWay: 0,
    averaged: [],
  }
  const training: RawTraining = {
    parameters: () => parameters(),
    stepBytes: () => ({
      embedded: 80,
      sums: [72, 72],
      rest: [500, 500],
      scratch: 900,
      shared: 500,
      forward: 800,
      slabTokens: 64,
    }),
    trainer: (options, done) => {
      seen.options = options
      setImmediate(() => done(null, new FakeTrainer(options, faults, seen)))
      return { abort: () => undefined }
    },
  }
  return { training: () => training, seen }
}

function parameters(): RawParameter[] {
  const layer = (i: number): RawParameter[] => [
    { name: `encoder.layer.${i}.attention.self.query.weight`, shape: [WIDTH, WIDTH] },
    { name: `encoder.layer.${i}.attention.self.key.weight`, shape: [WIDTH, WIDTH] },
    { name: `encoder.layer.${i}.attention.self.value.weight`, shape: [WIDTH, WIDTH] },
    { name: `encoder.layer.${i}.attention.self.query.bias`, shape: [WIDTH] },
    { name: `encoder.layer.${i}.output.dense.weight`, shape: [WIDTH, 4 * WIDTH] },
  ]
  return [
    { name: 'embeddings.word_embeddings.weight', shape: [100, WIDTH] },
    { name: 'embeddings.LayerNorm.weight', shape: [WIDTH] },
    ...layer(0),
    ...layer(1),
  ]
}

class FakeTrainer implements RawTrainer {
  readonly maxTokens = 64
  readonly dimension: number
  private values = Array.from({ length: COUNT }, (_, i) => 1 + i / 10)
  private moments = new Array<number>(COUNT).fill(0)
  private gradients = new Array<number>(COUNT).fill(0)
  private average = [...this.values]
  private decay = 0
  private averaged = false
  private aborted = false
  private written = 0

  constructor(
    private readonly options: RawTrainerOptions,
    private readonly faults: Faults,
    private readonly seen: Seen,
  ) {
    const dense = options.modules.findLast(({ type }) => type === 'dense')
    this.dimension = dense?.type === 'dense' ? dense.outFeatures : WIDTH * options.plan.pooling.length
  }

  parameters(block: 'encoder' | 'head') {
    if (block === 'head') return []
    let offset = 0
    const trained = this.options.trains
    const lora = this.options.lora.flatMap(({ module, rank }) => [
      { name: `${module}.lora_A.weight`, shape: [rank, WIDTH] },
      { name: `${module}.lora_B.weight`, shape: [WIDTH, rank] },
    ])
    const own = parameters().filter(({ name }) => trained === null || trained.includes(name))
    return [...own, ...lora].map((parameter) => {
      const begin = offset
      offset += parameter.shape.reduce((product, size) => product * size, 1)
      return { ...parameter, offset: begin }
    })
  }

  setOptimizer({ averageDecay }: RawOptimizer) {
    this.decay = averageDecay
  }

  accumulate(step: RawStep, done: (error: Error | null, result?: RawStepResult) => void) {
    this.begin(() => {
      this.seen.steps.push(step)
      let loss = 0
      for (const [i, id] of step.ids.entries()) {
        const at = (id + i) % COUNT
        this.gradients[at]! += Math.sin(id + step.draw + 1) * this.values[at]!
        loss += Math.cos(id) ** 2 * this.values[at]! ** 2
      }
      loss /= step.ids.length
      // An abort leaves gradients behind, as the native one may.
      if (this.aborted) return done(new EmbedCoreError('ERR_EMBEDCORE_ABORTED', 'the training step was aborted'))
      if (step.draw === this.faults.nonFiniteAt)
        return done(new EmbedCoreError('ERR_EMBEDCORE_NON_FINITE', 'the loss Fake is nan (rows 0, 2)'))
      const parts = this.options.losses.map(({ name, weight }) => ({ name, weight, value: loss }))
      done(null, { loss, parts, tokens: step.ids.length })
    })
    this.faults.onBatch?.(step.draw)
  }

  update(rate: number, factor: number, done: (error: Error | null, norm?: number) => void) {
    this.begin(() => {
      this.seen.rates.push(rate)
      this.seen.factors.push(factor)
      let squares = 0
      for (let i = 0; i < COUNT; i++) {
        const gradient = this.gradients[i]! * factor
        squares += gradient ** 2
        this.moments[i] = 0.9 * this.moments[i]! + 0.1 * gradient
        this.values[i]! -= rate * this.moments[i]!
        this.average[i] = this.decay * this.average[i]! + (1 - this.decay) * this.values[i]!
      }
      this.gradients.fill(0)
      this.seen.values = [...this.values]
      done(null, Math.sqrt(squares))
    })
  }

  clearGradients(done: (error: Error | null) => void) {
    this.begin(() => {
      this.gradients.fill(0)
      this.seen.cleared++
      done(null)
    })
  }

  useAverage(use: boolean, done: (error: Error | null) => void) {
    if (use) this.faults.onAverage?.()
    this.begin(() => {
      if (use === this.averaged) return done(new Error('the average is where it was'))
      this.averaged = use
      this.seen.averaged.push(use)
      ;[this.values, this.average] = [this.average, this.values]
      done(null)
    })
  }

  encode(texts: { ids: Int32Array; offsets: Int32Array }, rows: Float32Array, done: (error: Error | null) => void) {
    this.begin(() => {
      if (this.aborted) return done(new EmbedCoreError('ERR_EMBEDCORE_ABORTED', 'the call was aborted'))
      for (let t = 0; t + 1 < texts.offsets.length; t++)
        for (let i = texts.offsets[t]!; i < texts.offsets[t + 1]!; i++)
          for (let d = 0; d < this.dimension; d++)
            rows[t * this.dimension + d]! += Math.sin(texts.ids[i]! * (d + 1)) * this.values[d % COUNT]!
      done(null)
    })
  }

  scales() {
    return []
  }

  save(options: Parameters<RawTrainer['save']>[0], done: (error: Error | null) => void) {
    this.begin(() => {
      if (options.withRest) copyFileSync(path.join(this.options.directory, 'model.safetensors'), options.path)
      else writeFileSync(options.path, JSON.stringify({ tensors: options.tensors.map(({ as }) => as) }))
      done(null)
    })
  }

  writeState(file: string, done: (error: Error | null) => void) {
    this.begin(() => {
      if (this.written++ >= (this.faults.writeFailsFrom ?? Infinity)) {
        writeFileSync(file, 'half a')
        return done(new EmbedCoreError('ERR_EMBEDCORE_WRITE_FAILED', `Cannot write ${file}: no space left on device`))
      }
      if (this.averaged) return done(new Error('the state was written with the average in the place of the weights'))
      writeFileSync(file, JSON.stringify({ values: this.values, moments: this.moments, average: this.average }))
      done(null)
    })
  }

  readState(file: string, done: (error: Error | null) => void) {
    this.begin(() => {
      const state = JSON.parse(readFileSync(file, 'utf8')) as Record<'values' | 'moments' | 'average', number[]>
      this.values = state.values
      this.moments = state.moments
      this.average = state.average
      this.seen.values = [...this.values]
      done(null)
    })
  }

  memory() {
    return { weights: 0, activations: 0 }
  }

  abort() {
    this.aborted = true
  }

  dispose(done?: (error: Error | null) => void) {
    this.seen.disposed++
    setImmediate(() => done?.(null))
  }

  /** One call at a time, as the native trainer demands. */
  private begin(work: () => void) {
    if (this.seen.underWay > 0) throw new Error('a call is under way')
    this.seen.underWay++
    this.aborted = false
    setTimeout(() => {
      this.seen.underWay--
      work()
    }, 1)
  }
}
