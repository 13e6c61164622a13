/** Rows of vectors for tests. */
import type { VectorRows } from '../../src/index.js'

export function rowsFrom(rows: readonly (readonly number[])[]): VectorRows {
  const width = rows[0]?.length ?? 1
  return { data: Float32Array.from(rows.flat()), shape: [rows.length, width] }
}

/** The largest difference. */
export function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), a.length === b.length ? 0 : Infinity)
}
