/** The result objects of encode: typed arrays with shapes, rows as views. */

import { EmbedCoreError } from './errors.js'
import type { Precision } from './names.js'
import type { SentenceEmbeddings, TextTokens, TokenEmbeddings, VectorData } from './types.js'

/** Wraps finished rows. `data` has texts * columns values. */
export function sentenceEmbeddings<P extends Precision>(
  precision: P,
  data: VectorData<P>,
  columns: number,
  tokenCounts: Int32Array,
  omittedTokens: Int32Array,
  ranges?: Float32Array,
): SentenceEmbeddings<P> {
  const texts = tokenCounts.length
  const row = (i: number): VectorData<P> => {
    checkIndex(i, texts, 'row')
    return data.subarray(i * columns, (i + 1) * columns) as VectorData<P>
  }
  return {
    data,
    shape: [texts, columns],
    precision,
    tokenCounts,
    omittedTokens,
    ...(ranges ? { ranges } : {}),
    row,
    *[Symbol.iterator]() {
      for (let i = 0; i < texts; ++i) yield row(i)
    },
  }
}

/** What the token output of one chunk of texts is made of. */
export interface TokenChunk {
  data: Float32Array
  ids: Int32Array
  /** [texts + 1] */
  offsets: Int32Array
  omitted: Int32Array
  /** [tokens, 2], UTF-16 units of the caller's own text. */
  charOffsets: Int32Array
}

/** Joins chunks into one result. `names` turns ids into token strings when asked for. */
export function tokenEmbeddings(
  chunks: readonly TokenChunk[],
  dimension: number,
  names: (ids: Int32Array) => string[],
): TokenEmbeddings {
  const tokens = chunks.reduce((sum, chunk) => sum + chunk.ids.length, 0)
  const texts = chunks.reduce((sum, chunk) => sum + chunk.omitted.length, 0)
  const data = new Float32Array(tokens * dimension)
  const ids = new Int32Array(tokens)
  const charOffsets = new Int32Array(tokens * 2)
  const starts = new Int32Array(texts + 1)
  const omittedTokens = new Int32Array(texts)
  let token = 0
  let text = 0
  for (const chunk of chunks) {
    data.set(chunk.data, token * dimension)
    ids.set(chunk.ids, token)
    charOffsets.set(chunk.charOffsets, token * 2)
    omittedTokens.set(chunk.omitted, text)
    for (let i = 1; i < chunk.offsets.length; ++i) starts[text + i] = token + (chunk.offsets[i] as number)
    token += chunk.ids.length
    text += chunk.omitted.length
  }
  return {
    data,
    shape: [tokens, dimension],
    tokenCounts: Int32Array.from({ length: texts }, (_, i) => (starts[i + 1] as number) - (starts[i] as number)),
    omittedTokens,
    length: texts,
    text(i: number): TextTokens {
      checkIndex(i, texts, 'text')
      const begin = starts[i] as number
      const end = starts[i + 1] as number
      const own = ids.subarray(begin, end)
      return {
        data: data.subarray(begin * dimension, end * dimension),
        shape: [end - begin, dimension],
        ids: own,
        tokens: names(own),
        offsets: Array.from(
          { length: end - begin },
          (_, t) => [charOffsets[(begin + t) * 2] as number, charOffsets[(begin + t) * 2 + 1] as number] as const,
        ),
        row(t: number) {
          checkIndex(t, end - begin, 'row')
          return data.subarray((begin + t) * dimension, (begin + t + 1) * dimension)
        },
      }
    },
  }
}

function checkIndex(i: number, count: number, what: string): void {
  if (!Number.isInteger(i) || i < 0 || i >= count) throw new RangeError(`${what} ${i} is outside 0 to ${count - 1}`)
}

/** A Float32Array, or a coded error where the engine's own is a bare RangeError. */
export function allocate(values: number): Float32Array {
  try {
    return new Float32Array(values)
  } catch (error) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_OUT_OF_MEMORY',
      `No memory for a result of ${values} numbers (${Math.ceil((values * 4) / 2 ** 20)} MiB); encode fewer texts a call, or use encodeStream`,
      { cause: error },
    )
  }
}
