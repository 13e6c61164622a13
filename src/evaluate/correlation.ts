/**
 * Pearson's correlation, and Spearman's: that of the ranks, where equal values share the mean of their ranks. As in
 * SciPy, sums are float64, and the correlation with a constant is NaN.
 */
import { allocate } from '../core/memory.js'
import { eachInSlices, type Slices } from './slices.js'
import { sortedOrder } from './sorting.js'

type Values = Float32Array | Float64Array

/** r = sum dx dy / (|dx| |dy|), where dx and dy are the distances to the mean. */
export async function pearson(x: Values, y: Values, slices: Slices): Promise<number> {
  const [meanX, meanY] = [await mean(x, slices), await mean(y, slices)]
  let [xx, yy] = [0, 0]
  await eachInSlices(x.length, slices, (i) => {
    xx += (x[i]! - meanX) ** 2
    yy += (y[i]! - meanY) ** 2
  })
  const [lengthX, lengthY] = [Math.sqrt(xx), Math.sqrt(yy)]
  if (lengthX === 0 || lengthY === 0) return NaN
  let r = 0
  await eachInSlices(x.length, slices, (i) => (r += ((x[i]! - meanX) / lengthX) * ((y[i]! - meanY) / lengthY)))
  return Math.max(-1, Math.min(1, r))
}

export async function spearman(x: Values, y: Values, slices: Slices): Promise<number> {
  return pearson(await ranks(x, slices), await ranks(y, slices), slices)
}

async function mean(values: Values, slices: Slices): Promise<number> {
  let sum = 0
  await eachInSlices(values.length, slices, (i) => (sum += values[i]!))
  return sum / values.length
}

/** The rank of every value, from 0. */
export async function ranks(values: Values, slices: Slices): Promise<Float64Array> {
  const order = await sortedOrder(values.length, (i, j) => values[i]! - values[j]!, slices)
  const found = allocate(values.length, Float64Array)
  let first = 0
  await eachInSlices(order.length, slices, (i) => {
    const next = i + 1
    if (next < order.length && values[order[next]!] === values[order[first]!]) return
    const rank = (first + i) / 2
    for (; first < next; first++) found[order[first]!] = rank
  })
  return found
}
