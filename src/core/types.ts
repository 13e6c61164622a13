/** The results of encode and tokenize. */
import type { Precision } from './names.js'

/** Typed array of a precision: Float32Array; Int8Array for `int8` and `binary`; Uint8Array for the other two. */
export type VectorData<P extends Precision = 'float32'> = P extends 'float32'
  ? Float32Array
  : P extends 'int8' | 'binary'
    ? Int8Array
    : Uint8Array

/** Counts that every result has, one number per text. */
export interface TextCounts {
  /** Tokens of each text after truncation, special ones included. */
  readonly tokenCounts: Int32Array
  /** Tokens that truncation cut from each text; 0 = whole. */
  readonly omittedTokens: Int32Array
  /**
   * Tokens of each text that the tokenizer does not know (its unknown token), special and prompt tokens not counted. A
   * vector says nothing about them. 0 for tokenizers without an unknown token.
   */
  readonly unknownTokens: Int32Array
}

/**
 * One vector per text. Everything but the methods is plain data: `structuredClone` and `postMessage` copy it.
 * @example
 * const { data, shape } = await model.encode(['one text', 'another'])
 * const [texts, dimensions] = shape
 * data.subarray(dimensions, 2 * dimensions) // the vector of the second text
 */
export interface SentenceEmbeddings<P extends Precision = 'float32'> extends TextCounts {
  /** All vectors, one after the other: row i is data[i * columns .. (i + 1) * columns). */
  readonly data: VectorData<P>
  /** [texts, columns]; columns = dimensions, or dimensions / 8 for `binary` and `ubinary`. */
  readonly shape: readonly [number, number]
  readonly precision: P
  /** The ranges used, [2, dimensions]: only for `int8` and `uint8`. */
  readonly ranges?: Float32Array
  /**
   * View of the vector of text i (no copy).
   * @throws ERR_EMBEDCORE_INVALID_OPTION when there is no text i.
   */
  row(i: number): VectorData<P>
  /** The rows in order. */
  [Symbol.iterator](): IterableIterator<VectorData<P>>
}

/**
 * One vector per token. Everything but the methods is plain data: `structuredClone` and `postMessage` copy it.
 * @example
 * const result = await model.encode('New York', { output: 'token' })
 * const { tokens, offsets, row } = result.text(0)
 * tokens.forEach((token, t) => console.log(token, offsets[t], row(t)))
 */
export interface TokenEmbeddings extends TextCounts {
  /** The vectors of all tokens, text by text. */
  readonly data: Float32Array
  /** [tokens of all texts, dimensions]. */
  readonly shape: readonly [number, number]
  /** Ids of all tokens, text by text. */
  readonly ids: Int32Array
  /** [tokens of all texts, 2]: start and end of each token, as in `TextTokens.offsets`. */
  readonly charOffsets: Int32Array
  /** Number of texts. */
  readonly length: number
  /**
   * The tokens of text i.
   * @throws ERR_EMBEDCORE_INVALID_OPTION when there is no text i.
   */
  text(i: number): TextTokens
}

/**
 * The tokens of texts without their vectors. Everything but the method is plain data: `structuredClone` and
 * `postMessage` copy it. The whole length of text i, before truncation, is tokenCounts[i] + omittedTokens[i].
 */
export interface TokenizedTexts extends TextCounts {
  /** Ids of all tokens, text by text. */
  readonly ids: Int32Array
  /** [tokens of all texts, 2]: start and end of each token, as in `TokenizedText.offsets`. */
  readonly charOffsets: Int32Array
  /** Number of texts. */
  readonly length: number
  /**
   * The tokens of text i.
   * @throws ERR_EMBEDCORE_INVALID_OPTION when there is no text i.
   */
  text(i: number): TokenizedText
}

/** The tokens of one text. */
export interface TokenizedText {
  readonly ids: Int32Array
  /** The tokens as the vocabulary writes them. */
  readonly tokens: readonly string[]
  /**
   * [start, end) of each token in UTF-16 units of the text as given, the prompt excluded; special and prompt tokens
   * have [0, 0).
   */
  readonly offsets: readonly (readonly [number, number])[]
}

/** The tokens of one text and their vectors. */
export interface TextTokens extends TokenizedText {
  /** [tokens, dimensions], a view. */
  readonly data: Float32Array
  /** [tokens, dimensions]. */
  readonly shape: readonly [number, number]
  /**
   * View of the vector of token t (no copy).
   * @throws ERR_EMBEDCORE_INVALID_OPTION when there is no token t.
   */
  row(t: number): Float32Array
}
