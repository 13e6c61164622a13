/** The types of the raw addon for linear algebra in float64 (native/binding/linalg.cc). */
import type { RawDone, RawTask } from './binding.js'

/** native/linalg/moments.h. One call at a time; nobody may change an array before `done`. */
export interface RawMoments {
  /** x: [rows, widthX]; y: [rows, widthY], null where widthY is 0. */
  add(x: Float32Array, y: Float32Array | null, rows: number, done: RawDone): RawTask
  /**
   * Writes the means and the covariance [widthX, widthY or widthX]. Two rows or more must have come; no more may come.
   */
  finish(meanX: Float64Array, meanY: Float64Array, covariance: Float64Array, done: RawDone): RawTask
}

export interface RawLinalg {
  /** widthY = 0: the covariance of x alone. */
  moments(widthX: number, widthY: number, threads: number): RawMoments
  /** matrix: [size, size], overwritten with the eigenvectors in its rows; values: [size], the greatest first. */
  symmetricEigen(matrix: Float64Array, values: Float64Array, threads: number, done: RawDone): RawTask
  /**
   * matrix: [rows, columns], overwritten with U V^T of its singular value decomposition, without the vectors of
   * singular values that are at most `least` of the greatest; values: all of them.
   */
  orthogonalMap(
    matrix: Float64Array,
    rows: number,
    columns: number,
    least: number,
    values: Float64Array,
    threads: number,
    done: RawDone,
  ): RawTask
}
