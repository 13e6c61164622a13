/** The committed reference results (test/golden/README.md) and the tolerances of comparisons with them. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
export const GOLDEN = path.join(ROOT, 'test/golden')
/** Real models, if present, are next to the checkout. */
export const REAL_MODELS = process.env.EMBEDCORE_TEST_MODELS ?? path.join(ROOT, '../shared/models')

export interface Tensor<A = Float32Array> {
  shape: readonly number[]
  data: A
}
type AnyArray = Float32Array | Int8Array | Uint8Array

const ARRAYS: Record<string, (bytes: ArrayBuffer) => AnyArray> = {
  F32: (bytes) => new Float32Array(bytes),
  I8: (bytes) => new Int8Array(bytes),
  U8: (bytes) => new Uint8Array(bytes),
}

/** So are public data sets. */
export const DATA = path.join(ROOT, '../shared/data')

/** The tensors of a golden file. The scripts write three dtypes, so any other is an error in the file. */
export class Tensors {
  private readonly bytes: Buffer
  private readonly header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>
  private readonly start: number

  constructor(private readonly file: string) {
    this.bytes = readFileSync(file)
    this.start = 8 + Number(this.bytes.readBigUInt64LE(0))
    this.header = JSON.parse(this.bytes.toString('utf8', 8, this.start)) as typeof this.header
    delete this.header.__metadata__
  }

  get names(): string[] {
    return Object.keys(this.header)
  }

  any(name: string): Tensor<AnyArray> {
    const entry = this.header[name]
    if (entry === undefined) throw new Error(`${this.file} has no tensor ${name}`)
    const make = ARRAYS[entry.dtype]
    if (make === undefined) throw new Error(`${this.file}: tensor ${name} is ${entry.dtype}`)
    // Copied, because a view of 4-byte numbers needs an aligned beginning.
    const [from, to] = entry.data_offsets
    return {
      shape: entry.shape,
      data: make(new Uint8Array(this.bytes.subarray(this.start + from, this.start + to)).buffer),
    }
  }

  float(name: string): Tensor {
    const { shape, data } = this.any(name)
    if (!(data instanceof Float32Array)) throw new Error(`${this.file}: tensor ${name} is not float32`)
    return { shape, data }
  }
}

/** Whether two arrays hold the same bits. (toEqual takes seconds for a million numbers.) */
export function sameBits(a: ArrayBufferView, b: ArrayBufferView): boolean {
  const [left, right] = [a, b].map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength))
  return left!.equals(right!)
}

export function readJson<T>(file: string): T {
  return JSON.parse(readFileSync(file, 'utf8')) as T
}

export interface Deviation {
  /** Largest |a - b| of any number, in units of its row's length. */
  difference: number
  /** Smallest cosine of any pair of rows. */
  cosine: number
}
export const NONE: Deviation = { difference: 0, cosine: 1 }

/**
 * The distance of rows to the expected ones. Differences are relative to the length of the expected row, so that the
 * same bound applies to rows that are not normalised; for a normalised row it is the plain difference.
 */
export function deviation(actual: Float32Array, expected: Float32Array, width: number): Deviation {
  if (actual.length !== expected.length || width < 1 || expected.length % width !== 0)
    throw new Error(`${actual.length} values cannot be compared with ${expected.length} in rows of ${width}`)
  let worst = NONE
  for (let row = 0; row < expected.length; row += width)
    worst = worse(worst, rowDeviation(actual.subarray(row, row + width), expected.subarray(row, row + width)))
  return worst
}

function rowDeviation(actual: Float32Array, expected: Float32Array): Deviation {
  let ab = 0
  let aa = 0
  let bb = 0
  let difference = 0
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!
    const b = expected[i]!
    ab += a * b
    aa += a * a
    bb += b * b
    // Not only Math.max of the numbers, because a NaN must not be lost in a comparison.
    difference = Math.max(difference, Math.abs(a - b))
  }
  // A text without tokens has a row of zeros, which has no direction, so only zeros are accepted.
  if (bb === 0) return aa === 0 ? NONE : { difference: Infinity, cosine: -1 }
  return { difference: difference / Math.sqrt(bb), cosine: aa === 0 ? 0 : ab / Math.sqrt(aa * bb) }
}

export function worse(a: Deviation, b: Deviation): Deviation {
  return { difference: Math.max(a.difference, b.difference), cosine: Math.min(a.cosine, b.cosine) }
}

/**
 * The tolerance after this number of layers. Both sides round to float32 (epsilon 1.2e-7) at every step, in a different
 * order. The errors of a layer are a few epsilon of the row's length and independent of those of the layer before, so
 * they grow with the square root of the number of layers.
 */
export function tolerance(layers: number): Deviation {
  return { difference: 2e-6 * Math.sqrt(Math.max(1, layers)), cosine: 0.999999 }
}

/** A description of the difference, or null. */
export function complaint(what: string, found: Deviation, allowed: Deviation): string | null {
  if (found.difference <= allowed.difference && found.cosine >= allowed.cosine) return null
  return `${what}: ${describeDeviation(found)}; allowed ${allowed.difference.toExponential(2)} and ${allowed.cosine}`
}

export function describeDeviation({ difference, cosine }: Deviation): string {
  return `difference ${difference.toExponential(2)}, 1 - cosine ${(1 - cosine).toExponential(1)}`
}

/**
 * The tolerance between two float32 computations of a similarity. Each sums `width` terms in any order and rounds by at
 * most half of 2^-23 of the sum of their sizes at each step; the lengths of the vectors bound that sum.
 */
export function similarityBound(
  kind: 'cosine' | 'dot' | 'euclidean' | 'manhattan',
  rows: Float32Array,
  width: number,
): number {
  let longest = 0
  for (let row = 0; row < rows.length; row += width)
    longest = Math.max(longest, Math.hypot(...rows.subarray(row, row + width)))
  const size = { cosine: 1, dot: longest ** 2, euclidean: 2 * longest, manhattan: 2 * longest * Math.sqrt(width) }[kind]
  // The terms are rounded too, and a cosine is divided by two lengths, which makes four more steps.
  return (width + 4) * 2 ** -23 * size
}
