/** The types of the raw addon for training (native/binding/trainer.cc). */
import type { RawAdapterSource, RawDone, RawModule, RawPlanOptions, RawTask } from './binding.js'
import type { DeviceId, ModelKind } from './names.js'

/** Names and shapes of the parameters of a model, in the order of the forward pass. */
export interface RawParameter {
  name: string
  shape: number[]
}

/** A parameter that is trained: its first element in its block. */
export interface RawTrainedParameter extends RawParameter {
  offset: number
}

/**
 * `encoder`: the transformer, its LoRA parts, and the row of a token (`embed_tokens.trainable_tokens`), or the table
 * `embedding.weight`. `head`: `<number of the module>.linear.weight` and so on.
 */
export type RawBlockName = 'encoder' | 'head'

/** A low-rank update of one matrix; trained as `<module>.lora_A.weight` and `<module>.lora_B.weight`. */
export interface RawLora {
  /** `encoder.layer.0.attention.self.query` */
  module: string
  rank: number
  /** alpha / rank, or alpha / sqrt(rank). */
  scale: number
  dropout: number
}

export interface RawFalseNegatives {
  value: number
  relative: boolean
}

/** native/train/loss.h; names and defaults are those of sentence-transformers in camel case. */
export type RawLossKind =
  | {
      kind: 'MultipleNegativesRankingLoss'
      scale: number
      learnedScale: boolean
      cosine: boolean
      queryToQuery: boolean
      docToQuery: boolean
      docToDoc: boolean
      perDirection: boolean
      hardnessMode: 'none' | 'in_batch_negatives' | 'hard_negatives' | 'all_negatives'
      hardnessStrength: number
      maskTexts: boolean
      maskLabels: boolean
      falseNegatives: RawFalseNegatives | null
    }
  | {
      kind: 'GISTEmbedLoss'
      temperature: number
      margin: RawFalseNegatives
      contrastAnchors: boolean
      contrastPositives: boolean
    }
  | {
      kind: 'BatchTripletLoss'
      mining: 'hard' | 'all' | 'semi-hard'
      distance: 'euclidean' | 'cosine'
      margin: number
      softMargin: boolean
    }
  | { kind: 'TripletLoss'; distance: 'cosine' | 'euclidean' | 'manhattan'; margin: number }
  | { kind: 'CosineSimilarityLoss' }
  | { kind: 'CoSENTLoss'; scale: number; similarity: 'dot' | 'cosine' }
  | { kind: 'AnglELoss'; scale: number }
  | { kind: 'ContrastiveLoss'; distance: 'cosine' | 'euclidean' | 'manhattan'; margin: number; sizeAverage: boolean }
  | { kind: 'OnlineContrastiveLoss'; distance: 'cosine' | 'euclidean' | 'manhattan'; margin: number }
  | { kind: 'MarginMSELoss'; similarity: 'dot' | 'cosine' }
  | {
      kind: 'DistillKLDivLoss'
      similarity: 'dot' | 'cosine'
      studentTemperature: number
      teacherTemperature: number
    }
  | { kind: 'EmbedDistillLoss'; distance: 'mse' | 'l2' | 'cosine' }

export interface RawLoss {
  parameters: RawLossKind
  /** Of its part of the result; empty = its kind. */
  name: string
  weight: number
  /** Matryoshka: empty = the whole embeddings. */
  dims: number[]
  dimWeights: number[]
  dimsPerStep: number
}

export interface RawTokenRow {
  id: number
  /** Whether it begins anew, with random values of the size of the table's, and not with the row of the file. */
  fresh: boolean
}

export interface RawTrainerOptions {
  kind: ModelKind
  /** Of the weights and, of a transformer, config.json. */
  directory: string
  /** `directory` empty = a new module with random weights. */
  modules: (RawModule & { trained: boolean })[]
  dtype: 'float32' | 'bfloat16'
  threads: number
  device?: DeviceId
  isa?: string
  library?: string
  /** Names of the parameters that are trained; null = all. */
  trains: string[] | null
  lora: RawLora[]
  /** First values of `lora`, all of them; null = A is random and B zeros. */
  adapter: RawAdapterSource | null
  /** A token whose row is trained, also where the table of tokens is frozen; the table may end before it. */
  tokenRow: RawTokenRow | null
  plan: RawPlanOptions
  losses: RawLoss[]
  seed: number
  gradientCache: boolean
  /** Layers, from the first on, that are made again for the backward pass. */
  recompute: number
  /** Runs of rows with sums of gradients of their own, which are added in order. */
  gradientSlots: number
  dropout: boolean
}

export interface RawOptimizer {
  /** [begin, end, rate factor, decay] of each group of the block's elements, without gaps; empty = one group. */
  encoderGroups: Float64Array
  headGroups: Float64Array
  beta1: number
  beta2: number
  epsilon: number
  /** 0 = not clipped. */
  maxNorm: number
  /** Of the moving average of the weights; 0 = none. */
  averageDecay: number
}

/** A micro-batch: text (column, row) is text column * rows + row of the packed arrays. */
export interface RawStep {
  columns: number
  rows: number
  ids: Int32Array
  offsets: Int32Array
  skip: Int32Array | null
  prefix: Int32Array | null
  /** [rows, labelWidth] or null. */
  labels: Float32Array | null
  labelWidth: number
  /** [columns, rows]: equal numbers for equal texts; null = not known. */
  textIds: Int32Array | null
  /** [rows]: labels of classes, -1 = none. */
  groups: Int32Array | null
  /** [columns, rows, guideWidth] */
  guide: Float32Array | null
  guideWidth: number
  /** [rows, teacherColumns, teacherWidth] */
  teacher: Float32Array | null
  teacherColumns: number
  teacherWidth: number
  /** Micro-batches of the run before this one: dropout and what else is drawn depends on it. */
  draw: number
}

export interface RawStepResult {
  /** The weighted sum. */
  loss: number
  parts: { name: string; weight: number; value: number }[]
  tokens: number
}

/** One tensor of a file. */
export interface RawSavedTensor {
  block: RawBlockName
  /** In the block. */
  name: string
  /** In the file. */
  as: string
}

export interface RawSave {
  path: string
  tensors: RawSavedTensor[]
  /** All tensors of the transformer's own files, with those in `tensors` in place of theirs, by the file's names. */
  withRest: boolean
  /** Adds LoRA parts to their matrices; only with `withRest`. */
  merged: boolean
  /** The moving average instead of the last values. */
  average: boolean
  metadata: Record<string, string>
}

/** Calls one at a time: the next only after `done` of the one before. */
export interface RawTrainer {
  parameters(block: RawBlockName): RawTrainedParameter[]
  readonly dimension: number
  /** The longest text in tokens; 0 = no limit. */
  readonly maxTokens: number
  setOptimizer(options: RawOptimizer): void
  /** Forward, losses, backward: gradients are added. A loss that is not finite is an error, and adds nothing. */
  accumulate(step: RawStep, done: (error: Error | null, result?: RawStepResult) => void): void
  /** Clips, updates and clears the gradients, which are multiplied by `factor` first. */
  update(rate: number, factor: number, done: (error: Error | null, norm?: number) => void): void
  /** Clears the gradients, after an accumulate that was aborted or failed. */
  clearGradients(done: RawDone): void
  /**
   * Puts the moving average in the place of the weights, for `encode`; false brings the last weights back with the same
   * bits. Meanwhile nothing but `encode` may be called.
   */
  useAverage(use: boolean, done: RawDone): void
  /** Embeddings of texts with the weights as they are: rows [texts, dimension]. */
  encode(
    texts: { ids: Int32Array; offsets: Int32Array; skip: Int32Array | null; prefix: Int32Array | null },
    rows: Float32Array,
    done: RawDone,
  ): void
  /** Values of the scales that losses learn. */
  scales(): number[]
  /** Writes a safetensors file; the file is whole or not there. */
  save(options: RawSave, done: RawDone): void
  /** Values, moments, averages and scales in one safetensors file; the file is whole or not there. */
  writeState(path: string, done: RawDone): void
  /** Into a trainer with the same parameters and optimiser. */
  readState(path: string, done: RawDone): void
  /** Bytes of weights with gradients and moments, and of activations so far. */
  memory(): { weights: number; activations: number }
  /** The call under way ends with ERR_EMBEDCORE_ABORTED at its next slab. */
  abort(): void
  dispose(done?: RawDone): void
}

/** Bytes of a step for each token (native/train/step_bytes.h). */
export interface RawStepBytes {
  /** Of each text whose rows are kept: what comes before the layers. */
  embedded: number
  /** Of each layer: what stays even where it is made again. */
  sums: number[]
  /** Of each layer: what making it again saves. */
  rest: number[]
  /** Of the slab under way. */
  scratch: number
  /** Of the slab under way, where any layer is made again. */
  shared: number
  /** Of a slab in a pass that keeps nothing. */
  forward: number
  /** Tokens of a slab. */
  slabTokens: number
}

export interface RawTraining {
  /** Of the model in a directory, without reading weights; a transformer, unless `kind` says otherwise. */
  parameters(directory: string, kind?: ModelKind): RawParameter[]
  /** `host`: on a device whose memory is that of the host. */
  stepBytes(options: Pick<RawTrainerOptions, 'directory' | 'kind' | 'dtype' | 'lora'> & { host: boolean }): RawStepBytes
  trainer(options: RawTrainerOptions, done: (error: Error | null, trainer?: RawTrainer) => void): RawTask
}
