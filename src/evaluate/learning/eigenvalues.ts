/**
 * The eigenvalues of a symmetric matrix, the greatest first: Householder's tridiagonal form, then implicit QL. No
 * vectors are kept.
 */
import type { Slices } from '../slices.js'

/** Changes the matrix [size, size]. */
export async function eigenvalues(matrix: Float64Array, size: number, slices: Slices): Promise<Float64Array> {
  const { diagonal, side } = await tridiagonal(matrix, size, slices)
  for (let l = 0; l < size; l++) {
    if (slices.over) await slices.next()
    for (;;) {
      let m = l
      while (m < size - 1 && !isSmall(side[m]!, diagonal[m]!, diagonal[m + 1]!)) m++
      if (m === l) break
      step(diagonal, side, l, m)
    }
  }
  return diagonal.sort().reverse()
}

const isSmall = (value: number, a: number, b: number): boolean =>
  Math.abs(value) <= Number.EPSILON * (Math.abs(a) + Math.abs(b))

/** The matrix as its diagonal and the numbers beside it; side[i] stands between i and i + 1. */
async function tridiagonal(
  a: Float64Array,
  size: number,
  slices: Slices,
): Promise<{ diagonal: Float64Array; side: Float64Array }> {
  const [diagonal, side] = [new Float64Array(size), new Float64Array(size)]
  const p = new Float64Array(size)
  for (let k = 0; k < size - 2; k++) {
    // Reflects the part of column k below the diagonal onto its first number.
    let squares = 0
    for (let i = k + 1; i < size; i++) squares += a[i * size + k]! ** 2
    diagonal[k] = a[k * size + k]!
    const first = a[(k + 1) * size + k]!
    const alpha = first > 0 ? -Math.sqrt(squares) : Math.sqrt(squares)
    side[k] = alpha
    const half = squares - first * alpha // |v|^2 / 2, v = column - alpha e1
    if (half === 0) continue
    a[(k + 1) * size + k] = first - alpha
    const v = (i: number): number => a[i * size + k]!
    let pv = 0
    for (let i = k + 1; i < size; i++) {
      if (slices.over) await slices.next()
      let sum = 0
      for (let j = k + 1; j < size; j++) sum += a[i * size + j]! * v(j)
      p[i] = sum / half
      pv += p[i]! * v(i)
    }
    const shift = pv / (2 * half)
    for (let i = k + 1; i < size; i++) p[i]! -= shift * v(i)
    for (let i = k + 1; i < size; i++) {
      if (slices.over) await slices.next()
      const [vi, pi] = [v(i), p[i]!]
      for (let j = k + 1; j < size; j++) a[i * size + j]! -= vi * p[j]! + pi * v(j)
    }
  }
  if (size > 1) {
    diagonal[size - 2] = a[(size - 2) * size + size - 2]!
    side[size - 2] = a[(size - 1) * size + size - 2]!
  }
  diagonal[size - 1] = a[size * size - 1]!
  return { diagonal, side }
}

/** One implicit QL step on the block from l to m. */
function step(d: Float64Array, e: Float64Array, l: number, m: number): void {
  let g = (d[l + 1]! - d[l]!) / (2 * e[l]!)
  let r = Math.hypot(g, 1)
  g = d[m]! - d[l]! + e[l]! / (g + (g >= 0 ? r : -r))
  let [s, c, p] = [1, 1, 0]
  for (let i = m - 1; i >= l; i--) {
    const f = s * e[i]!
    const b = c * e[i]!
    r = Math.hypot(f, g)
    e[i + 1] = r
    if (r === 0) {
      d[i + 1]! -= p
      e[m] = 0
      return
    }
    s = f / r
    c = g / r
    g = d[i + 1]! - p
    r = (d[i]! - g) * s + 2 * c * b
    p = s * r
    d[i + 1] = g + p
    g = c * r - b
  }
  d[l]! -= p
  e[l] = g
  e[m] = 0
}
