/**
 * The result objects of encode and similarity: typed arrays with shapes, rows as views. Methods are not enumerable, so
 * that structuredClone and postMessage copy the data and leave them out.
 */
import { EmbedCoreError } from './errors.js'
import { allocate } from './memory.js'
import type { Precision } from './names.js'
import { show } from './show.js'
import type {
  SentenceEmbeddings,
  TextCounts,
  TextTokens,
  TokenEmbeddings,
  TokenizedText,
  TokenizedTexts,
  VectorData,
} from './types.js'

/** Wraps finished rows. `data` has texts * columns values. */
export function sentenceEmbeddings<P extends Precision>(
  precision: P,
  data: VectorData<P>,
  columns: number,
  counts: TextCounts,
  ranges?: Float32Array,
): SentenceEmbeddings<P> {
  const texts = counts.tokenCounts.length
  const row = rowsOf(data, texts, columns)
  return withMethods(
    { data, shape: [texts, columns] as const, precision, ...counts, ...(ranges ? { ranges } : {}) },
    {
      row,
      *[Symbol.iterator]() {
        for (let i = 0; i < texts; ++i) yield row(i)
      },
    },
  )
}

/** Wraps the vectors and offsets of all tokens. `names` turns ids into token strings, on first use. */
export function tokenEmbeddings(
  data: Float32Array,
  dimension: number,
  { ids, charOffsets }: { ids: Int32Array; charOffsets: Int32Array },
  counts: TextCounts,
  names: (ids: Int32Array) => string[],
): TokenEmbeddings {
  const tokens = ids.length
  const { tokenCounts } = counts
  const texts = tokenCounts.length
  const starts = startsOf(tokenCounts)
  const text = (i: number): TextTokens => {
    checkIndex(i, texts, 'text')
    const [begin, end] = [starts[i]!, starts[i + 1]!]
    const rows = data.subarray(begin * dimension, end * dimension)
    return withMethods(
      {
        data: rows,
        shape: [end - begin, dimension] as const,
        ...oneText(ids.subarray(begin, end), charOffsets.subarray(2 * begin, 2 * end), names),
      },
      { row: rowsOf(rows, end - begin, dimension) },
    )
  }
  const shape = [tokens, dimension] as const
  return withMethods({ data, shape, ids, charOffsets, ...counts, length: texts }, { text })
}

/** Token ids and places without vectors. */
export function tokenizedTexts(
  ids: Int32Array,
  charOffsets: Int32Array,
  counts: TextCounts,
  names: (ids: Int32Array) => string[],
): TokenizedTexts {
  const texts = counts.tokenCounts.length
  const starts = startsOf(counts.tokenCounts)
  const text = (i: number): TokenizedText => {
    checkIndex(i, texts, 'text')
    const [begin, end] = [starts[i]!, starts[i + 1]!]
    return oneText(ids.subarray(begin, end), charOffsets.subarray(2 * begin, 2 * end), names)
  }
  return withMethods({ ids, charOffsets, ...counts, length: texts }, { text })
}

/** The position at which each text begins among the tokens, and the end of the last one. */
function startsOf(tokenCounts: Int32Array): Int32Array {
  const starts = allocate(tokenCounts.length + 1, Int32Array)
  for (let i = 0; i < tokenCounts.length; ++i) starts[i + 1] = starts[i]! + tokenCounts[i]!
  return starts
}

function oneText(ids: Int32Array, charOffsets: Int32Array, names: (ids: Int32Array) => string[]): TokenizedText {
  const offsets = Array.from(ids, (_, t) => [charOffsets[2 * t]!, charOffsets[2 * t + 1]!] as const)
  return { ids, tokens: names(ids), offsets }
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

/** Adds methods that are not enumerable, so that clones and spreads hold only the data. */
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
