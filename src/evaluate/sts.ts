/** EmbeddingSimilarityEvaluator: correlation of the similarities of pairs with scores given by people. */
import { allocate } from '../core/memory.js'
import type { Precision, SimilarityName } from '../core/names.js'
import { quantize } from '../core/vectors.js'
import { pearson, spearman } from './correlation.js'
import { invalidData } from '../data/data-file.js'
import { regrouped } from './encoding.js'
import type { CheckedSts } from './options.js'
import { type Numbers, pairSimilarity, type Rows } from './pairs.js'
import { GrowingList, type Measured, namesOf, type Run } from './run.js'
import { eachInSlices, type Slices } from './slices.js'
import { RowItems } from './row-items.js'
import { type Column, openTable, type Row } from './table.js'

const COLUMNS: readonly Column[] = [
  { name: 'sentence1', type: 'text' },
  { name: 'sentence2', type: 'text' },
  { name: 'score', type: 'number' },
]

/** The vectors of the first and of the second sentences. */
type Pairs<N extends Numbers = Float32Array> = readonly [Rows<N>, Rows<N>]

export async function evaluateSts(evaluator: CheckedSts, run: Run): Promise<Measured> {
  const { precision, dimensions } = evaluator
  const { encoding, slices, batchSize } = run
  const names = namesOf(evaluator.similarities, run)
  const table = await openTable(evaluator, COLUMNS, run.signal)
  run.extent = { total: table.total === null ? null : 2 * table.total, share: table.share }
  // Vectors are normalised before they are quantised.
  const settings = { dimensions, normalize: precision === null ? undefined : true }
  const labels = new GrowingList(Float64Array)
  const similarities = new Similarities(names, slices)
  const rows = new RowItems(evaluator.views, COLUMNS.length)
  const kept = precision === 'int8' || precision === 'uint8' ? new Kept() : null
  const encodePairs = async (rows: readonly Row[]): Promise<Pairs> =>
    halves(
      await encoding.rows(
        [0, 1].flatMap((side) => rows.map((row) => row[side] as string)),
        settings,
      ),
      rows.length,
    )
  for await (const { item, result } of encoding.overlapping(regrouped(table.groups, batchSize, slices), encodePairs)) {
    for (const row of item) {
      labels.push(row[2] as number)
      rows.add(row)
    }
    if (kept !== null) kept.push(result)
    else await similarities.add(precision === null || precision === 'float32' ? result : await bits(result, slices))
  }
  const scores = labels.values
  if (scores.length < 2) throw invalidData(`Expected at least 2 pairs for a correlation but found ${scores.length}`)
  if (scores.every((score) => score === scores[0]))
    throw invalidData(`Expected scores that differ but found ${scores[0]} for all ${scores.length} pairs`)
  if (kept !== null) await similarities.add(await kept.quantised(precision as 'int8' | 'uint8', slices))
  const metrics: Record<string, number> = {}
  for (const name of names) {
    metrics[`pearson_${name}`] = await pearson(scores, similarities.of(name), slices)
    metrics[`spearman_${name}`] = await spearman(scores, similarities.of(name), slices)
  }
  if (names.length > 1) {
    for (const kind of ['pearson', 'spearman'])
      metrics[`${kind}_max`] = Math.max(...names.map((name) => metrics[`${kind}_${name}`]!))
  }
  const { main } = evaluator.similarities
  const primary = `spearman_${main ?? (names.length > 1 ? 'max' : names[0]!)}`
  const measure = main ?? names.find((name) => metrics[`spearman_${name}`] === metrics[primary]) ?? names[0]!
  return {
    metrics,
    primary,
    rows: scores.length,
    documents: 0,
    items: {
      metric: primary,
      statistic: 'spearman',
      values: similarities.of(measure),
      labels: scores,
      ...(await rows.details(slices)),
    },
  }
}

/** The similarities of all pairs, by each measure. */
class Similarities {
  private readonly lists: ReadonlyMap<SimilarityName, GrowingList<Float32Array>>

  constructor(
    names: readonly SimilarityName[],
    private readonly slices: Slices,
  ) {
    this.lists = new Map(names.map((name) => [name, new GrowingList(Float32Array)]))
  }

  async add([first, second]: Pairs<Numbers>): Promise<void> {
    const count = first.data.length / first.width
    for (const [name, list] of this.lists) {
      for (let i = 0; i < count; i++) {
        if (this.slices.over) await this.slices.next()
        list.push(pairSimilarity(name, first, i, second, i))
      }
    }
  }

  of(name: SimilarityName): Float32Array {
    return this.lists.get(name)!.values
  }
}

/** The vectors of the first half of the rows, and of the second. */
function halves({ data, width }: Rows, rows: number): Pairs {
  return [
    { data: data.subarray(0, rows * width), width },
    { data: data.subarray(rows * width), width },
  ]
}

/** 1 where a number is above 0, else 0: what packed bits are unpacked to. */
async function bits(pairs: Pairs, slices: Slices): Promise<Pairs<Uint8Array>> {
  const [first, second] = await Promise.all(
    pairs.map(async ({ data, width }) => {
      const found = allocate(data.length, Uint8Array)
      await eachInSlices(data.length, slices, (i) => (found[i] = data[i]! > 0 ? 1 : 0))
      return { data: found, width }
    }),
  )
  return [first!, second!]
}

/** All vectors, for a precision whose ranges are those of all vectors of a side. */
class Kept {
  private readonly pairs: Pairs[] = []

  push(pairs: Pairs): void {
    this.pairs.push(pairs)
  }

  async quantised(precision: Extract<Precision, 'int8' | 'uint8'>, slices: Slices): Promise<Pairs<Numbers>> {
    return [await this.side(0, precision, slices), await this.side(1, precision, slices)]
  }

  private async side(side: 0 | 1, precision: 'int8' | 'uint8', slices: Slices): Promise<Rows<Numbers>> {
    const width = this.pairs[0]![side].width
    const all = allocate(this.pairs.reduce((sum, pair) => sum + pair[side].data.length, 0))
    let end = 0
    for (const pair of this.pairs) {
      if (slices.over) await slices.next()
      all.set(pair[side].data, end)
      end += pair[side].data.length
    }
    const { data } = await quantize(all, width, precision, null)
    return { data: data as Int8Array | Uint8Array, width }
  }
}
