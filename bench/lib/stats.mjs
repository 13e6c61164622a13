/** Plain statistics of small samples. Every function takes an array of finite numbers and leaves it as it is. */

export const sorted = (values) => [...values].sort((a, b) => a - b)

/** Quantile with linear interpolation between the nearest ranks; q in [0, 1]. */
export function quantile(values, q) {
  const s = sorted(values)
  const at = (s.length - 1) * q
  const low = Math.floor(at)
  return s[low] + (s[Math.min(low + 1, s.length - 1)] - s[low]) * (at - low)
}

export const median = (values) => quantile(values, 0.5)

export function summary(values) {
  const s = sorted(values)
  return { median: median(s), min: s[0], max: s[s.length - 1], rounds: [...values] }
}

/**
 * Standard error of the median, from the median absolute deviation: 1.4826 makes it the deviation of a normal sample,
 * 1.2533 / sqrt(n) is the error of a median of n. A single outlier changes neither.
 */
export function medianError(values) {
  const m = median(values)
  return (1.2533 * 1.4826 * median(values.map((v) => Math.abs(v - m)))) / Math.sqrt(values.length)
}

/** Theil-Sen: the median of the slopes between all pairs (at most `most` points, evenly taken). */
export function slope(x, y, most = 400) {
  const step = Math.max(1, Math.ceil(x.length / most))
  const at = x.map((_, i) => i).filter((i) => i % step === 0)
  const slopes = []
  for (let i = 0; i < at.length; i++) {
    for (let j = i + 1; j < at.length; j++) slopes.push((y[at[j]] - y[at[i]]) / (x[at[j]] - x[at[i]]))
  }
  return median(slopes)
}

export function cosine(a, b) {
  let dot = 0
  let aa = 0
  let bb = 0
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i]
    aa += a[i] * a[i]
    bb += b[i] * b[i]
  }
  return dot / Math.sqrt(aa * bb)
}
