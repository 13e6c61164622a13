/** Similarity and quantisation of finished vectors. The arithmetic is native and runs off the event loop. */
import { setImmediate } from 'node:timers/promises'
import { types } from 'node:util'
import { abortError } from './abort.js'
import type { RawDone, RawTask } from './binding.js'
import { EmbedCoreError, toEmbedCoreError } from './errors.js'
import { allocate } from './memory.js'
import { type Precision, SIMILARITIES, type SimilarityName } from './names.js'
import { native } from './native.js'
import { abortSignal, checkOptions, integer, invalidOption, oneOf } from './options.js'
import { rowsOf, withMethods } from './results.js'
import { reason } from './show.js'
import type { VectorData } from './types.js'

/** Rows of float32 vectors: a result of encode (or a clone of it), or the numbers alone. */
export type Vectors = Float32Array | { readonly data: Float32Array; readonly shape: readonly [number, number] }

/** Options of `similarity`. */
export interface SimilarityOptions {
  /** Default: the model's own, else `'cosine'`. Distances are negated, so that greater is nearer. */
  metric?: SimilarityName
  /** Numbers per vector. Needed only where both sides are bare Float32Arrays and no model knows the number. */
  dimension?: number
  /** Ends the comparison early, with ERR_EMBEDCORE_ABORTED. */
  signal?: AbortSignal
}

/**
 * Similarities of the rows of a with the rows of b. Everything but the method is plain data: `structuredClone` and
 * `postMessage` copy it.
 */
export interface Similarities {
  /** Row by row: the similarity of row i of a and row j of b is data[i * shape[1] + j]. */
  readonly data: Float32Array
  /** [rows of a, rows of b] */
  readonly shape: readonly [number, number]
  /**
   * View of the similarities of row i of a (no copy).
   * @throws ERR_EMBEDCORE_INVALID_OPTION when a has no row i.
   */
  row(i: number): Float32Array
}

/**
 * [rows of a, rows of b] similarities, as `similarity` of sentence-transformers. Runs off the event loop, on all cores
 * that the process may use. The vectors are copied first, so later changes to them have no effect.
 * @throws ERR_EMBEDCORE_SHAPE_MISMATCH when the vectors have different lengths; ERR_EMBEDCORE_INVALID_OPTION when they
 *   are not float32 vectors; ERR_EMBEDCORE_UNKNOWN_OPTION; ERR_EMBEDCORE_ABORTED;
 *   ERR_EMBEDCORE_OUT_OF_MEMORY; ERR_EMBEDCORE_THREAD_LIMIT where the system starts no threads.
 * @example
 * const [query, documents] = await Promise.all([model.encodeQuery('cats'), model.encodeDocument(texts)])
 * const scores = (await similarity(query, documents)).row(0)
 */
export async function similarity(
  a: Vectors,
  b: Vectors,
  options?: SimilarityOptions,
  defaults: { metric: SimilarityName; dimension?: number } = { metric: 'cosine' },
): Promise<Similarities> {
  const given = checkOptions(options, { metric: oneOf(...SIMILARITIES), dimension: integer(1), signal: abortSignal })
  const [left, right] = [read(a, 'a'), read(b, 'b')]
  const known = given.dimension ?? left.width ?? right.width ?? defaults.dimension
  if (known === undefined)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      'Expected a dimension beside bare Float32Arrays but received none',
    )
  const rowsA = countRows(left, known, 'a')
  const rowsB = countRows(right, known, 'b')
  const data = allocate(rowsA * rowsB)
  const metric = given.metric ?? defaults.metric
  if (given.signal?.aborted === true) throw abortError(given.signal)
  if (data.length > 0) {
    const own = await copied(left.data, given.signal)
    const other = right.data === left.data ? own : await copied(right.data, given.signal)
    await compare(own, other, known, metric, data, given.signal)
  }
  return withMethods({ data, shape: [rowsA, rowsB] as const }, { row: rowsOf(data, rowsA, rowsB) })
}

/**
 * Writes the similarities of the rows of a with the rows of b to `out`, [rows of a, rows of b]. Copies nothing: nobody
 * may change the arrays before the promise has settled.
 */
export async function compare(
  a: Float32Array,
  b: Float32Array,
  dimension: number,
  metric: SimilarityName,
  out: Float32Array,
  signal?: AbortSignal,
): Promise<void> {
  await settled((done) => native().similarity(a, b, dimension, metric, out, done), signal)
}

/**
 * The smallest and the largest value of every dimension, [2, dimensions]: the `ranges` for precision `'int8'` and
 * `'uint8'`. Take them from some thousands of texts like those to be encoded.
 * @throws ERR_EMBEDCORE_SHAPE_MISMATCH, _INVALID_OPTION, _UNKNOWN_OPTION, _NO_RANGES when there are no vectors.
 * @example
 * const ranges = await quantizationRanges(await model.encode(sample))
 * const bytes = await model.encode(texts, { precision: 'int8', ranges })
 */
export async function quantizationRanges(vectors: Vectors, options?: { dimension?: number }): Promise<Float32Array> {
  const given = checkOptions(options, { dimension: integer(1) })
  const rows = read(vectors, 'vectors')
  const dimension = given.dimension ?? rows.width
  if (dimension === undefined)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      'Expected a dimension beside a bare Float32Array but received none',
    )
  countRows(rows, dimension, 'vectors')
  const ranges = allocate(2 * dimension)
  const own = await copied(rows.data)
  await settled((done) => native().ranges(own, dimension, ranges, done))
  return ranges
}

/** Fewer rows than this give ranges that later vectors leave often; sentence-transformers warns at the same number. */
const FEW_ROWS = 100

/** Rows of `dimension` float32 numbers in the given precision, with the ranges that were used. */
export async function quantize(
  rows: Float32Array,
  dimension: number,
  precision: Exclude<Precision, 'float32'>,
  ranges: Float32Array | null,
): Promise<{ data: VectorData<Precision>; columns: number; ranges?: Float32Array }> {
  const count = rows.length / dimension
  if (precision === 'binary' || precision === 'ubinary') {
    const columns = Math.ceil(dimension / 8)
    const data = allocate<Int8Array | Uint8Array>(count * columns, precision === 'binary' ? Int8Array : Uint8Array)
    if (count > 0) await settled((done) => native().quantize(rows, dimension, precision, null, data, done))
    return { data, columns }
  }
  if (ranges !== null && ranges.length !== 2 * dimension)
    throw invalidOption('ranges', `2 x ${dimension} numbers (the vectors have ${dimension} dimensions)`, ranges)
  const used = ranges ?? (await ownRanges(rows, dimension, count, precision))
  const data = allocate<Int8Array | Uint8Array>(rows.length, precision === 'int8' ? Int8Array : Uint8Array)
  if (count > 0) await settled((done) => native().quantize(rows, dimension, precision, used, data, done))
  return { data, columns: dimension, ranges: used }
}

async function ownRanges(
  rows: Float32Array,
  dimension: number,
  count: number,
  precision: string,
): Promise<Float32Array> {
  if (count === 0) return new Float32Array(2 * dimension)
  if (count === 1) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_NO_RANGES',
      `Expected ranges beside precision '${precision}' for a single text but received none; ` +
        'take them from many texts with embedCore.quantizationRanges()',
    )
  }
  if (count < FEW_ROWS) {
    process.emitWarning(
      `precision '${precision}' takes its ranges from ${count} vectors; from fewer than ${FEW_ROWS} they fit later ` +
        'vectors badly. Give ranges from embedCore.quantizationRanges()',
      { code: 'EMBEDCORE_FEW_ROWS' },
    )
  }
  return quantizationRanges(rows, { dimension })
}

interface Rows {
  readonly data: Float32Array
  /** Numbers per vector; absent if only the numbers were given. */
  readonly width?: number
}

function read(vectors: unknown, name: string): Rows {
  if (types.isFloat32Array(vectors)) return { data: vectors }
  const { data, width } = fieldsOf(vectors, name)
  if (!types.isFloat32Array(data))
    throw invalidOption(
      name,
      'float32 vectors (what encode returns, or a Float32Array)',
      data === undefined ? vectors : data,
    )
  if (!Number.isInteger(width) || (width as number) < 1)
    throw invalidOption(name, 'vectors with a shape of two numbers', width)
  return { data, width: width as number }
}

/** Properties of an object given by the caller; a getter that throws gives a coded error. */
function fieldsOf(vectors: unknown, name: string): { data?: unknown; width?: unknown } {
  if (typeof vectors !== 'object' || vectors === null) return {}
  try {
    const { data, shape } = vectors as { data?: unknown; shape?: readonly unknown[] | null }
    return { data, width: shape?.[1] }
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `Reading ${name} failed: ${reason(error)}`, {
      cause: error,
    })
  }
}

function countRows({ data, width }: Rows, dimension: number, name: string): number {
  if ((width ?? dimension) !== dimension || data.length % dimension !== 0) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_SHAPE_MISMATCH',
      `Expected vectors of ${dimension} numbers for ${name} but received ${
        (width ?? dimension) === dimension ? `${data.length} numbers` : `vectors of ${width}`
      }`,
    )
  }
  return data.length / dimension
}

/** Numbers copied per turn of the event loop, about a millisecond's worth. */
const COPIED_PER_TURN = 1 << 20

/**
 * A copy that nobody else can change while other threads read it. Large ones are made over several turns.
 * @throws ERR_EMBEDCORE_ABORTED; ERR_EMBEDCORE_INVALID_OPTION when the vectors are transferred between two turns.
 */
async function copied(data: Float32Array, signal?: AbortSignal): Promise<Float32Array> {
  const copy = allocate(data.length)
  for (let start = 0; start < copy.length; start += COPIED_PER_TURN) {
    if (start > 0) await setImmediate()
    if (signal?.aborted === true) throw abortError(signal)
    if (data.length !== copy.length)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        'Expected vectors to stay in place but they were transferred',
      )
    copy.set(data.subarray(start, start + COPIED_PER_TURN), start)
  }
  return copy
}

/** Awaits a native call. A new error is created after the await, so that its stack is the caller's. */
async function settled(start: (done: RawDone) => RawTask, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) throw abortError(signal)
  let abort = (): void => undefined
  const failure = await new Promise<Error | null>((resolve) => {
    const task = start(resolve)
    abort = () => task.abort()
    signal?.addEventListener('abort', abort, { once: true })
  })
  signal?.removeEventListener('abort', abort)
  if (failure === null) return
  const error = toEmbedCoreError(failure)
  throw error.code === 'ERR_EMBEDCORE_ABORTED' ? abortError(signal) : error
}
