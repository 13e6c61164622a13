/** What a map between two spaces loses, on pairs that it was not fitted to. */
import { allocate } from '../core/memory.js'
import { compare } from '../core/vectors.js'
import { eachInSlices, type Slices } from '../evaluate/slices.js'
import type { Fitted } from './procrustes.js'
import type { MapLoss } from './types.js'
import { picked, type Rows } from './vector-source.js'

/** Vectors that are compared with all partners at once, and the most partners. */
const BLOCK = 256
const MOST_PARTNERS = 10_000

export async function lossOf(
  { map, meanY }: Fitted,
  { x, y, test }: { x: Rows; y: Rows; test: Uint32Array },
  slices: Slices,
  signal: AbortSignal | undefined,
): Promise<MapLoss> {
  const sums = { cosines: 0, errors: 0, spread: 0, right: 0, asked: 0 }
  const partners = picked(y, test.subarray(0, MOST_PARTNERS))
  const candidates = partners.length / y.width
  for (let start = 0; start < test.length; start += BLOCK) {
    if (slices.over) await slices.next()
    const some = test.subarray(start, start + BLOCK)
    const mapped = allocate(some.length * y.width)
    await compare(picked(x, some), map.weight, x.width, 'dot', mapped, signal)
    await eachInSlices(mapped.length, slices, (i) => (mapped[i]! += map.bias[i % y.width]!))
    const wanted = picked(y, some)
    for (let i = 0; i < some.length; i++) addRow(sums, mapped, wanted, meanY, i)
    if (start >= candidates) continue
    const cosines = allocate(some.length * candidates)
    await compare(mapped, partners, y.width, 'cosine', cosines, signal)
    for (let i = 0; i < some.length && start + i < candidates; i++) {
      const row = cosines.subarray(i * candidates, (i + 1) * candidates)
      const own = row[start + i]!
      sums.asked++
      // A partner that is as near as another one is not found.
      if (row.every((cosine, j) => j === start + i || cosine < own)) sums.right++
    }
  }
  return {
    pairs: test.length,
    meanCosine: sums.cosines / test.length,
    relativeError: sums.errors / sums.spread,
    accuracy: sums.right / sums.asked,
  }
}

function addRow(
  sums: { cosines: number; errors: number; spread: number },
  mapped: Float32Array,
  wanted: Float32Array,
  mean: Float64Array,
  row: number,
): void {
  let [dot, own, other] = [0, 0, 0]
  for (let d = 0; d < mean.length; d++) {
    const [a, b] = [mapped[row * mean.length + d]!, wanted[row * mean.length + d]!]
    dot += a * b
    own += a * a
    other += b * b
    sums.errors += (a - b) ** 2
    sums.spread += (b - mean[d]!) ** 2
  }
  sums.cosines += own === 0 || other === 0 ? 0 : dot / Math.sqrt(own * other)
}
