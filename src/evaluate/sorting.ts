/** Sorting that gives the event loop back in between. */
import { allocate } from '../core/memory.js'
import { eachInSlices, type Slices } from './slices.js'

/** Items sorted in one go; the rest of the sort is merging, which can stop anywhere. */
const RUN = 4096

/** The numbers 0 to count - 1 in the order of `compare`; equal ones in ascending order. */
export async function sortedOrder(
  count: number,
  compare: (i: number, j: number) => number,
  slices: Slices,
): Promise<Uint32Array> {
  let order = allocate(count, Uint32Array)
  await eachInSlices(count, slices, (i) => (order[i] = i))
  for (let start = 0; start < count; start += RUN) {
    if (slices.over) await slices.next()
    order.subarray(start, start + RUN).sort((i, j) => compare(i, j) || i - j)
  }
  let merged = allocate(count, Uint32Array)
  for (let width = RUN; width < count; width *= 2) {
    for (let start = 0; start < count; start += 2 * width) {
      const middle = Math.min(count, start + width)
      const end = Math.min(count, middle + width)
      let [i, j] = [start, middle]
      const [from, to] = [order, merged]
      await eachInSlices(end - start, slices, (k) => {
        const left = j >= end || (i < middle && compare(from[i]!, from[j]!) <= 0)
        to[start + k] = left ? from[i++]! : from[j++]!
      })
    }
    ;[order, merged] = [merged, order]
  }
  return order
}
