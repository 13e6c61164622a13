/** The public types of encoding: options in, results out. Names follow sentence-transformers where it has one. */

export type PoolingMode = 'cls' | 'mean' | 'max' | 'mean_sqrt_len' | 'weightedmean' | 'lasttoken'
export type AttentionMode = 'causal' | 'bidirectional' | 'prefix'
export type Precision = 'float32' | 'int8' | 'uint8' | 'binary' | 'ubinary'
/**
 * What the arithmetic of a transformer's layers is done in. Embeddings, the sums between layers, norms, softmax,
 * pooling, modules behind it and the vectors that come out are float32 in each.
 * - `'float32'`: all of it, as the reference computes.
 * - `'bfloat16'`: weights and inputs of matrix products, attention's among them, rounded to bfloat16; their products
 *   summed in float32. The weights of matrix products take half the memory; cosine to the float32 vectors at least
 *   0.9999 on the real models tested.
 * - `'int8'`: weights of matrix products in int8 with one scale an output channel, their inputs in 8 bits with a range
 *   of its own for every token, their sums exact; attention and what else lies between two products as in bfloat16. The
 *   weights of matrix products take a quarter of the memory; cosine to the float32 vectors at least 0.998 on the real
 *   models tested. Loading takes longer: it measures, in float32, how large the inputs of each layer's matrices are.
 */
export type Dtype = 'float32' | 'bfloat16' | 'int8'
export type SimilarityName = 'cosine' | 'dot' | 'euclidean' | 'manhattan'

/**
 * Which hidden states to use. Numbering is that of `hidden_states` in transformers: 0 = embeddings, 1 = first layer, -1
 * = last.
 * `'first-last'` = layer 1 and the last; `'last:4'` = the last four; `'4-8'` = layers 4 to 8 inclusive.
 */
export type LayerSelection = number | readonly number[] | string

export interface LoadOptions {
  /** Where arithmetic runs. Default `'auto'`, today the CPU. */
  device?: 'auto' | 'cpu'
  /**
   * What arithmetic is done in. Default `'float32'`; static models have no other: `'auto'` gives it, the others are
   * ERR_EMBEDCORE_INVALID_OPTION.
   *
   * `'auto'` takes the fastest that keeps cosine to float32 at 0.9999 or better, and a less exact one only when it is 5
   * % faster. It is found by measuring this model on this machine the first time (seconds, or a minute for a large
   * model; never more than two copies of the weights in memory) and remembered in `dtype-choices.json` in
   * `EMBEDCORE_CACHE`, else `XDG_CACHE_HOME/embedcore`, else `~/.cache/embedcore`. When the model's files, the
   * processor, the instruction set or the number of threads change, it is measured anew. A file that cannot be read or
   * written is no error. `info.dtype` and `info.dtypeChoice` tell the outcome.
   *
   * A matrix of more than 65,536 inputs cannot be done in int8 (ERR_EMBEDCORE_UNSUPPORTED_MODEL); `'auto'` then passes
   * over it.
   */
  dtype?: Dtype | 'auto'
  /** Worker threads. Default: the physical cores this process may use (cgroup limits honoured). */
  threads?: number
  /** Tokens per piece of work and the size of the activation arena. Default 4096. */
  maxBatchTokens?: number
  /**
   * Tokens that may wait in the queue before calls are rejected with ERR_EMBEDCORE_QUEUE_FULL. Default 16 Mi tokens.
   */
  maxQueueTokens?: number
  /** Tokens a text is cut to. Default: the model's own `max_seq_length`. */
  maxTokens?: number
  /** Hub: branch, tag or commit. Default `'main'`. */
  revision?: string
  /** Hub cache directory. Default `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`. */
  cacheDir?: string
  /** Hub token. Default `HF_TOKEN`, else the token file of the hub's own command line. */
  token?: string
  /** Never touch the network. Default `HF_HUB_OFFLINE`. */
  offline?: boolean
  /** Called while files are downloaded. */
  onProgress?: (progress: DownloadProgress) => void
  signal?: AbortSignal
}

export interface DownloadProgress {
  file: string
  /** Bytes of this file so far and in all. */
  loaded: number
  total: number
}

export interface EncodeOptions {
  /** Default: the model's own. A list is concatenated. */
  pooling?: PoolingMode | readonly PoolingMode[]
  /** Default: the last layer. */
  layers?: LayerSelection
  /** How several layers are joined. Default `'mean'`. */
  layerFusion?: 'mean' | 'concat'
  /** Whole model, or one entry per layer. Default: the model's own. */
  attention?: AttentionMode | readonly AttentionMode[]
  /**
   * For `attention: 'prefix'`: tokens that see each other in both directions. Default: the prompt's tokens. One number,
   * or one per text.
   */
  prefixTokens?: number | readonly number[]
  /** `'sentence'` (default): one vector a text. `'token'`: one a token, with its place in the text. */
  output?: 'sentence' | 'token'
  /** Default: as the model says. */
  normalize?: boolean
  /** Keep the first n dimensions, then normalise again if normalised. */
  dimensions?: number
  /**
   * Default `'float32'`. int8/uint8 need `ranges`, else they are taken from this call's own vectors as
   * sentence-transformers does.
   */
  precision?: Precision
  /** [2, dimensions] minimum then maximum a dimension, from `embedCore.quantizationRanges()`. */
  ranges?: Float32Array
  /** Text put before every input. */
  prompt?: string
  /** A prompt of the model by name, e.g. `'query'`. */
  promptName?: string
  /** Tokens a text is cut to; at most what the model allows. */
  maxTokens?: number
  /** Which end is cut when a text is too long; `false` = refuse with ERR_EMBEDCORE_TEXT_TOO_LONG. Default `'right'`. */
  truncate?: 'right' | 'left' | boolean
  signal?: AbortSignal
  onProgress?: (progress: EncodeProgress) => void
}

/** Options of encode that give one vector a text. */
export type SentenceOptions<P extends Precision = Precision> = EncodeOptions & { output?: 'sentence'; precision?: P }
/** Options of encode that give one vector a token. */
export type TokenOptions = EncodeOptions & { output: 'token' }

export interface EncodeProgress {
  /** Texts finished and in all. */
  done: number
  total: number
  /** Tokens finished. */
  tokens: number
}

/** Typed array of the chosen precision. */
export type VectorData<P extends Precision = Precision> = P extends 'float32'
  ? Float32Array
  : P extends 'int8' | 'binary'
    ? Int8Array
    : Uint8Array

/** One vector a text. */
export interface SentenceEmbeddings<P extends Precision = Precision> {
  readonly data: VectorData<P>
  /** [texts, columns]; columns = dimensions, or dimensions / 8 for binary. */
  readonly shape: readonly [number, number]
  readonly precision: P
  /** Tokens of each text after truncation, special ones included. */
  readonly tokenCounts: Int32Array
  /** Tokens cut from each text; 0 = whole. */
  readonly omittedTokens: Int32Array
  /** The ranges used, for int8 and uint8. */
  readonly ranges?: Float32Array
  /** View of row i (no copy). */
  row(i: number): VectorData<P>
  [Symbol.iterator](): IterableIterator<VectorData<P>>
}

/** One vector a token. */
export interface TokenEmbeddings {
  readonly data: Float32Array
  /** [tokens of all texts, dimensions]. */
  readonly shape: readonly [number, number]
  readonly tokenCounts: Int32Array
  readonly omittedTokens: Int32Array
  /** Texts. */
  readonly length: number
  text(i: number): TextTokens
}

/** The tokens of one text. */
export interface TextTokens {
  /** [tokens, dimensions], a view. */
  readonly data: Float32Array
  readonly shape: readonly [number, number]
  readonly ids: Int32Array
  readonly tokens: readonly string[]
  /**
   * [start, end) of each token in UTF-16 units of the text as given (the prompt excluded); special and prompt tokens
   * have [0, 0).
   */
  readonly offsets: readonly (readonly [number, number])[]
  /** View of the vector of token t. */
  row(t: number): Float32Array
}

/** Options of encodeStream: those of encode for one vector a text, and how much is read ahead. */
export interface StreamOptions<P extends Precision = Precision> extends Omit<
  EncodeOptions,
  'output' | 'prefixTokens' | 'onProgress'
> {
  /** int8 and uint8 need `ranges` here, so that all vectors of the stream have the same. */
  precision?: P
  /** For `attention: 'prefix'`: one number for all texts. */
  prefixTokens?: number
  /** Texts encoded together; twice as many are read ahead. Default 128. */
  batchSize?: number
}

/** What encodeStream yields, in the order of the input. */
export interface StreamedEmbedding<P extends Precision = 'float32'> {
  readonly index: number
  readonly text: string
  readonly vector: VectorData<P>
  readonly tokenCount: number
  /** Tokens cut from the text; 0 = whole. */
  readonly omittedTokens: number
}

/** Similarities of the rows of a with the rows of b. */
export interface Similarities {
  readonly data: Float32Array
  /** [rows of a, rows of b] */
  readonly shape: readonly [number, number]
  /** The similarities of row i of a, a view. */
  row(i: number): Float32Array
}

/** What a model is, and how it runs. */
export interface ModelInfo {
  /** The path or hub id it was loaded by. */
  readonly name: string
  /** The directory its files lie in. */
  readonly path: string
  readonly kind: 'transformer' | 'static'
  readonly family: string
  /** Numbers a vector of encode has when a call asks for nothing else. */
  readonly dimension: number
  readonly hiddenSize: number
  /** 0 for static models, like heads and kvHeads. */
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly vocabSize: number
  /** Tokens a text is cut to when a call does not say; 0 = never cut. */
  readonly maxTokens: number
  readonly parameters: number
  /** dtype of the weights in the file. */
  readonly fileDtype: string
  /** What its arithmetic is done in; what `dtype: 'auto'` came to. */
  readonly dtype: Dtype
  /** What `dtype: 'auto'` was decided by; null when the caller chose or left it at the default. */
  readonly dtypeChoice: DtypeChoice | null
  /** Bytes the weights take in memory: matrices of products in `dtype`, embedding tables in float32. */
  readonly weightBytes: number
  readonly pooling: readonly PoolingMode[]
  /** Whether vectors come normalised when a call does not say. */
  readonly normalize: boolean
  readonly prompts: Readonly<Record<string, string>>
  readonly defaultPromptName: string | null
  readonly similarity: SimilarityName
  readonly attention: AttentionMode
  /**
   * The CPU path that runs: `cpu-avx512bf16`, `cpu-avx512vnni`, `cpu-avx512`, `cpu-avx2vnni`, `cpu-avx2`, `cpu-plain`
   * or `reference`.
   */
  readonly isa: string
  readonly threads: number
}

/** What a dtype was found to do on this machine, over a few dozen texts of several languages and lengths. */
export interface DtypeMeasurement {
  readonly dtype: Dtype
  /**
   * The least cosine of a text's vector to its vector in float32. 0 = it could not be run, or gave no usable numbers.
   */
  readonly leastCosine: number
  /**
   * From strings to vectors, median of rounds in turn with float32. 0 = it could not be run, or gave no usable numbers.
   */
  readonly tokensPerSecond: number
}

/** What `dtype: 'auto'` was decided by. */
export interface DtypeChoice {
  /** float32 first; empty for static models, which have nothing to choose. */
  readonly measured: readonly DtypeMeasurement[]
  /** Whether it was known from an earlier load, of this process or another. */
  readonly remembered: boolean
}

/** A device that a model could run on, and why not where it cannot. */
export interface DeviceInfo {
  readonly device: 'cpu' | 'cuda'
  readonly available: boolean
  /** null when available. */
  readonly reason: string | null
  readonly detail: Readonly<Record<string, unknown>>
}
