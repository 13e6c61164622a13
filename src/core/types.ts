/** What encode returns. */
import type { Precision } from './names.js'

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
