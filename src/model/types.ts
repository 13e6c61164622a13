/** Options of encode, tokenize and encodeStream. Names follow sentence-transformers where it has one. */
import type { AttentionMode, LayerFusion, OutputMode, PoolingMode, Precision, Side } from '../core/names.js'
import type { VectorData } from '../core/types.js'

/**
 * Which hidden states to use, numbered as `hidden_states` in transformers: 0 = embeddings, 1 = first layer, -1 = last.
 * `'first-last'` = layer 1 and the last; `'last:4'` = the last four; `'4-8'` = layers 4 to 8 inclusive; commas join
 * several of them.
 */
export type LayerSelection = number | readonly number[] | string

/** Options that decide how texts become tokens. */
export interface TokenizeOptions {
  /** Text put before every input. Default: the model's default prompt, if it has one. */
  prompt?: string
  /** A prompt of the model by name, e.g. `'query'`; see `info.prompts`. */
  promptName?: string
  /**
   * Tokens a text is cut to, special and prompt tokens included; at most what the model allows. Default:
   * `info.maxTokens`.
   */
  maxTokens?: number
  /**
   * Which end is cut when a text is too long; `true` = the end that the tokenizer's files name; `false` = refuse with
   * ERR_EMBEDCORE_TEXT_TOO_LONG. Default `true`, for most models `'right'`.
   */
  truncate?: Side | boolean
  /** Stops the call, which then rejects with ERR_EMBEDCORE_ABORTED. */
  signal?: AbortSignal
}

/** Options of encode. */
export interface EncodeOptions extends TokenizeOptions {
  /** How the tokens of a text become one vector; several are concatenated. Default: the model's own. */
  pooling?: PoolingMode | readonly PoolingMode[]
  /** Default: the last layer. */
  layers?: LayerSelection
  /** How several layers are joined. Default `'mean'`. */
  layerFusion?: LayerFusion
  /** Which tokens a token sees: one mode for the model, or one per layer. Default: the model's own. */
  attention?: AttentionMode | readonly AttentionMode[]
  /**
   * For `attention: 'prefix'`: leading tokens that see each other in both directions; one number, or one per text.
   * Default: the prompt's tokens.
   */
  prefixTokens?: number | readonly number[]
  /** `'sentence'`: one vector per text. `'token'`: one per token, with its place in the text. Default `'sentence'`. */
  output?: OutputMode
  /** Whether vectors get length 1. Default: as the model says. */
  normalize?: boolean
  /** Keep the first n dimensions, then normalise again if the output is normalised. Default: the model's own. */
  dimensions?: number
  /**
   * Type of the numbers returned. Default `'float32'`. `'int8'` and `'uint8'` divide the range of each dimension into
   * 256 steps; without `ranges` they take the ranges of this call's own vectors, as sentence-transformers does.
   */
  precision?: Precision
  /** [2, dimensions]: the minimum, then the maximum of each dimension, from `quantizationRanges()`. */
  ranges?: Float32Array
  /** The name of an adapter that `loadAdapter` loaded, for this call. Default: none. */
  adapter?: string
  /** Called as texts are finished. What it throws ends the call with ERR_EMBEDCORE_INVALID_OPTION. */
  onProgress?: (progress: EncodeProgress) => void
}

/** Options of encode that give one vector per text. */
export type SentenceOptions<P extends Precision = Precision> = EncodeOptions & { output?: 'sentence'; precision?: P }
/** Options of encode that give one vector per token. */
export type TokenOptions = EncodeOptions & { output: 'token' }

export interface EncodeProgress {
  /** Texts finished. */
  done: number
  /** Texts of the call. */
  total: number
  /** Tokens finished. */
  tokens: number
}

/** Options of loadAdapter. */
export interface AdapterOptions {
  /** What calls name it by. Default `'default'`. */
  name?: string
  /** Stops the load, which then rejects with ERR_EMBEDCORE_ABORTED. */
  signal?: AbortSignal
}

/** An adapter beside a model. */
export interface AdapterInfo {
  readonly name: string
  /** The directory of its files. */
  readonly path: string
  /** Matrices that it changes. */
  readonly matrices: number
  /** Its parameters. */
  readonly parameters: number
  /** Bytes that it takes in memory, on the device of the model. */
  readonly weightBytes: number
}

/** Options of encodeStream: those of encode for one vector per text, and how much is read ahead. */
export interface StreamOptions<P extends Precision = Precision> extends Omit<
  EncodeOptions,
  'output' | 'prefixTokens' | 'onProgress'
> {
  /** Default `'float32'`. `'int8'` and `'uint8'` need `ranges`, so that all vectors of the stream have the same. */
  precision?: P
  /** For `attention: 'prefix'`: one number for all texts. */
  prefixTokens?: number
  /** Texts encoded together, 1 to 65536; twice as many are read ahead. Default 128. */
  batchSize?: number
}

/** What encodeStream yields, in the order of the input. */
export interface StreamedEmbedding<P extends Precision = 'float32'> {
  /** Number of the text, from 0. */
  readonly index: number
  readonly text: string
  /** A copy: it stays valid and keeps nothing else alive. */
  readonly vector: VectorData<P>
  /** Tokens after truncation, special ones included. */
  readonly tokenCount: number
  /** Tokens that truncation cut; 0 = whole. */
  readonly omittedTokens: number
  /** Tokens that the tokenizer does not know; see `TextCounts.unknownTokens`. */
  readonly unknownTokens: number
}
