/**
 * The native trainer with promises. Its calls are made one at a time, in the order in which they were asked for, so
 * that evaluators may ask for several at once.
 */
import { abortError } from '../core/abort.js'
import { toEmbedCoreError } from '../core/errors.js'
import { native } from '../core/native.js'
import type {
  RawBlockName,
  RawOptimizer,
  RawSave,
  RawStep,
  RawStepResult,
  RawTrainedParameter,
  RawTrainer,
  RawTrainerOptions,
  RawTraining,
} from '../core/training-binding.js'
import type { TokenizedBatch } from '../model/tokenizer-packing.js'

/** @throws ERR_EMBEDCORE_NATIVE_LOAD */
export const nativeTraining = (): RawTraining => native()

/** Texts for `encode`. */
export interface TrainerTexts {
  tokens: Pick<TokenizedBatch, 'ids' | 'offsets'>
  skip: Int32Array | null
  prefix: Int32Array | null
}

export class Trainer {
  private last: Promise<unknown> = Promise.resolve()
  private busy = false
  private disposed = false

  private constructor(private readonly raw: RawTrainer) {}

  static async open(training: RawTraining, options: RawTrainerOptions, signal: AbortSignal | null): Promise<Trainer> {
    const isAborted = (): boolean => signal?.aborted === true
    if (isAborted()) throw abortError(signal)
    let abort = (): void => undefined
    try {
      const raw = await new Promise<RawTrainer>((resolve, reject) => {
        const task = training.trainer(options, (error, trainer) => {
          if (trainer === undefined) reject(toEmbedCoreError(error))
          else resolve(trainer)
        })
        abort = () => task.abort()
        signal?.addEventListener('abort', abort, { once: true })
      })
      if (isAborted()) {
        raw.dispose()
        throw abortError(signal)
      }
      return new Trainer(raw)
    } catch (error) {
      if (isAborted()) throw abortError(signal)
      throw toEmbedCoreError(error)
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  get dimension(): number {
    return this.raw.dimension
  }

  /** The longest text in tokens; null = no limit. */
  get maxTokens(): number | null {
    return this.raw.maxTokens > 0 ? this.raw.maxTokens : null
  }

  parameters(block: RawBlockName): RawTrainedParameter[] {
    return this.raw.parameters(block)
  }

  setOptimizer(options: RawOptimizer): void {
    this.raw.setOptimizer(options)
  }

  accumulate(step: RawStep): Promise<RawStepResult> {
    return this.call((done) => this.raw.accumulate(step, done))
  }

  /** The norm of the gradients. */
  update(rate: number, factor: number): Promise<number> {
    return this.call((done) => this.raw.update(rate, factor, done))
  }

  clearGradients(): Promise<void> {
    return this.call((done) => this.raw.clearGradients(done))
  }

  /** Runs `work` with the moving average in the place of the weights; only `encode` may be called in it. */
  async withAverage<T>(work: () => Promise<T>): Promise<T> {
    await this.call<void>((done) => this.raw.useAverage(true, done))
    try {
      return await work()
    } finally {
      await this.call<void>((done) => this.raw.useAverage(false, done))
    }
  }

  /** Rows [texts, dimension]. */
  async encode({ tokens, skip, prefix }: TrainerTexts): Promise<Float32Array> {
    const rows = new Float32Array((tokens.offsets.length - 1) * this.dimension)
    await this.call<void>((done) =>
      this.raw.encode({ ids: tokens.ids, offsets: tokens.offsets, skip, prefix }, rows, done),
    )
    return rows
  }

  scales(): number[] {
    return this.raw.scales()
  }

  save(options: RawSave): Promise<void> {
    return this.call((done) => this.raw.save(options, done))
  }

  writeState(path: string): Promise<void> {
    return this.call((done) => this.raw.writeState(path, done))
  }

  readState(path: string): Promise<void> {
    return this.call((done) => this.raw.readState(path, done))
  }

  memory(): { weights: number; activations: number } {
    return this.raw.memory()
  }

  /** Ends the call under way, if there is one. */
  abort(): void {
    if (this.busy) this.raw.abort()
  }

  /** Waits for the calls under way. */
  async dispose(): Promise<void> {
    if (this.disposed) return
    this.disposed = true
    await this.last.catch(() => undefined)
    await new Promise<void>((resolve) => this.raw.dispose(() => resolve()))
  }

  private call<T>(begin: (done: (error: Error | null, result?: T) => void) => void): Promise<T> {
    const next = this.last.then(
      () =>
        new Promise<T>((resolve, reject) => {
          this.busy = true
          const done = (error: Error | null, result?: T): void => {
            this.busy = false
            if (error !== null) reject(toEmbedCoreError(error))
            else resolve(result as T)
          }
          try {
            begin(done)
          } catch (error) {
            this.busy = false
            reject(toEmbedCoreError(error))
          }
        }),
    )
    this.last = next.catch(() => undefined)
    return next
  }
}
