/** Options of encode and encodeStream. Names follow sentence-transformers where it has one. */
import type { AttentionMode, LayerFusion, OutputMode, PoolingMode, Precision, Side } from '../core/names.js'
import type { VectorData } from '../core/types.js'

/**
 * Which hidden states to use. Numbering is that of `hidden_states` in transformers: 0 = embeddings, 1 = first layer, -1
 * = last.
 * `'first-last'` = layer 1 and the last; `'last:4'` = the last four; `'4-8'` = layers 4 to 8 inclusive.
 */
export type LayerSelection = number | readonly number[] | string

export interface EncodeOptions {
  /** Default: the model's own. A list is concatenated. */
  pooling?: PoolingMode | readonly PoolingMode[]
  /** Default: the last layer. */
  layers?: LayerSelection
  /** How several layers are joined. Default `'mean'`. */
  layerFusion?: LayerFusion
  /** Whole model, or one entry per layer. Default: the model's own. */
  attention?: AttentionMode | readonly AttentionMode[]
  /**
   * For `attention: 'prefix'`: tokens that see each other in both directions. Default: the prompt's tokens. One number,
   * or one per text.
   */
  prefixTokens?: number | readonly number[]
  /** `'sentence'` (default): one vector a text. `'token'`: one a token, with its place in the text. */
  output?: OutputMode
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
  truncate?: Side | boolean
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
  /** Tokens of the text that the tokenizer does not know. */
  readonly unknownTokens: number
}
