/** The corpus of a fit: texts that a model encodes, or vectors, in batches of rows that have been checked. */
import { types } from 'node:util'
import { EmbedCoreError } from '../core/errors.js'
import { allocate } from '../core/memory.js'
import { invalidOption } from '../core/options.js'
import { reason, show } from '../core/show.js'
import { DataFile } from '../data/data-file.js'
import { formatOf, readLines } from '../data/file-records.js'
import { Encoding, regrouped } from '../evaluate/encoding.js'
import type { Slices } from '../evaluate/slices.js'
import { type Column, openTable } from '../evaluate/table.js'
import type { Encoder } from '../evaluate/types.js'
import { viewsOf } from '../evaluate/views.js'
import type { CheckedFit } from './options.js'
import type { VectorRows } from './types.js'

export interface Rows {
  readonly data: Float32Array
  readonly width: number
}

/** Vectors of texts, in the order of the texts. `stop` is aborted when what was begun is not needed any more. */
export async function* encodedRows(
  encoder: Encoder,
  texts: unknown,
  fit: CheckedFit,
  stop: AbortController,
  slices: Slices,
): AsyncGenerator<Rows> {
  const encoding = new Encoding(encoder, fit.encode, stop, slices, () => undefined)
  const batches = regrouped(textGroups(texts, fit, stop.signal), fit.batchSize, slices)
  for await (const { result } of encoding.overlapping(batches, (batch) => encoding.rows(batch, {}))) yield result
}

const TEXT = { name: 'text', also: ['sentence', 'sentence1', 'sentences'], type: 'text' } as const satisfies Column
/** Texts in memory that are passed on together. */
const GROUP = 256

/** Groups of texts of any size. */
export async function* textGroups(
  texts: unknown,
  { columns, quote }: Pick<CheckedFit, 'columns' | 'quote'>,
  signal: AbortSignal,
): AsyncGenerator<readonly string[]> {
  if (typeof texts === 'string') {
    yield* textsOfFile(texts, columns, quote, signal)
    return
  }
  if (columns !== null) throw invalidOption('columns', 'nothing beside texts in memory', columns)
  let group: string[] = []
  let read = 0
  for await (const text of iterated(texts, 'texts')) {
    if (typeof text !== 'string')
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_TEXT',
        `Expected a string for text ${read} but received ${show(text)}`,
      )
    read++
    group.push(text)
    if (group.length < GROUP) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}

async function* textsOfFile(
  path: string,
  columns: readonly (string | number)[] | null,
  quote: string | null,
  signal: AbortSignal,
): AsyncGenerator<readonly string[]> {
  const file = await DataFile.open(path)
  if (formatOf(file) === null) {
    if (columns !== null)
      throw invalidOption('columns', `nothing for ${path} (only .csv, .tsv, .jsonl and .parquet have them)`, columns)
    for await (const lines of readLines(file, signal)) yield lines.map(({ value }) => value)
    return
  }
  const own = columns === null ? [TEXT] : columns.map((name): Column => ({ name: String(name), type: 'text' }))
  const table = { data: path, columns, quote, split: '', subset: null, views: viewsOf(undefined) }
  const { groups } = await openTable(table, own, signal)
  for await (const rows of groups) yield rows.flat() as string[]
}

/** Batches of vectors as the caller has them; each is copied, so that later changes to it have no effect. */
export async function* givenRows(source: unknown, slices: Slices): AsyncGenerator<Rows> {
  if (isRows(source)) {
    yield* piecesOf(source, slices)
    return
  }
  for await (const batch of iterated(source, 'vectors')) {
    if (!isRows(batch)) throw invalidOption('a batch of vectors', EXPECTED, batch)
    yield* piecesOf(batch, slices)
  }
}

const EXPECTED = 'float32 vectors with a shape, as encode returns,'

export function isRows(value: unknown): value is VectorRows {
  return typeof value === 'object' && value !== null && 'data' in value && 'shape' in value
}

/** The numbers of some vectors, checked but for their values. */
export function rowsOf(given: unknown, what: string): Rows {
  const { data, shape } = isRows(given) ? given : {}
  const [count, width] = [shape?.[0], shape?.[1]]
  if (!types.isFloat32Array(data) || !Number.isInteger(width) || width! < 1)
    throw invalidOption(what, EXPECTED, isRows(given) ? data : given)
  if (data.length !== count! * width!)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_SHAPE_MISMATCH',
      `Expected ${count} x ${width} numbers for ${what} but received ${data.length}`,
    )
  return { data, width: width! }
}

/** Some of the rows, copied. */
export function picked({ data, width }: Rows, some: Uint32Array): Float32Array {
  const rows = allocate(some.length * width)
  some.forEach((pair, i) => rows.set(data.subarray(pair * width, (pair + 1) * width), i * width))
  return rows
}

/** Numbers that are copied between two looks at the clock. */
const COPIED = 1 << 18

async function* piecesOf(given: VectorRows, slices: Slices): AsyncGenerator<Rows> {
  const { data, width } = rowsOf(given, 'vectors')
  const step = Math.max(1, Math.floor(COPIED / width)) * width
  for (let start = 0; start < data.length; start += step) {
    if (slices.over) await slices.next()
    yield { data: data.slice(start, start + step), width }
  }
}

/** The items of an iterable. What it throws comes with a code; it is closed when the loop is left. */
export async function* iterated(source: unknown, what: string): AsyncGenerator<unknown> {
  const failed = (error: unknown): EmbedCoreError =>
    error instanceof EmbedCoreError
      ? error
      : new EmbedCoreError('ERR_EMBEDCORE_INVALID_DATA', `Reading the ${what} failed: ${reason(error)}`, {
          cause: error,
        })
  let iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined
  try {
    const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } = Object(source) as Partial<
      AsyncIterable<unknown> & Iterable<unknown>
    >
    iterator = asynchronous?.call(source) ?? synchronous?.call(source)
  } catch (error) {
    throw failed(error)
  }
  if (typeof iterator?.next !== 'function')
    throw invalidOption(`the ${what}`, what === 'texts' ? 'a list or iterable of texts, or a path' : EXPECTED, source)
  let ended = false
  try {
    for (;;) {
      let next: IteratorResult<unknown>
      try {
        next = await iterator.next()
      } catch (error) {
        ended = true
        throw failed(error)
      }
      if (next.done === true) {
        ended = true
        return
      }
      yield next.value
    }
  } finally {
    if (!ended) await iterator.return?.()
  }
}
