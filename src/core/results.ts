/**
 * The result objects of encode and similarity: typed arrays with shapes, rows as views. Methods are not enumerable, so
 * that structuredClone and postMessage copy the data and leave them out.
 */
import { EmbedCoreError } from './errors.js'
import { allocate } from './memory.js'
import type { Precision } from './names.js'
import { show } from './show.js'
import type { SentenceEmbeddings, TextCounts, TextTokens, TokenEmbeddings, VectorData } from './types.js'

/** Wraps finished rows. `data` has texts * columns values. */
export function sentenceEmbeddings<P extends Precision>(
  precision: P,
  data: VectorData<P>,
  columns: number,
  { tokenCounts, omittedTokens, unknownTokens }: TextCounts,
  ranges?: Float32Array,
): SentenceEmbeddings<P> {
  const texts = tokenCounts.length
  const row = rowsOf(data, texts, columns)
  return withMethods(
    {
      data,
      shape: [texts, columns] as const,
      precision,
      tokenCounts,
      omittedTokens,
      unknownTokens,
      ...(ranges ? { ranges } : {}),
    },
    {
      row,
      *[Symbol.iterator]() {
        for (let i = 0; i < texts; ++i) yield row(i)
      },
    },
  )
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
  { tokenCounts, omittedTokens, unknownTokens }: TextCounts,
  names: (ids: Int32Array) => string[],
): TokenEmbeddings {
  const tokens = chunks.reduce((sum, chunk) => sum + chunk.ids.length, 0)
  const texts = tokenCounts.length
  const data = allocate(tokens * dimension)
  const ids = allocate(tokens, Int32Array)
  const charOffsets = allocate(tokens * 2, Int32Array)
  let token = 0
  for (const chunk of chunks) {
    data.set(chunk.data, token * dimension)
    ids.set(chunk.ids, token)
    charOffsets.set(chunk.charOffsets, token * 2)
    token += chunk.ids.length
  }
  const starts = allocate(texts + 1, Int32Array)
  for (let i = 0; i < texts; ++i) starts[i + 1] = starts[i]! + tokenCounts[i]!
  const text = (i: number): TextTokens => {
    checkIndex(i, texts, 'text')
    const begin = starts[i]!
    const end = starts[i + 1]!
    return textTokens(
      data.subarray(begin * dimension, end * dimension),
      dimension,
      ids.subarray(begin, end),
      charOffsets.subarray(2 * begin, 2 * end),
      names,
    )
  }
  return withMethods(
    {
      data,
      shape: [tokens, dimension] as const,
      ids,
      charOffsets,
      tokenCounts,
      omittedTokens,
      unknownTokens,
      length: texts,
    },
    { text },
  )
}

function textTokens(
  data: Float32Array,
  dimension: number,
  ids: Int32Array,
  charOffsets: Int32Array,
  names: (ids: Int32Array) => string[],
): TextTokens {
  return withMethods(
    {
      data,
      shape: [ids.length, dimension] as const,
      ids,
      tokens: names(ids),
      offsets: Array.from(ids, (_, t) => [charOffsets[2 * t]!, charOffsets[2 * t + 1]!] as const),
    },
    { row: rowsOf(data, ids.length, dimension) },
  )
}

/** `row(i)` of a matrix: a view that needs no `this`. */
export function rowsOf<T extends { subarray(begin: number, end: number): unknown }>(
  data: T,
  rows: number,
  columns: number,
): (i: number) => T {
  return (i) => {
    checkIndex(i, rows, 'row')
    return data.subarray(i * columns, (i + 1) * columns) as T
  }
}

/** Adds methods that are not enumerable: clones and spreads hold the data alone. */
export function withMethods<T extends object, M extends object>(data: T, methods: M): T & M {
  for (const key of Reflect.ownKeys(methods)) {
    const value: unknown = methods[key as keyof M]
    Object.defineProperty(data, key, { value, enumerable: false, writable: true, configurable: true })
  }
  return data as T & M
}

function checkIndex(i: unknown, count: number, what: string): void {
  if (Number.isInteger(i) && (i as number) >= 0 && (i as number) < count) return
  const expected = count === 0 ? `no ${what} (the result has none)` : `an integer from 0 to ${count - 1} for ${what}`
  throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `Expected ${expected} but received ${show(i)}`)
}
