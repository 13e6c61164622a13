/** train: from options to a saved model. */
import { abortError } from '../core/abort.js'
import { toEmbedCoreError } from '../core/errors.js'
import { invalidOption } from '../core/options.js'
import type { RawTrainerOptions, RawTraining } from '../core/training-binding.js'
import { pruneCheckpoints, refuseOtherRun, trainerFile } from './checkpoint.js'
import { BatchLoader } from './data/loader.js'
import { RunLog } from './log.js'
import { Loop } from './loop.js'
import { optimizerOf } from './optimizer.js'
import { type ResolvedTrain, resolveTrainOptions } from './options.js'
import { findResumed, openOutput, type Resumed } from './output.js'
import { prepare, type Prepared } from './prepare.js'
import { writeReport } from './report.js'
import { TrainingRun } from './run.js'
import { saveModel } from './save.js'
import { OtherModels } from './step-vectors.js'
import { nativeTraining, Trainer } from './trainer.js'
import type { TrainingEvent, TrainingPlan, TrainOptions, TrainResult } from './types.js'

/**
 * Trains a model on rows of texts and saves it as a sentence-transformers directory, or as a PEFT adapter. The run
 * begins at once; `await` gives its result, and `for await` its steps, evaluations and checkpoints.
 *
 * A step is computed off the event loop. Equal options, data and seed give the same bits for any number of threads, and
 * so does a run that was interrupted and goes on with `resume: true`.
 * @throws (the promise) ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION before any work; _INVALID_DATA with file and
 *   line; what load throws for the model; _DEVICE when the device cannot train; _NON_FINITE naming the step and its
 *   rows when a loss or the gradients are not finite; _TEXT_TOO_LONG; _WRITE_FAILED; _OUT_OF_MEMORY; _ABORTED.
 * @example
 * const { output, metrics } = await train({ model: 'sentence-transformers/all-MiniLM-L6-v2', data: 'pairs.jsonl',
 *   output: 'shop-model' })
 */
export function train(options: TrainOptions): TrainingRun {
  return startTraining(options, nativeTraining)
}

/**
 * What a run would do: kinds of data, loss, numbers of parameters and steps, memory. Opens the model's files and the
 * data, but reads no weights and writes nothing.
 * @throws As train, before its first step.
 */
export async function planTraining(options: TrainOptions): Promise<TrainingPlan> {
  const resolved = resolveTrainOptions(options)
  const prepared = await prepare(resolved, nativeTraining())
  await prepared.data.close()
  return prepared.plan
}

/** @internal `training`: the addon, or what stands for it. */
export function startTraining(options: TrainOptions, training: () => RawTraining): TrainingRun {
  let resolved: ResolvedTrain | null = null
  let wrong: unknown = null
  try {
    resolved = resolveTrainOptions(options)
  } catch (error) {
    wrong = error
  }
  return new TrainingRun(async (emit, signal) => {
    if (resolved === null) throw wrong
    try {
      return await runTraining({ ...resolved, signal }, training(), emit, signal)
    } catch (error) {
      if (signal.aborted && toEmbedCoreError(error).code !== 'ERR_EMBEDCORE_ABORTED') throw abortError(signal)
      throw toEmbedCoreError(error)
    }
  }, resolved?.signal ?? null)
}

/** Between two writings of the report, which happen at evaluations and checkpoints. */
const REPORT_MS = 10_000

type Emit = (event: TrainingEvent) => Promise<void>

async function runTraining(
  options: ResolvedTrain,
  training: RawTraining,
  emit: Emit,
  signal: AbortSignal,
): Promise<TrainResult> {
  const resumed = await findResumed(options)
  const prepared = await prepare(options, training)
  const opened = new Opened()
  opened.push(() => prepared.data.close())
  try {
    if (signal.aborted) throw abortError(signal)
    if (resumed !== null) {
      refuseOtherRun(resumed.state, prepared.identity, resumed.directory)
      await prepared.sampler.restore(resumed.state.sampler)
    }
    const trainer = await Trainer.open(training, trainerOptions(prepared), signal)
    opened.push(() => trainer.dispose())
    const abort = (): void => trainer.abort()
    signal.addEventListener('abort', abort)
    opened.push(() => signal.removeEventListener('abort', abort))
    return await runSteps(prepared, trainer, resumed, emit, signal, opened)
  } finally {
    await opened.close()
  }
}

async function runSteps(
  prepared: Prepared,
  trainer: Trainer,
  resumed: Resumed | null,
  emit: Emit,
  signal: AbortSignal,
  opened: Opened,
): Promise<TrainResult> {
  const { options } = prepared
  const maxTokens = tokenLimit(prepared, trainer)
  trainer.setOptimizer(optimizerOf(trainer, options))
  const others = await OtherModels.load(prepared.losses, options, signal)
  opened.push(() => others.dispose())
  others.checkDimension(trainer.dimension)
  await openOutput(options, resumed)
  if (resumed !== null) await trainer.readState(trainerFile(resumed.directory))
  const log = options.logs ? await RunLog.open(options.output, resumed?.state.step ?? 0) : null
  if (log !== null) opened.push(() => log.close())
  let reported = performance.now()
  const tell: Emit = async (event) => {
    await log?.add(event)
    if (log !== null && event.type !== 'step' && performance.now() - reported > REPORT_MS) {
      await writeReport(options.output, log.events)
      reported = performance.now()
    }
    await emit(event)
  }
  const loader = new BatchLoader(prepared.data, prepared.sampler, {
    tokenizer: prepared.tokenizer,
    maxTokens,
    ...(options.truncate === null ? {} : { truncate: options.truncate }),
    signal,
  })
  opened.push(() => loader.close())
  const loop = new Loop({ prepared, trainer, loader, others, state: resumed?.state ?? null, signal, emit: tell })
  await tell({ type: 'begin', plan: prepared.plan, step: loop.step })
  try {
    await loop.run()
    await loop.restoreBest()
    const { output, keep } = options
    const metrics = loop.judged?.metrics ?? null
    await saveModel(prepared, trainer, output, { metrics, steps: loop.step })
    await tell({ type: 'saved', step: loop.step, directory: output })
    await pruneCheckpoints(output, keep, [])
    const { best } = loop.best
    return {
      output: prepared.plan.output,
      steps: loop.step,
      epochs: loop.epoch,
      ...loop.means,
      metrics,
      best: best === null ? null : { step: best.step, score: best.score },
      stopped: loop.stopped,
      badRows: prepared.data.badRows.count,
      tokens: loop.tokens,
      seconds: loop.seconds,
    }
  } finally {
    if (log !== null) await writeReport(options.output, log.events).catch(() => undefined)
  }
}

/** @internal */
export function trainerOptions({
  options,
  description,
  device,
  isa,
  threads,
  parts,
  attention,
  cls,
  stack,
  losses,
  recompute,
}: Prepared): RawTrainerOptions {
  return {
    kind: description.kind,
    directory: description.weights,
    modules: stack.modules.map(({ raw }) => raw),
    dtype: options.dtype,
    threads,
    device: device.id,
    isa,
    library: device.library,
    trains: parts.trains,
    lora: parts.lora,
    adapter: parts.adapter,
    tokenRow: cls === null ? null : { id: cls.id, fresh: cls.fresh },
    plan: {
      pooling: stack.pooling,
      layers: [],
      fusion: 'mean',
      attention: attention.layers,
      output: 'sentence',
      normalize: null,
      dimensions: 0,
    },
    losses: losses.map(({ raw }) => raw),
    seed: options.seed,
    gradientCache: options.gradientCache,
    recompute,
    gradientSlots: options.gradientSlots,
    dropout: options.dropout,
  }
}

/** Tokens that texts are cut to; null = they are not cut. */
function tokenLimit({ options, maxTokens }: Prepared, trainer: Trainer): number | null {
  const most = trainer.maxTokens
  if (most === null) return maxTokens
  if (options.maxTokens !== null && options.maxTokens > most)
    throw invalidOption('maxTokens', `an integer from 1 to ${most} (the longest this model takes)`, options.maxTokens)
  return Math.min(maxTokens ?? most, most)
}

/** What is to be closed at the end, in the reverse order. */
class Opened {
  private readonly list: (() => Promise<void> | void)[] = []

  push(close: () => Promise<void> | void): void {
    this.list.push(close)
  }

  async close(): Promise<void> {
    for (const close of this.list.reverse()) await Promise.resolve(close()).catch(() => undefined)
  }
}
