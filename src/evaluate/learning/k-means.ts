/**
 * Mini-batch k-means (Sculley, 2010) with the settings of MiniBatchKMeans in scikit-learn that MTEB uses: centres begin
 * as greedy k-means++ on a part of the rows, each batch moves the centres of its rows to their running means, centres
 * with few rows are put elsewhere, and the end is when the smoothed distance has not fallen for ten batches. The random
 * numbers are others, so that clusters are those of another seed.
 */
import { allocate } from '../../core/memory.js'
import { Random } from '../../core/random.js'
import { compare } from '../../core/vectors.js'
import type { Rows } from '../pairs.js'
import type { Slices } from '../slices.js'

export interface KMeansOptions {
  clusters: number
  batchSize: number
  seed: number
  /** Number of the run of one seed. */
  run: number
}

/** Passes over the rows, at most. */
const MOST_PASSES = 100
const MOST_STALLED = 10
/** A centre with fewer rows than this share of the largest is put elsewhere. */
const LEAST_SHARE = 0.01

/** The cluster of each row. */
export async function kMeans(
  rows: Rows,
  { clusters, batchSize, seed, run }: KMeansOptions,
  slices: Slices,
  signal: AbortSignal,
): Promise<Int32Array> {
  const count = rows.data.length / rows.width
  const random = new Random(seed, 'clusters', run)
  const batch = Math.min(batchSize, count)
  const centres = new Centres(await start(rows, clusters, batch, random, slices, signal), rows.width)
  const smoothing = Math.min(1, (2 * batch) / (count + 1))
  const steps = Math.ceil((MOST_PASSES * count) / batch)
  let [smoothed, least, stalled, unchanged] = [NaN, Infinity, 0, 0]
  for (let step = 0; step < steps; step++) {
    const chosen = Array.from({ length: batch }, () => random.below(count))
    const data = await picked(rows, chosen, slices)
    const { nearest, distance } = await assign(data, centres.data, rows.width, slices, signal)
    await centres.move(data, nearest, slices)
    unchanged += batch
    if (centres.sizes.includes(0) || unchanged >= 10 * clusters) {
      unchanged = 0
      centres.replace(data, random)
    }
    const mean = distance / batch
    // The first centres are so far off that their distance says nothing.
    if (step === 0) continue
    smoothed = Number.isNaN(smoothed) ? mean : smoothed * (1 - smoothing) + mean * smoothing
    if (smoothed < least) [least, stalled] = [smoothed, 0]
    else if (++stalled >= MOST_STALLED) break
  }
  return (await assign(rows.data, centres.data, rows.width, slices, signal)).nearest
}

class Centres {
  readonly sizes: Float64Array

  constructor(
    readonly data: Float32Array,
    private readonly width: number,
  ) {
    this.sizes = new Float64Array(data.length / width)
  }

  /** Each centre becomes the mean of all rows that it had, those of the batch included. */
  async move(batch: Float32Array, nearest: Int32Array, slices: Slices): Promise<void> {
    const { width, data, sizes } = this
    const added = new Float64Array(sizes.length)
    const sums = new Float64Array(data.length)
    for (let i = 0; i < nearest.length; i++) {
      if (slices.over) await slices.next()
      const centre = nearest[i]!
      added[centre]!++
      for (let d = 0; d < width; d++) sums[centre * width + d]! += batch[i * width + d]!
    }
    for (let c = 0; c < sizes.length; c++) {
      if (added[c] === 0) continue
      const before = sizes[c]!
      sizes[c] = before + added[c]!
      for (let d = 0; d < width; d++)
        data[c * width + d] = (data[c * width + d]! * before + sums[c * width + d]!) / sizes[c]!
    }
  }

  /** Puts the centres of few rows on rows of the batch, at most on half of them. */
  replace(batch: Float32Array, random: Random): void {
    const { width, data, sizes } = this
    const most = sizes.reduce((high, size) => Math.max(high, size), 0)
    const rows = batch.length / width
    const small = [...sizes.keys()]
      .filter((c) => sizes[c]! < LEAST_SHARE * most)
      .sort((a, b) => sizes[a]! - sizes[b]!)
      .slice(0, Math.floor(rows / 2))
    if (small.length === 0) return
    const rest = [...sizes.keys()].filter((c) => !small.includes(c)).map((c) => sizes[c]!)
    const size = rest.reduce((low, value) => Math.min(low, value), Infinity)
    const free = Array.from({ length: rows }, (_, i) => i)
    for (const centre of small) {
      const place = random.below(free.length)
      const row = free[place]!
      free[place] = free.at(-1)!
      free.pop()
      data.set(batch.subarray(row * width, (row + 1) * width), centre * width)
      sizes[centre] = size
    }
  }
}

/** Greedy k-means++: of a few candidates drawn by their squared distance, the one that leaves the least distance. */
async function start(
  rows: Rows,
  clusters: number,
  batch: number,
  random: Random,
  slices: Slices,
  signal: AbortSignal,
): Promise<Float32Array> {
  const { width } = rows
  const count = rows.data.length / width
  const size = Math.min(count, Math.max(3 * batch, 3 * clusters))
  const part = await picked(
    rows,
    Array.from({ length: size }, () => random.below(count)),
    slices,
  )
  const centres = allocate(clusters * width)
  const row = (data: Float32Array, i: number): Float32Array => data.subarray(i * width, (i + 1) * width)
  centres.set(row(part, random.below(size)))
  const trials = 2 + Math.floor(Math.log(clusters))
  let closest = await squaredDistances(centres.subarray(0, width), part, width, signal)
  for (let c = 1; c < clusters; c++) {
    if (slices.over) await slices.next()
    const total = closest.reduce((sum, distance) => sum + distance, 0)
    const candidates = allocate(trials * width)
    for (let t = 0; t < trials; t++) candidates.set(row(part, drawn(closest, random.unit() * total)), t * width)
    const distances = await squaredDistances(candidates, part, width, signal)
    let [best, least] = [0, Infinity]
    for (let t = 0; t < trials; t++) {
      let sum = 0
      for (let i = 0; i < size; i++) sum += Math.min(closest[i]!, distances[t * size + i]!)
      if (sum < least) [best, least] = [t, sum]
    }
    centres.set(row(candidates, best), c * width)
    closest = closest.map((distance, i) => Math.min(distance, distances[best * size + i]!))
  }
  return centres
}

/** The row at which the running sum passes a number. */
function drawn(weights: Float32Array, target: number): number {
  let sum = 0
  for (let i = 0; i < weights.length; i++) {
    sum += weights[i]!
    if (sum > target) return i
  }
  return weights.length - 1
}

async function squaredDistances(
  a: Float32Array,
  b: Float32Array,
  width: number,
  signal: AbortSignal,
): Promise<Float32Array> {
  const found = allocate((a.length / width) * (b.length / width))
  await compare(a, b, width, 'euclidean', found, signal)
  return found.map((similarity) => similarity * similarity)
}

async function picked({ data, width }: Rows, places: readonly number[], slices: Slices): Promise<Float32Array> {
  const found = allocate(places.length * width)
  for (const [i, place] of places.entries()) {
    if (slices.over) await slices.next()
    found.set(data.subarray(place * width, (place + 1) * width), i * width)
  }
  return found
}

/** Similarities that are held at a time. */
const BLOCK = 1 << 20

/** The nearest centre of each row, and the sum of the squared distances to them. */
async function assign(
  data: Float32Array,
  centres: Float32Array,
  width: number,
  slices: Slices,
  signal: AbortSignal,
): Promise<{ nearest: Int32Array; distance: number }> {
  const [count, clusters] = [data.length / width, centres.length / width]
  const nearest = allocate(count, Int32Array)
  const step = Math.max(1, Math.floor(BLOCK / clusters))
  let distance = 0
  for (let first = 0; first < count; first += step) {
    const rows = Math.min(step, count - first)
    const found = allocate(rows * clusters)
    await compare(data.subarray(first * width, (first + rows) * width), centres, width, 'euclidean', found, signal)
    for (let i = 0; i < rows; i++) {
      if (slices.over) await slices.next()
      let best = 0
      for (let c = 1; c < clusters; c++) if (found[i * clusters + c]! > found[i * clusters + best]!) best = c
      nearest[first + i] = best
      distance += found[i * clusters + best]! ** 2
    }
  }
  return { nearest, distance }
}
