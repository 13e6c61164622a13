/** The types of the raw addon (native/binding). Only `native.ts` loads it; all other files take its types from here. */
import type {
  Activation,
  AttentionMode,
  DeviceId,
  Dtype,
  LayerFusion,
  ModelKind,
  OutputMode,
  PoolingMode,
  Precision,
  SimilarityName,
} from './names.js'
import type { RawLinalg } from './linalg-binding.js'
import type { RawStatic } from './static-binding.js'
import type { RawTraining } from './training-binding.js'

/** A packed batch: text i owns ids[offsets[i] .. offsets[i + 1]); offsets has texts + 1 entries. */
export interface RawBatch {
  ids: Int32Array
  offsets: Int32Array
  /** Leading tokens of each text left out of pooling (prompt tokens when the model says so); null = none. */
  skip: Int32Array | null
  /**
   * Leading tokens of each text that see each other in both directions, for `attention: 'prefix'`; null = the counts of
   * tokens left out of pooling.
   */
  prefix: Int32Array | null
  /** The number of the first text in error messages. Default 0. */
  first?: number
}

/** A module after the pooling, in order. Weights are read natively from `<directory>/model.safetensors`. */
export type RawModule =
  | {
      type: 'dense'
      directory: string
      inFeatures: number
      outFeatures: number
      bias: boolean
      activation: Activation
      residual: boolean
    }
  | { type: 'layernorm'; directory: string; dimension: number }
  | { type: 'normalize' }

/** WeightedLayerPooling of sentence-transformers, which sits between the transformer and the pooling. */
export interface RawLayerWeights {
  directory: string
  layerStart: number
}

/** The low-rank update of one matrix: two tensors of a file of PEFT, [rank, in] and [out, rank]. */
export interface RawLowRank {
  /** `encoder.layer.0.attention.self.query` */
  module: string
  a: string
  b: string
  rank: number
  /** alpha / rank, or alpha / sqrt(rank). */
  scale: number
}

/** Updates in `<directory>/adapter_model.safetensors`. */
export interface RawAdapterSource {
  directory: string
  updates: RawLowRank[]
}

export interface RawLoadOptions {
  /** `transformer`: config.json + model.safetensors in `directory`. `static`: one embedding table in `directory`. */
  kind: ModelKind
  directory: string
  modules: RawModule[]
  layerWeights: RawLayerWeights | null
  /** Added to the weights; absent = nothing. */
  adapter?: RawAdapterSource
  /** What matrix products are computed in; static models have float32 only. */
  dtype: Dtype
  /** `cpu`, or `cuda:` and a number. Absent = `cpu`. */
  device?: DeviceId
  /** The backend of the CPU, as `cpu().isa` named it earlier; absent = the one that it would name now. */
  isa?: string
  /** The library of the CUDA backend; absent or empty = the one beside the addon. */
  library?: string
  /** Static only: model2vec's `normalize` flag is expressed as a trailing normalize module instead. */
  threads: number
  /** Tokens of a batch; determines the size of the activation memory. */
  maxBatchTokens: number
  /** Tokens waiting in the queue above which a call is rejected. */
  maxQueueTokens: number
}

export interface RawPlanOptions {
  pooling: PoolingMode[]
  /** hidden_states numbering: 0 = embeddings, L = last; empty = the last layer. */
  layers: number[]
  fusion: LayerFusion
  /** One entry = whole model; one per layer otherwise; empty = the model's own. */
  attention: AttentionMode[]
  output: OutputMode
  /** null = as the model's modules say; true = also at the end; false = normalize modules are left out. */
  normalize: boolean | null
  /** 0 = all. Cut, then normalised again if the output is normalised. */
  dimensions: number
}

export interface RawPlan {
  readonly dimension: number
}

/** An adapter beside a model. */
export interface RawAdapter {
  /** Memory of its updates. */
  readonly bytes: number
  /** Calls that use it fail; its memory is freed when the last batch that reads it has ended, then it calls back. */
  dispose(freed?: RawDone): void
}

/** A running call. After its callback, abort has no effect. */
export interface RawTask {
  abort(): void
}

/** The error, or null after success. Called once, and never before the function that received it has returned. */
export type RawDone = (error: Error | null) => void

/** One encode call. Its texts arrive in batches; the rows are written to the memory given at the start. */
export interface RawCall {
  /**
   * Queues a batch whose first row is row `firstRow` of the result. The first batch of a call is refused when the queue
   * is full, later ones are not. When one batch fails, the call fails.
   */
  submit(batch: RawBatch, firstRow: number, done: RawDone): void
  /** Fails the call; after this nothing is written to its memory. */
  abort(): void
}

export interface RawModelInfo {
  family: string
  hiddenSize: number
  layers: number
  heads: number
  kvHeads: number
  vocabSize: number
  /** Longest sequence of the position table or, for rotary models, of config.json; 0 = any. */
  maxPositions: number
  parameters: number
  /** dtype of the weights in the file. */
  fileDtype: string
  /** What matrix products are computed in. */
  dtype: Dtype
  /** Attention of the model itself. */
  attention: AttentionMode
  weightBytes: number
  /** What it runs on: `cpu`, or `cuda:` and a number. */
  device: DeviceId
  isa: string
  threads: number
}

/** A CUDA device. Texts are empty where there is nothing to say. */
export interface RawDevice {
  index: number
  name: string
  /** major * 10 + minor */
  computeCapability: number
  memoryBytes: number
  freeBytes: number
  driver: string
  /** Why it cannot be used; empty = it can be. */
  reason: string
}

/** What the library of the CUDA backend says. */
export interface RawDevices {
  /** Path of the library. */
  library: string
  /** There is no library, and nobody named one. */
  absent: boolean
  opened: boolean
  /** The backend's name; empty unless `opened`. */
  backend: string
  /** Why there is no device; empty if there is one. */
  reason: string
  /** Devices of the machine. */
  count: number
  /** Those that were asked for. */
  devices: RawDevice[]
}

export interface RawModel {
  readonly info: RawModelInfo
  plan(options: RawPlanOptions): RawPlan
  /**
   * Begins a call. out: [rows, plan.dimension], written by other threads; nobody may read it before it is done.
   * adapter: added to the weights for this call; null = nothing.
   */
  call(plan: RawPlan, out: Float32Array, adapter?: RawAdapter | null): RawCall
  loadAdapter(source: RawAdapterSource, done: (error: Error | null, adapter?: RawAdapter) => void): RawTask
  /** Frees the model on another thread, then calls back. */
  dispose(freed?: RawDone): void
}

/** A tokenizer.json, taken apart on another thread so that no list of its pieces is made in JavaScript. */
export interface RawTokenizerFile {
  /** The text of the file, in which the `vocab` and the `merges` of the model are empty. */
  outline: string
  /** The largest id of `vocab`; -1 = it is empty. */
  largestId: number
  /**
   * Paths of the files from which the library's WordPiece.fromFile and BPE.fromFile make the model of this file, until
   * `release`. null = they cannot, or the system has no such files.
   */
  vocab: string | null
  merges: string | null
  release(): void
}

export interface RawAddon extends RawLinalg, RawTraining, RawStatic {
  /** What the CPU backend would run and why the others would not. */
  cpu(): {
    isa: string
    forced: boolean
    features: string[]
    cores: number
    /** Cores that the control group grants, which may be a fraction; null = no limit. */
    quota: number | null
    refused: { isa: string; reason: string }[]
  }
  /**
   * Opens the library of the CUDA backend on another thread, unless it is open, and describes devices: all, all up to
   * the first that can be used, or one.
   */
  devices(
    options: { library: string; which: 'all' | 'usable' | number },
    done: (error: Error | null, found?: RawDevices) => void,
  ): void
  /** The fastest dtype of a CUDA device whose vectors are as good as those of float32: `bfloat16` or `float16`. */
  fastDtype(options: { library: string; index: number }, done: (error: Error | null, dtype?: Dtype) => void): void
  /** Whether it is called for the first time in this process. */
  firstDeviceWarning(): boolean
  load(options: RawLoadOptions, done: (error: Error | null, model?: RawModel) => void): RawTask
  /** null = there is no such file, or its form is unusual and only the library can read it. */
  tokenizerFile(path: string, done: (error: Error | null, file?: RawTokenizerFile | null) => void): void
  // The following read and write the arrays on other threads: nobody may change one before `done`.
  /**
   * ranges: [2, dimension] minimum then maximum, for int8/uint8. out: rows*dimension bytes, or rows*ceil(dimension/8)
   * for binary.
   */
  quantize(
    data: Float32Array,
    dimension: number,
    precision: Exclude<Precision, 'float32'>,
    ranges: Float32Array | null,
    out: Int8Array | Uint8Array,
    done: RawDone,
  ): RawTask
  /** Minimum row then maximum row of data, [2, dimension]. */
  ranges(data: Float32Array, dimension: number, out: Float32Array, done: RawDone): RawTask
  /** out[i * rowsB + j] = similarity(a_i, b_j); distances are negated, as sentence-transformers does. */
  similarity(
    a: Float32Array,
    b: Float32Array,
    dimension: number,
    kind: SimilarityName,
    out: Float32Array,
    done: RawDone,
  ): RawTask
}
