/** The matrix and the bias of a map, from the directions that were found. */
import { allocate } from '../core/memory.js'
import { eachInSlices, Slices } from '../evaluate/slices.js'
import type { Spread } from './moments.js'

/** y = x weight^T + bias */
export interface Affine {
  /** [out, in] */
  weight: Float32Array
  /** [out] */
  bias: Float32Array
}

const slicesOf = (signal: AbortSignal | undefined): Slices => new Slices(signal ?? new AbortController().signal)

/** y_k = factor(k) v_k^T (x - mean), for the first `kept` directions. */
export async function centered(
  { mean, directions, width }: Spread,
  kept: number,
  factor: (k: number) => number,
  signal: AbortSignal | undefined,
): Promise<Affine> {
  const weight = allocate(kept * width)
  const factors = Float64Array.from({ length: kept }, (_, k) => factor(k))
  await eachInSlices(weight.length, slicesOf(signal), (i) => {
    weight[i] = directions[i]! * factors[Math.floor(i / width)]!
  })
  return { weight, bias: await biasOf(weight, mean, null, signal) }
}

/** y = z - sum_k v_k v_k^T z with z = x - mean, for the first `removed` directions. */
export async function without(
  { mean, directions, width }: Spread,
  removed: number,
  signal: AbortSignal | undefined,
): Promise<Affine> {
  const weight = allocate(width * width)
  await eachInSlices(weight.length, slicesOf(signal), (i) => {
    const [row, column] = [Math.floor(i / width), i % width]
    let value = row === column ? 1 : 0
    for (let k = 0; k < removed; k++) value -= directions[k * width + row]! * directions[k * width + column]!
    weight[i] = value
  })
  return { weight, bias: await biasOf(weight, mean, null, signal) }
}

/** target - weight mean, with the weight as it is rounded: the mean is mapped to the target, 0 where that is null. */
export async function biasOf(
  weight: Float32Array,
  mean: Float64Array,
  target: Float64Array | null,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const width = mean.length
  const sums = allocate(weight.length / width, Float64Array)
  await eachInSlices(weight.length, slicesOf(signal), (i) => {
    sums[Math.floor(i / width)]! += weight[i]! * mean[i % width]!
  })
  return Float32Array.from(sums, (sum, k) => (target === null ? 0 : target[k]!) - sum)
}
