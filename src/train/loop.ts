/** The steps of a run: batches, updates, evaluations, checkpoints. */
import { abortError } from '../core/abort.js'
import { EmbedCoreError, toEmbedCoreError } from '../core/errors.js'
import type { RawStepResult } from '../core/training-binding.js'
import { checkpointDirectory, pruneCheckpoints, type RunState, trainerFile, writeCheckpoint } from './checkpoint.js'
import type { BatchLoader, TrainingBatch } from './data/loader.js'
import { judge, type Judgement, Tracker } from './evaluation.js'
import type { Prepared } from './prepare.js'
import { rateFactor } from './schedule.js'
import { stepInput, stepNeeds } from './step-input.js'
import type { OtherModels } from './step-vectors.js'
import type { Trainer } from './trainer.js'
import type { StepEvent, TrainingEvent } from './types.js'

export interface LoopParts {
  prepared: Prepared
  trainer: Trainer
  loader: BatchLoader
  others: OtherModels
  /** null = the run begins. */
  state: RunState | null
  signal: AbortSignal
  emit: (event: TrainingEvent) => Promise<void>
}

/** Steps at which a message names the rows of a batch that cannot be computed. */
const SHOWN_ROWS = 8

export class Loop {
  step: number
  epoch: number
  tokens: number
  stopped: 'end' | 'early' = 'end'
  /** Metrics of the weights of a step, or of their average. */
  judged: { step: number; metrics: Record<string, number> } | null = null
  readonly best: Tracker
  private readonly early: Tracker | null
  /** Sums over the updates of this process. */
  private readonly sums = { updates: 0, loss: 0, losses: new Map<string, number>() }
  private batches: number
  private sampler: RunState['sampler']
  private pendingEvaluation: boolean
  /** The step of the last checkpoint. */
  private written: number | null
  private upcoming: TrainingBatch | null = null
  private readonly begin = performance.now()
  private lastEnd = this.begin

  constructor(private readonly parts: LoopParts) {
    const { prepared, state } = parts
    const { earlyStopping, keepBest } = prepared.options
    this.step = state?.step ?? 0
    this.batches = state?.batches ?? 0
    this.epoch = state?.epoch ?? 0
    this.tokens = state?.tokens ?? 0
    this.sampler = state?.sampler ?? prepared.sampler.state()
    this.pendingEvaluation = state?.pendingEvaluation ?? true
    this.written = state?.step ?? null
    this.best = new Tracker(keepBest?.metric ?? null, 0, state?.trackers['best'] ?? null)
    this.early =
      earlyStopping === null
        ? null
        : new Tracker(earlyStopping.metric, earlyStopping.threshold, state?.trackers['early'] ?? null)
  }

  get seconds(): number {
    return (performance.now() - this.begin) / 1000
  }

  /** Means over the updates of this process. */
  get means(): { loss: number; losses: Record<string, number> } {
    const { updates, loss, losses } = this.sums
    const mean = (sum: number): number => (updates === 0 ? NaN : sum / updates)
    return { loss: mean(loss), losses: Object.fromEntries([...losses].map(([name, sum]) => [name, mean(sum)])) }
  }

  async run(): Promise<void> {
    const { options } = this.parts.prepared
    try {
      await this.evaluateIfPending()
      this.upcoming = await this.parts.loader.next()
      while (this.upcoming !== null && !this.isOver()) {
        const event = await this.update()
        await this.parts.emit(event)
        const ended = this.isEnd()
        this.pendingEvaluation =
          options.evaluators.length > 0 && (ended || (options.evalSteps === null ? this.atEpochEnd : this.isDue()))
        await this.evaluateIfPending()
        const last = this.upcoming === null || this.isOver()
        const due = options.saveSteps > 0 && this.step % options.saveSteps === 0
        if (due && !last && this.written !== this.step) await this.checkpoint()
      }
    } catch (error) {
      await this.afterFailure(error)
      throw this.parts.signal.aborted ? this.abortedAt() : error
    }
  }

  private atEpochEnd = false

  /** Whether the last update of the run has been made. */
  private isEnd(): boolean {
    const { maxSteps } = this.parts.prepared.options
    return this.upcoming === null || (maxSteps !== null && this.step >= maxSteps)
  }

  private isOver(): boolean {
    const patience = this.parts.prepared.options.earlyStopping?.patience
    if (patience !== undefined && (this.early?.best?.worse ?? 0) >= patience) this.stopped = 'early'
    return this.stopped === 'early' || this.isEnd()
  }

  private isDue(): boolean {
    return this.step % this.parts.prepared.options.evalSteps! === 0
  }

  /** The gradients of as many batches as one update has, and the update. */
  private async update(): Promise<StepEvent> {
    const { prepared, trainer, loader } = this.parts
    const { options, plan } = prepared
    const batches: TrainingBatch[] = []
    const results: RawStepResult[] = []
    const { epoch } = this.upcoming!
    // The batches of an update are of one epoch.
    while (batches.length < options.gradientAccumulation && this.upcoming !== null && this.upcoming.epoch === epoch) {
      const batch = this.upcoming
      batches.push(batch)
      results.push(await this.accumulate(batch, this.batches + batches.length - 1))
      this.upcoming = await loader.next()
    }
    const rate =
      options.learningRate * rateFactor(options.schedule, this.step, plan.warmupSteps, plan.steps ?? Infinity)
    this.throwIfAborted()
    const gradientNorm = await trainer
      .update(rate, 1 / batches.length)
      .catch((error: unknown) => Promise.reject(located(error, this.step + 1, batches)))
    this.step++
    this.batches += batches.length
    const last = batches.at(-1)!
    this.sampler = last.state
    this.atEpochEnd = this.upcoming === null || this.upcoming.epoch !== epoch
    const length = prepared.sampler.batchesPerEpoch
    this.epoch = this.atEpochEnd ? epoch + 1 : epoch + (length === null ? 0 : Math.min(1, (last.index + 1) / length))
    return this.stepEvent(batches, results, rate, gradientNorm)
  }

  /** `draw`: batches of the run before this one, so that each has its own dropout. */
  private async accumulate(batch: TrainingBatch, draw: number): Promise<RawStepResult> {
    const { prepared, trainer, others, signal } = this.parts
    this.throwIfAborted()
    const vectors = await others.vectors(batch, signal)
    const needs = stepNeeds(prepared.losses, !prepared.stack.includePrompt, batch)
    this.throwIfAborted()
    try {
      return await trainer.accumulate(stepInput(batch, needs, vectors, draw))
    } catch (error) {
      throw located(error, this.step + 1, [batch])
    }
  }

  private stepEvent(
    batches: readonly TrainingBatch[],
    results: readonly RawStepResult[],
    learningRate: number,
    gradientNorm: number,
  ): StepEvent {
    const now = performance.now()
    const tokens = results.reduce((sum, result) => sum + result.tokens, 0)
    const loss = results.reduce((sum, result) => sum + result.loss, 0) / results.length
    const losses: Record<string, number> = {}
    for (const { parts } of results)
      for (const { name, value } of parts) losses[name] = (losses[name] ?? 0) + value / results.length
    this.sums.updates++
    this.sums.loss += loss
    for (const [name, value] of Object.entries(losses))
      this.sums.losses.set(name, (this.sums.losses.get(name) ?? 0) + value)
    this.tokens += tokens
    const scales = this.parts.trainer.scales()
    const event: StepEvent = {
      type: 'step',
      step: this.step,
      epoch: this.epoch,
      loss,
      losses,
      learningRate,
      gradientNorm,
      rows: batches.reduce((sum, batch) => sum + batch.rows.length, 0),
      tokens,
      tokensPerSecond: (1000 * tokens) / Math.max(1e-3, now - this.lastEnd),
      seconds: (now - this.begin) / 1000,
      memory: process.memoryUsage.rss(),
      ...(scales.length > 0 ? { scales } : {}),
    }
    this.lastEnd = now
    return event
  }

  private async evaluateIfPending(): Promise<void> {
    const { prepared, trainer, signal, emit } = this.parts
    if (!this.pendingEvaluation) return
    if (prepared.options.evaluators.length === 0) {
      this.pendingEvaluation = false
      return
    }
    const judgement = await judge(prepared, trainer, signal)
    const best = this.best.add(this.step, judgement)
    this.early?.add(this.step, judgement)
    this.judged = { step: this.step, metrics: judgement.metrics }
    this.pendingEvaluation = false
    await emit(this.evaluationEvent(judgement, best))
    if (best && prepared.options.keepBest !== null) await this.checkpoint()
    this.lastEnd = performance.now()
  }

  private evaluationEvent({ score, metrics, evaluations, seconds }: Judgement, best: boolean): TrainingEvent {
    return { type: 'evaluation', step: this.step, epoch: this.epoch, score, metrics, evaluations, best, seconds }
  }

  private async checkpoint(): Promise<void> {
    const { prepared, trainer, emit } = this.parts
    const { output, keep, keepBest } = prepared.options
    const state: RunState = {
      version: 1,
      step: this.step,
      batches: this.batches,
      epoch: this.epoch,
      sampler: this.sampler,
      pendingEvaluation: this.pendingEvaluation,
      trackers: { best: this.best.best, early: this.early?.best ?? null },
      tokens: this.tokens,
      identity: prepared.identity,
    }
    const directory = await writeCheckpoint(output, state, (file) => trainer.writeState(file))
    this.written = this.step
    const best = this.best.best?.step
    await pruneCheckpoints(output, keep, keepBest !== null && best !== undefined ? [best] : [])
    await emit({ type: 'checkpoint', step: this.step, directory })
    this.lastEnd = performance.now()
  }

  /** Goes back to the weights of the best evaluation, if they are to be saved. */
  async restoreBest(): Promise<void> {
    const { prepared, trainer } = this.parts
    const { best } = this.best
    if (prepared.options.keepBest === null || best === null || best.step === this.step) return
    await trainer.readState(trainerFile(checkpointDirectory(prepared.options.output, best.step)))
    this.judged = { step: best.step, metrics: best.metrics }
  }

  /** After an abort there is a checkpoint of the last update; gradients of batches since then are dropped. */
  private async afterFailure(error: unknown): Promise<void> {
    const { trainer, signal } = this.parts
    try {
      await trainer.clearGradients()
      if (signal.aborted && this.step > (this.written ?? 0)) await this.checkpoint()
    } catch (failure) {
      if (!signal.aborted) return // The first error says more.
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_WRITE_FAILED',
        `The run was aborted at step ${this.step} and its checkpoint was not written: ` +
          toEmbedCoreError(failure).message,
        { cause: error },
      )
    }
  }

  private throwIfAborted(): void {
    if (this.parts.signal.aborted) throw abortError(this.parts.signal)
  }

  private abortedAt(): EmbedCoreError {
    const { signal, prepared } = this.parts
    const where =
      this.written === null ? '' : `; ${checkpointDirectory(prepared.options.output, this.written)} has its checkpoint`
    return new EmbedCoreError('ERR_EMBEDCORE_ABORTED', `The run was aborted after step ${this.step}${where}`, {
      cause: signal.reason,
    })
  }
}

/** The error of a step, with its number and the places of its rows. */
function located(error: unknown, step: number, batches: readonly TrainingBatch[]): EmbedCoreError {
  const { code, message, cause } = toEmbedCoreError(error)
  if (code === 'ERR_EMBEDCORE_ABORTED') return toEmbedCoreError(error)
  const [batch] = batches
  const text = /\btext (\d+) /.exec(message)?.[1]
  const named =
    /\(rows ([\d, ]+)/.exec(message)?.[1] ?? (text === undefined ? undefined : String(+text % batch!.rows.length))
  const rows = named
    ?.split(',')
    .map(Number)
    .filter((row) => row < batch!.rows.length)
  const places =
    batches.length === 1 && rows !== undefined && rows.length > 0
      ? rows.map((row) => batch!.place(row)).join(', ')
      : batches
          .map((one) => `${one.place(0)} to ${one.place(one.rows.length - 1)}`)
          .slice(0, SHOWN_ROWS)
          .join('; ')
  const advice =
    code === 'ERR_EMBEDCORE_NON_FINITE'
      ? '; the checkpoints before it are whole (a smaller learningRate or maxGradNorm, or other data, may help)'
      : ''
  return new EmbedCoreError(code, `Step ${step} failed: ${message}; rows ${places}${advice}`, { cause: cause ?? error })
}
