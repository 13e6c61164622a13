// The table of a static model: rows weighted by frequency, then rounded to int8 with one factor for each row.

/**
 * Rows times a / (a + frequency), smooth inverse frequency (Arora et al. 2017): frequent pieces say little about a
 * text. Special pieces get zeros.
 */
export function weightedRows(rows, width, frequencies, smoothing, special) {
  const out = Float32Array.from(rows)
  frequencies.forEach((frequency, id) => {
    const weight = special.has(id) ? 0 : smoothing / (smoothing + frequency)
    for (let d = id * width; d < (id + 1) * width; ++d) out[d] *= weight
  })
  return out
}

/** levels [rows, width] in -127..127 and factors [rows]: row = levels * factor; the largest magnitude becomes 127. */
export function quantizedRows(rows, width) {
  const levels = new Int8Array(rows.length)
  const factors = new Float32Array(rows.length / width)
  factors.forEach((_, id) => {
    const row = rows.subarray(id * width, (id + 1) * width)
    factors[id] = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127
    if (factors[id] > 0) row.forEach((value, d) => (levels[id * width + d] = Math.round(value / factors[id])))
  })
  return { levels, factors }
}
