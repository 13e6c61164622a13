/** Mined rows in the formats of sentence-transformers. */
import type { ResolvedMining } from './options.js'
import type { Selected } from './select.js'
import { Summary } from './statistics.js'
import type { MiningTexts } from './texts.js'

/** A row that mining returns. Its columns are those of the `outputFormat`. All but `labeled-list` are training rows. */
export interface MinedRow {
  anchor: string
  /** Of `labeled-list`: a positive and its negatives. */
  positive: string | string[]
  negative?: string
  [negative: `negative_${number}`]: string
  label?: number
  labels?: number[]
  score?: number
  scores?: number[]
}

/** Collects rows and the numbers of their statistics, query by query. */
export class MinedRows {
  readonly rows: MinedRow[] = []
  readonly positives = new Summary()
  readonly negatives = new Summary()
  readonly differences = new Summary()

  constructor(
    private readonly texts: MiningTexts,
    private readonly options: ResolvedMining,
  ) {}

  add(query: number, positiveScores: Float32Array, { places, scores }: Selected): void {
    const { texts, options, rows } = this
    const { outputFormat, outputScores, numNegatives } = options
    const anchor = texts.queries[query]!
    const negatives = places.map((place) => texts.corpus[place]!)
    const own = texts.positives[query]!
    const enough = outputFormat !== 'n-tuple' || negatives.length === numNegatives
    for (const score of positiveScores) {
      this.positives.add(score)
      if (!enough) continue
      for (const negative of scores) {
        this.negatives.add(negative)
        this.differences.add(Math.fround(score - negative))
      }
    }
    own.forEach((place, i) => {
      const positive = texts.corpus[place]!
      const score = positiveScores[i]!
      switch (outputFormat) {
        case 'triplet':
          negatives.forEach((negative, j) =>
            rows.push({ anchor, positive, negative, ...(outputScores ? { scores: [score, scores[j]!] } : {}) }),
          )
          break
        case 'n-tuple':
          if (!enough) break
          rows.push({
            anchor,
            positive,
            ...Object.fromEntries(negatives.map((negative, j) => [`negative_${j + 1}`, negative])),
            ...(outputScores ? { scores: [score, ...scores] } : {}),
          })
          break
        case 'labeled-pair':
          rows.push({ anchor, positive, ...(outputScores ? { score } : { label: 1 }) })
          break
        case 'labeled-list':
          if (negatives.length === 0) break
          rows.push({
            anchor,
            positive: [positive, ...negatives],
            ...(outputScores ? { scores: [score, ...scores] } : { labels: [1, ...negatives.map(() => 0)] }),
          })
      }
    })
    if (outputFormat === 'labeled-pair')
      negatives.forEach((positive, j) =>
        rows.push({ anchor, positive, ...(outputScores ? { score: scores[j]! } : { label: 0 }) }),
      )
  }

  /** Rows that there would be if every query had all its negatives. */
  get possible(): number {
    const { numNegatives, outputFormat } = this.options
    const positives = this.positives.count
    if (outputFormat === 'triplet') return positives * numNegatives
    return outputFormat === 'labeled-pair' ? this.texts.queries.length * numNegatives + this.texts.rows : positives
  }
}
