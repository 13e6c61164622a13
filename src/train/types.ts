/** The types of train: options, events, results. Names follow sentence-transformers, transformers and PEFT. */
import type { DeviceName, PoolingMode, Side } from '../core/names.js'
import type { Evaluation, Evaluator } from '../evaluate/types.js'
import type { HubOptions } from '../hub/types.js'
import type { ModelAttention } from '../model/own-layout.js'
import type { Layout } from './attention.js'
import type { Model } from '../model/model.js'
import type { BadRowPolicy } from './data/bad-rows.js'
import type { DataProgress } from './data/open.js'
import type { Prompts, TrainingSources } from './data/sources.js'
import type { MatryoshkaOptions, TrainingLoss } from './loss-types.js'
import type { FreezeOptions, TrainingMethod } from './method-options.js'
import type { Mixing } from './samplers/mixing.js'
import type { SamplerName } from './samplers/options.js'
import type { Schedule } from './schedule.js'
import type { ProjectionOptions } from './stack.js'

/** Stops a run whose evaluations get no better. */
export interface EarlyStoppingOptions {
  /** Evaluations in a row that are not better than the best one. */
  patience: number
  /** A metric by its name; greater is better. Default: the score of the evaluation. */
  metric?: string
  /** By how much an evaluation must be better to count. Default 0. */
  threshold?: number
}

/** Options of train. Only `model`, `data` and `output` are needed. */
export interface TrainOptions extends Pick<HubOptions, 'revision' | 'cacheDir' | 'token' | 'offline'> {
  /**
   * The model that the run begins with: a directory, a hub id, or a model of `load`, whose files are read again. A
   * transformer, or a static model (StaticEmbedding, model2vec, the built-in one).
   */
  model: string | Model
  /** Rows, an iterable of them, or files; one source, or several by name. See `TrainingSource`. */
  data: TrainingSources
  /** The directory that the model is saved in, with checkpoints, `log.jsonl` and `report.html`. It is made. */
  output: string
  /** Whether an `output` that holds other files is emptied of what a run writes. Default false: it is refused. */
  overwrite?: boolean

  /**
   * Default: of the kind of the data. Texts that belong together have InfoNCE (MultipleNegativesRankingLoss), scored
   * pairs CoSENTLoss, labelled texts BatchSemiHardTripletLoss, scored triplets MarginMSELoss, vectors MSELoss.
   */
  loss?: TrainingLoss
  /** Of all losses that name no other. */
  matryoshka?: readonly number[] | MatryoshkaOptions
  /** Default `'full'`. */
  method?: TrainingMethod
  /** Beside `method: 'full'`. Default: nothing. */
  freeze?: FreezeOptions
  /** A new Dense module, before the normalisation: its dimensions, or more. Default: none. */
  projection?: number | ProjectionOptions
  /** Whether the model's vectors get length 1, also when it is saved. Default: as the model says. */
  normalize?: boolean
  /** How tokens become a vector, also when the model is saved. Default: as the model says. */
  pooling?: PoolingMode | readonly PoolingMode[]
  /**
   * Which tokens a token of a decoder sees, also when the model is saved; a list has one mode for each layer, which
   * only this package's own layout can hold. Default: as the model says.
   */
  attention?: ModelAttention | readonly ModelAttention[]
  /**
   * The layout that is saved. `'sentence-transformers'` refuses a run whose model it cannot hold, `'embedcore'` is read
   * by this package alone. Default: the former where it can hold the model.
   */
  layout?: Layout
  /**
   * A [CLS] token for a decoder, or its text: a special token whose row is trained, also where all else is frozen. The
   * tokenizer puts it first where attention is bidirectional and last under a causal mask, and the pooling reads it
   * there, unless `pooling` says otherwise. A new one begins with normal numbers of the mean and the deviation of each
   * column of the table; one that the model has already is trained further. LoRA needs `merge` beside it. Default
   * false.
   */
  clsToken?: boolean | string
  /** Whether a LoRA run saves a whole model, with the updates added, in place of an adapter. Default false. */
  merge?: boolean

  /** Rows of a forward and backward pass: the negatives of a row come from these. Default 32. */
  batchSize?: number
  /** Passes over the data. Default 1. */
  epochs?: number
  /** Updates of the run, in place of `epochs`. */
  maxSteps?: number
  /**
   * Batches whose gradients one update averages. Negatives are never taken from another batch; for more negatives raise
   * `batchSize` with `gradientCache`. Default 1.
   */
  gradientAccumulation?: number
  /**
   * Computes the embeddings of a batch first and its gradients in small parts after (Gao et al. 2021), so that the
   * memory of a batch does not grow with it. The gradients have the same bits. Default false.
   */
  gradientCache?: boolean
  /**
   * Runs that the rows of a batch are cut into, each with a sum of gradients of its own; the sums are added in order.
   * As many processes with one run each would come to the same bits; running several processes is not built yet. Losses
   * with in-batch negatives see the texts of all rows; sums over pairs of rows (CoSENT, AnglE, mined triplets, online
   * contrastive) see those of their run. Default 1.
   */
  gradientSlots?: number
  /**
   * Computes the insides of layers again for the backward pass in place of keeping them: of all layers, or of none. The
   * gradients have the same bits. Default: of as few layers as `memoryLimit` needs, without it of none.
   */
  recompute?: boolean
  /**
   * What weights, gradients, moments and a step may take together: `'4GB'`, `'512MiB'` or a number of bytes. Node, the
   * tokenizer and the data come on top. Default: no limit.
   */
  memoryLimit?: string | number
  /** Default 5e-5; 2e-4 for LoRA, 1e-2 for static models. */
  learningRate?: number
  /** Default `'linear'`. */
  schedule?: Schedule
  /** Updates before the rate is reached: below 1 a share of the run, else their number. Default 0.1. */
  warmup?: number
  /** Of AdamW, not for biases and norms. Default 0. */
  weightDecay?: number
  /** Of AdamW. Default [0.9, 0.999]. */
  betas?: readonly [number, number]
  /** Of AdamW. Default 1e-8. */
  epsilon?: number
  /** Gradients are scaled to this norm at most; 0 = they are not. Default 1. */
  maxGradNorm?: number
  /**
   * Of an exponential moving average of the weights, which is what is judged and saved: 0.999 or so. Default: none.
   */
  averageDecay?: number
  /** Of matrix products; weights, moments and sums are float32. Default `'float32'`. */
  dtype?: 'float32' | 'bfloat16'
  /** Whether there is dropout, with the rates of the model's configuration. Default true. */
  dropout?: boolean
  /** Of the order of rows, dropout and new weights. Default 42. */
  seed?: number

  /** Default: by the loss: `'no-duplicates'` for InfoNCE, `'group-by-label'` for mined triplets, else `'random'`. */
  sampler?: SamplerName
  /** Whether an incomplete last batch is left out. Default false. */
  dropLast?: boolean
  /** Of several sources. Default `'proportional'`. */
  mixing?: Mixing
  /** Of `mixing: 'temperature'`. */
  temperature?: number
  /** Rows of an iterable among which rows are drawn. Default 10,000. */
  shuffleBuffer?: number
  /** Of `sampler: 'length-aware'`. Default 64. */
  bucketBatches?: number
  /** What happens to rows that cannot be used. Default `'error'`. */
  onBadRow?: BadRowPolicy
  /** Put before the texts of columns: `{ anchor: 'query: ', positive: 'passage: ' }`. Default: none. */
  prompts?: Prompts
  /** Tokens that texts of the data are cut to. Default: the model's own. */
  maxTokens?: number
  /** Which end of a long text is cut; false = refuse it. Default: as the tokenizer says. */
  truncate?: Side | boolean
  /** Negatives drawn from each FlagEmbedding row. Default 7. */
  negatives?: number
  /** Where packed files are unpacked. Default: that of the system. */
  tmpDir?: string

  /**
   * Judges of the model, before the first step, every `evalSteps` and at the end. With `averageDecay` they judge the
   * averaged weights.
   */
  evaluator?: Evaluator | readonly Evaluator[]
  /** Updates between evaluations. Default: those of an epoch. */
  evalSteps?: number
  earlyStopping?: EarlyStoppingOptions
  /** Whether the weights of the best evaluation are saved in place of the last ones; or a metric by its name. */
  keepBest?: boolean | string
  /** Updates between checkpoints; 0 = none. Default 500. */
  saveSteps?: number
  /** Checkpoints that stay. Default 2. */
  keep?: number
  /** Whether the run goes on from the newest checkpoint in `output`, if there is one; or a checkpoint by its path. */
  resume?: boolean | string
  /** Whether `log.jsonl` and `report.html` are written. Default true. */
  logs?: boolean

  /** Default `'cpu'`. */
  device?: DeviceName
  /** Default: the physical cores this process may use. */
  threads?: number
  /** Ends the run between two parts of a step, with a checkpoint; it rejects with ERR_EMBEDCORE_ABORTED. */
  signal?: AbortSignal
  /** While data are read and files downloaded. */
  onProgress?: (progress: TrainProgress) => void
}

export type TrainProgress = DataProgress | { readonly file: string; readonly loaded: number; readonly total: number }

/** What a run is going to do. */
export interface TrainingPlan {
  readonly model: string
  readonly output: string
  readonly device: string
  readonly dtype: 'float32' | 'bfloat16'
  readonly method: string
  readonly losses: readonly { readonly name: string; readonly weight: number }[]
  /** A line for each source: rows and columns. */
  readonly data: readonly string[]
  /** null = an iterable is among the sources. */
  readonly rows: number | null
  readonly sampler: SamplerName
  readonly batchSize: number
  readonly gradientAccumulation: number
  /** null = not known. */
  readonly stepsPerEpoch: number | null
  readonly epochs: number | null
  /** Updates of the run; null = until an iterable ends. */
  readonly steps: number | null
  readonly warmupSteps: number
  readonly learningRate: number
  readonly schedule: Schedule
  readonly parameters: number
  readonly trainedParameters: number
  readonly dimension: number
  /** Tokens of a text, the mean of the first rows; null = an iterable. */
  readonly meanTokens: number | null
  readonly memory: MemoryEstimate
}

/** In bytes. */
export interface MemoryEstimate {
  /** Weights, gradients, moments and packed matrices. */
  readonly weights: number
  /** Of a step that has more tokens than most; null = the lengths of the texts are not known. */
  readonly activations: number | null
  /** `memoryLimit`. */
  readonly limit: number | null
  /** Layers whose insides are computed again. */
  readonly recomputedLayers: number
  /** Layers that gradients go through. */
  readonly trainedLayers: number
}

export interface BeginEvent {
  readonly type: 'begin'
  readonly plan: TrainingPlan
  /** The update that a resumed run continues after; 0 = from the beginning. */
  readonly step: number
}

export interface StepEvent {
  readonly type: 'step'
  /** Updates made. */
  readonly step: number
  /** Epochs done, with a fraction where their length is known. */
  readonly epoch: number
  /** Mean over the batches of the update. */
  readonly loss: number
  /** Each loss without its weight, by name. */
  readonly losses: Readonly<Record<string, number>>
  readonly learningRate: number
  /** Before clipping. */
  readonly gradientNorm: number
  readonly rows: number
  readonly tokens: number
  readonly tokensPerSecond: number
  /** Since the run began or was resumed. */
  readonly seconds: number
  /** Bytes of the process. */
  readonly memory: number
  /** Of losses that learn a scale. */
  readonly scales?: readonly number[]
}

export interface EvaluationEvent {
  readonly type: 'evaluation'
  readonly step: number
  readonly epoch: number
  /** That of the last evaluator. */
  readonly score: number
  readonly metrics: Readonly<Record<string, number>>
  readonly evaluations: readonly Evaluation[]
  /** Whether it is the best so far. */
  readonly best: boolean
  readonly seconds: number
}

export interface CheckpointEvent {
  readonly type: 'checkpoint'
  readonly step: number
  readonly directory: string
}

export interface SavedEvent {
  readonly type: 'saved'
  readonly step: number
  readonly directory: string
}

export type TrainingEvent = BeginEvent | StepEvent | EvaluationEvent | CheckpointEvent | SavedEvent

/** The result of a run. */
export interface TrainResult {
  /** The directory of the saved model or adapter. */
  readonly output: string
  /** Updates of the whole run, those before it was resumed included. */
  readonly steps: number
  readonly epochs: number
  /** Means of the updates since the run began or was resumed. */
  readonly loss: number
  readonly losses: Readonly<Record<string, number>>
  /** Of the saved weights; null = no evaluator. */
  readonly metrics: Readonly<Record<string, number>> | null
  /** The best evaluation; null = no evaluator. */
  readonly best: { readonly step: number; readonly score: number } | null
  readonly stopped: 'end' | 'early'
  /** Rows that the data have and could not be used. */
  readonly badRows: number
  readonly tokens: number
  readonly seconds: number
}
