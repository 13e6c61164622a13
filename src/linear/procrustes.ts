/** fitProcrustes: a rotation from one space of vectors into another. */
import { abortError } from '../core/abort.js'
import { EmbedCoreError, toEmbedCoreError } from '../core/errors.js'
import { allocate } from '../core/memory.js'
import { native } from '../core/native.js'
import { abortSignal, checkOptions, flag, integer, only } from '../core/options.js'
import { Random, shuffle } from '../core/random.js'
import { eachInSlices, Slices } from '../evaluate/slices.js'
import { nativeCall } from '../static/native-call.js'
import { lossOf } from './loss.js'
import { threadsOfCpu } from './moments.js'
import { createMap, type LinearTransform } from './transform.js'
import type { ProcrustesOptions, VectorRows } from './types.js'
import { picked, type Rows, rowsOf } from './vector-source.js'
import { type Affine, biasOf } from './weight.js'

export const PROCRUSTES_RULES = {
  center: flag,
  scale: flag,
  heldOut: only<number>('a number from 0 to 0.9', (value) => {
    return typeof value === 'number' && value >= 0 && value <= 0.9
  }),
  seed: integer(0),
  normalize: flag,
  signal: abortSignal,
}

/**
 * Orthogonal Procrustes (Schönemann 1966): the map from one space of vectors into another that keeps angles, from
 * pairs of vectors. Row i of `source` and row i of `target` belong together: vectors of one text by two models or two
 * versions of one, or of a word and its translation. With it, vectors of a new model search an index of the old one.
 *
 *     X = source - mean,  Y = target - mean,  X^T Y = U S V^T
 *     y = (x - mean_source) R + mean_target,  R = U V^T
 *
 * R is the orthogonal matrix with the least sum of |x_i R - y_i|^2. Where `target` has fewer dimensions, R is the one
 * with the greatest sum of x_i R y_i; where it has more, rows of R are orthonormal. With `scale`, R is multiplied by
 * sum(S) / sum |x_i|^2. Directions in which the pairs do not vary together are mapped to 0. Without `center` both means
 * are 0. y gets length 1 unless `normalize` is false.
 *
 * `loss` of the result is measured on a share of the pairs that is not fitted to. Sums are in float64, off the event
 * loop; means, covariance and singular vectors do not depend on the number of threads.
 * @throws ERR_EMBEDCORE_SHAPE_MISMATCH for different numbers of vectors, or vectors longer than 4096; _INVALID_DATA
 *   for no more pairs to fit to than dimensions, or vectors that do not vary together; _NON_FINITE; _INVALID_OPTION,
 *   _UNKNOWN_OPTION; _ABORTED; _OUT_OF_MEMORY.
 * @example
 * const [source, target] = await Promise.all([newModel.encode(texts), oldModel.encode(texts)])
 * const map = await fitProcrustes(source, target)
 * console.log(map.loss.accuracy, map.loss.meanCosine)
 * const query = await map.apply(await newModel.encodeQuery('red apple')) // for the index of the old model
 */
export async function fitProcrustes(
  source: VectorRows,
  target: VectorRows,
  options?: ProcrustesOptions,
): Promise<LinearTransform> {
  const given = checkOptions(options, PROCRUSTES_RULES)
  const { center = true, scale = false, heldOut = 0.1, seed = 1, normalize = true, signal } = given
  const [x, y] = [checkRows(source, 'source'), checkRows(target, 'target')]
  const pairs = x.data.length / x.width
  if (y.data.length / y.width !== pairs)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_SHAPE_MISMATCH',
      `Expected as many vectors in target as in source, ${pairs}, but received ${y.data.length / y.width}`,
    )
  const isAborted = (): boolean => signal?.aborted === true
  if (isAborted()) throw abortError(signal)
  const slices = new Slices(signal ?? new AbortController().signal)
  try {
    const order = Uint32Array.from({ length: pairs }, (_, i) => i)
    const held = Math.round(heldOut * pairs)
    if (held > 0) shuffle(order, new Random(seed, 'heldOut', 0))
    const [test, train] = [order.subarray(0, held).sort(), order.subarray(held).sort()]
    const found = await fitted({ x, y, train, center, scale }, slices, signal)
    const parts = { ...found.map, inFeatures: x.width, normalize, vectors: train.length, rank: found.rank }
    const loss = held === 0 ? null : await lossOf(found, { x, y, test }, slices, signal)
    return createMap({ ...parts, loss })
  } catch (error) {
    if (isAborted()) throw abortError(signal)
    throw toEmbedCoreError(error)
  }
}

const MOST_DIMENSIONS = 4096

function checkRows(given: unknown, what: string): Rows {
  const rows = rowsOf(given, what)
  if (rows.width <= MOST_DIMENSIONS) return rows
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_SHAPE_MISMATCH',
    `Expected vectors of at most ${MOST_DIMENSIONS} numbers for ${what} but received vectors of ${rows.width}`,
  )
}

interface Pairs {
  x: Rows
  y: Rows
  /** The pairs that are fitted to. */
  train: Uint32Array
  center: boolean
  scale: boolean
}

export interface Fitted {
  map: Affine
  /** Of the targets that were fitted to. */
  meanY: Float64Array
  /** Directions in which the pairs vary together. */
  rank: number
}

/** Pairs that go to the native side at once. */
const BATCH = 256
/** 2 ** -23: the rounding of float32, beyond which vectors that do not vary together seem to. */
const ROUNDING = 2 ** -23

async function fitted(
  { x, y, train, center, scale }: Pairs,
  slices: Slices,
  signal: AbortSignal | undefined,
): Promise<Fitted> {
  const width = Math.min(x.width, y.width)
  if (train.length <= width)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_DATA',
      `Expected more than ${width} pairs to fit a map of vectors of ${x.width} and ${y.width} numbers to but found ` +
        `${train.length}, whose rank is ${Math.max(0, train.length - 1)} at most`,
    )
  const moments = native().moments(x.width, y.width, threadsOfCpu())
  for (let start = 0; start < train.length; start += BATCH) {
    if (slices.over) await slices.next()
    const some = train.subarray(start, start + BATCH)
    await nativeCall((done) => moments.add(picked(x, some), picked(y, some), some.length, done), signal)
  }
  const [meanX, meanY] = [allocate(x.width, Float64Array), allocate(y.width, Float64Array)]
  const matrix = allocate(x.width * y.width, Float64Array)
  await nativeCall((done) => moments.finish(meanX, meanY, matrix, done), signal)
  // The products around the means, or around 0.
  const [rows, n] = [train.length, center ? 0 : train.length]
  await eachInSlices(matrix.length, slices, (i) => {
    matrix[i] = matrix[i]! * (rows - 1) + n * meanX[Math.floor(i / y.width)]! * meanY[i % y.width]!
  })
  const values = allocate(width, Float64Array)
  await nativeCall(
    (done) => native().orthogonalMap(matrix, x.width, y.width, ROUNDING, values, threadsOfCpu(), done),
    signal,
  )
  const rank = values.filter((value) => value > ROUNDING * values[0]!).length
  if (rank === 0)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_DATA',
      `Expected vectors that vary together but found the rank 0 (${train.length} pairs of ${x.width} and ${y.width} ` +
        'numbers)',
    )
  const factor = scale ? (await factorOf(x, train, center ? meanX : null, slices)) * sumOf(values) : 1
  const weight = allocate(matrix.length)
  await eachInSlices(weight.length, slices, (i) => {
    weight[i] = factor * matrix[(i % x.width) * y.width + Math.floor(i / x.width)]!
  })
  const bias = center ? await biasOf(weight, meanX, meanY, signal) : allocate(y.width)
  return { map: { weight, bias }, meanY, rank }
}

const sumOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0)

/** 1 / sum |x_i - mean|^2 */
async function factorOf(
  { data, width }: Rows,
  train: Uint32Array,
  mean: Float64Array | null,
  slices: Slices,
): Promise<number> {
  let sum = 0
  await eachInSlices(train.length * width, slices, (i) => {
    const d = i % width
    sum += (data[train[Math.floor(i / width)]! * width + d]! - (mean === null ? 0 : mean[d]!)) ** 2
  })
  return 1 / sum
}
