/**
 * One JSON object per text: `{"index","text","embedding","tokens","omitted","unknown"}`, or for token output ids,
 * pieces, offsets and vectors.
 */
import { EmbedCoreError } from '../../core/errors.js'
import type { Precision } from '../../core/names.js'
import type { SentenceEmbeddings, TextCounts, TokenEmbeddings, VectorData } from '../../core/types.js'
import { LONGEST_NUMBER, writeFloat32 } from './decimal.js'

/** The part of a result that is written; the result of no texts has only this. */
export type WrittenEmbeddings = Pick<SentenceEmbeddings<Precision>, 'data' | 'shape' | keyof TextCounts> &
  Partial<SentenceEmbeddings<Precision>>

export interface Results {
  /** Index of the first text in the whole input. */
  start: number
  texts: readonly string[]
  embeddings: WrittenEmbeddings | TokenEmbeddings
}

export const isTokenOutput = (embeddings: Results['embeddings']): embeddings is TokenEmbeddings => 'text' in embeddings

/** A byte buffer that grows, so that a batch is one write and numbers are not converted to strings one by one. */
class Bytes {
  #buffer = Buffer.allocUnsafe(2 ** 16)
  #length = 0

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }

  string(text: string): this {
    // A UTF-16 unit takes at most three bytes of UTF-8.
    this.#reserve(text.length * 3)
    this.#length += this.#buffer.write(text, this.#length)
    return this
  }

  vector(vector: VectorData<Precision>, index: number): this {
    this.#reserve(vector.length * (LONGEST_NUMBER + 1) + 2)
    const buffer = this.#buffer
    let at = this.#length
    buffer[at++] = 91
    for (let i = 0; i < vector.length; i++) {
      if (i > 0) buffer[at++] = 44
      const value = vector[i]!
      if (!Number.isFinite(value))
        throw new EmbedCoreError(
          'ERR_EMBEDCORE_NON_FINITE',
          `Expected a finite number for dimension ${i} of text ${index} but received ${value}, which JSON cannot hold`,
        )
      at = writeFloat32(value, buffer, at)
    }
    buffer[at++] = 93
    this.#length = at
    return this
  }

  taken(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }
}

/** The lines of one batch. Lone surrogates are written as \uXXXX, as JSON.stringify writes them. */
export function jsonLines({ start, texts, embeddings }: Results): Uint8Array {
  const bytes = new Bytes()
  texts.forEach((text, i) => {
    const { tokenCounts, omittedTokens, unknownTokens } = embeddings
    const counts = `"tokens":${tokenCounts[i]},"omitted":${omittedTokens[i]},"unknown":${unknownTokens[i]}`
    bytes.string(`{"index":${start + i},"text":${JSON.stringify(text)},`)
    if (isTokenOutput(embeddings)) {
      const tokens = embeddings.text(i)
      bytes.string(
        `"ids":${JSON.stringify([...tokens.ids])},"pieces":${JSON.stringify(tokens.tokens)},` +
          `"offsets":${JSON.stringify(tokens.offsets)},"embeddings":[`,
      )
      for (let t = 0; t < tokens.shape[0]; t++) {
        if (t > 0) bytes.string(',')
        bytes.vector(tokens.row(t), start + i)
      }
      bytes.string(`],${counts}}\n`)
    } else
      bytes
        .string('"embedding":')
        .vector(embeddings.row!(i), start + i)
        .string(`,${counts}}\n`)
  })
  return bytes.taken()
}
