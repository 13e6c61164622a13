/** The texts of mining: queries with their positives, and the corpus, each text once. */
import { EmbedCoreError } from '../../core/errors.js'
import { show } from '../../core/show.js'
import { openData, type OpenSource, type TrainingData } from '../data/open.js'
import type { DataKind, Row } from '../data/rows.js'
import type { TrainingSources } from '../data/sources.js'
import { reportProgress, type ResolvedMining } from './options.js'

export interface MiningTexts {
  /** In the order of their first row. */
  queries: string[]
  /** Those of the caller first, then the positives. */
  corpus: string[]
  /** Places in the corpus of each query's positives, in the order of the rows. */
  positives: number[][]
  /** The most rows of one query. */
  maxPositives: number
  rows: number
}

/** Rows read at once. */
const AT_ONCE = 1024
const WITH_POSITIVES: readonly DataKind[] = ['pairs', 'triplets', 'flag-embedding']

export async function readTexts(data: TrainingSources, options: ResolvedMining): Promise<MiningTexts> {
  const places = new Map<string, number>() // of the corpus, in order
  const placeOf = (text: string): number => {
    let place = places.get(text)
    if (place === undefined) places.set(text, (place = places.size))
    return place
  }
  if (options.corpus !== undefined) for await (const text of corpusTexts(options)) placeOf(text)
  const queries = new Map<string, { positives: Set<number>; rows: number }>()
  let rows = 0
  for await (const { texts, positives } of rowsOf(data, options, WITH_POSITIVES, 'pairs of anchor and positive')) {
    const [query] = texts as [string]
    const own = positives > 0 ? texts.slice(1, 1 + positives) : [texts[1]!]
    let known = queries.get(query)
    if (known === undefined) queries.set(query, (known = { positives: new Set(), rows: 0 }))
    for (const text of own) known.positives.add(placeOf(text))
    known.rows += own.length
    rows += own.length
    if (rows % AT_ONCE === 0) reportProgress(options, { phase: 'read', done: rows, total: null })
  }
  let maxPositives = 0
  for (const query of queries.values()) maxPositives = Math.max(maxPositives, query.rows)
  return {
    queries: [...queries.keys()],
    corpus: [...places.keys()],
    positives: [...queries.values()].map((query) => [...query.positives]),
    maxPositives,
    rows,
  }
}

async function* corpusTexts(options: ResolvedMining): AsyncGenerator<string> {
  const { corpus } = options
  if (Array.isArray(corpus) && (corpus.length === 0 || typeof corpus[0] === 'string')) {
    for (const [i, text] of (corpus as unknown[]).entries()) {
      if (typeof text !== 'string')
        throw new EmbedCoreError(
          'ERR_EMBEDCORE_INVALID_TEXT',
          `Expected a string for text ${i} of the corpus but received ${show(text)}`,
        )
      yield text
    }
    return
  }
  const kinds: readonly DataKind[] = ['texts', 'labelled-texts', 'text-vectors']
  for await (const { texts } of rowsOf(corpus as TrainingSources, options, kinds, 'texts (sentence or text)'))
    yield texts[0]!
}

async function* rowsOf(
  data: TrainingSources,
  { onBadRow, signal }: ResolvedMining,
  kinds: readonly DataKind[],
  expected: string,
): AsyncGenerator<Row> {
  const open: TrainingData = await openData(data, { onBadRow, signal, negatives: 0 })
  try {
    for (const source of open.sources) {
      if (!kinds.includes(source.format.kind))
        throw new EmbedCoreError(
          'ERR_EMBEDCORE_INVALID_DATA',
          `Expected ${expected} in ${source.name} but found ${source.format.kind}`,
        )
      yield* sourceRows(source)
    }
  } finally {
    await open.close()
  }
}

async function* sourceRows({ rows, stream }: OpenSource): AsyncGenerator<Row> {
  if (rows === null) {
    await stream!.restart()
    for (let next = await stream!.next(); next !== null; next = await stream!.next()) yield next.row
    return
  }
  const { count } = rows.facts
  for (let first = 0; first < count; first += AT_ONCE)
    yield* await rows.read(Uint32Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, i) => first + i))
}
