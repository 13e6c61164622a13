// Principal components of weighted rows, by Jacobi rotations of the covariance: small, exact, and in float64.

/**
 * Rows on their principal components, each scaled to unit variance. Without the scaling the few components that tell
 * languages and scripts apart outweigh all others.
 *
 * @param {Float32Array} rows [count, width]
 * @param {number} width
 * @param {Float64Array} weights [count], how much each row counts in the mean and the covariance; not negative
 * @param {number} kept components kept, by falling variance
 * @returns {Float32Array} [count, kept]
 */
export function whitenedComponents(rows, width, weights, kept) {
  const { mean, covariance } = moments(rows, width, weights)
  const { values, vectors } = symmetricEigen(covariance, width)
  const order = Array.from({ length: width }, (_, i) => i)
    .sort((a, b) => values[b] - values[a])
    .slice(0, kept)
  if (order.length < kept || !(values[order[kept - 1]] > 0))
    throw new Error(`Expected at most ${order.filter((i) => values[i] > 0).length} components but received ${kept}`)
  const basis = new Float64Array(width * kept)
  order.forEach((column, k) => {
    // The sign of a component is arbitrary; the largest entry is made positive so that runs agree.
    let most = 0
    for (let d = 0; d < width; ++d)
      if (Math.abs(vectors[d * width + column]) > Math.abs(most)) most = vectors[d * width + column]
    const factor = Math.sign(most) / Math.sqrt(values[column])
    for (let d = 0; d < width; ++d) basis[d * kept + k] = vectors[d * width + column] * factor
  })
  const count = rows.length / width
  const projected = new Float32Array(count * kept)
  const sums = new Float64Array(kept)
  for (let row = 0; row < count; ++row) {
    sums.fill(0)
    for (let d = 0; d < width; ++d) {
      const x = rows[row * width + d] - mean[d]
      for (let k = 0; k < kept; ++k) sums[k] += x * basis[d * kept + k]
    }
    projected.set(sums, row * kept)
  }
  return projected
}

/** Weighted mean [width] and covariance [width, width]. */
function moments(rows, width, weights) {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const mean = new Float64Array(width)
  for (let i = 0; i < rows.length; ++i) mean[i % width] += (rows[i] * weights[Math.floor(i / width)]) / total
  const covariance = new Float64Array(width * width)
  const centred = new Float64Array(width)
  weights.forEach((weight, row) => {
    if (weight === 0) return
    for (let d = 0; d < width; ++d) centred[d] = rows[row * width + d] - mean[d]
    for (let i = 0; i < width; ++i) {
      const x = (centred[i] * weight) / total
      for (let j = i; j < width; ++j) covariance[i * width + j] += x * centred[j]
    }
  })
  for (let i = 0; i < width; ++i) for (let j = 0; j < i; ++j) covariance[i * width + j] = covariance[j * width + i]
  return { mean, covariance }
}

/** Eigenvalues and eigenvectors (columns) of a symmetric matrix [n, n], by cyclic Jacobi rotations. */
function symmetricEigen(matrix, n) {
  const a = Float64Array.from(matrix)
  const vectors = new Float64Array(n * n)
  for (let i = 0; i < n; ++i) vectors[i * n + i] = 1
  const norm = Math.sqrt(a.reduce((sum, value) => sum + value * value, 0))
  for (let sweep = 0; sweep < 30; ++sweep) {
    let off = 0
    for (let i = 0; i < n; ++i) for (let j = i + 1; j < n; ++j) off += a[i * n + j] ** 2
    if (Math.sqrt(off) < 1e-12 * norm) break
    for (let p = 0; p < n; ++p) {
      for (let q = p + 1; q < n; ++q) {
        const apq = a[p * n + q]
        if (Math.abs(apq) < 1e-300) continue
        const theta = (a[q * n + q] - a[p * n + p]) / (2 * apq)
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
        const c = 1 / Math.sqrt(t * t + 1)
        const s = t * c
        for (let k = 0; k < n; ++k) {
          const [x, y] = [a[k * n + p], a[k * n + q]]
          a[k * n + p] = c * x - s * y
          a[k * n + q] = s * x + c * y
        }
        for (let k = 0; k < n; ++k) {
          const [x, y] = [a[p * n + k], a[q * n + k]]
          a[p * n + k] = c * x - s * y
          a[q * n + k] = s * x + c * y
          const [u, v] = [vectors[k * n + p], vectors[k * n + q]]
          vectors[k * n + p] = c * u - s * v
          vectors[k * n + q] = s * u + c * v
        }
      }
    }
  }
  return { values: Float64Array.from({ length: n }, (_, i) => a[i * n + i]), vectors }
}
