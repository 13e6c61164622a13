/** mineHardNegatives(): texts that a model takes for answers and that are none. */
import { toEmbedCoreError } from '../../core/errors.js'
import { invalidOption } from '../../core/options.js'
import { loadModel } from '../../model/load.js'
import { Model } from '../../model/model.js'
import type { TrainingSources } from '../data/sources.js'
import { BLOCK_QUERIES, nearestTexts } from './candidates.js'
import { type MiningOptions, rangeMaxOf, reportProgress, type ResolvedMining, resolveMining } from './options.js'
import { type MinedRow, MinedRows } from './output.js'
import { FILTERS, Selection } from './select.js'
import { describeMining, type MiningStatistics } from './statistics.js'
import { type MiningTexts, readTexts } from './texts.js'

/** What mining found. */
export interface MinedNegatives {
  /** In the order of the queries; `train` takes them as they are, but for `labeled-list`. */
  readonly rows: MinedRow[]
  readonly statistics: MiningStatistics
  /** The statistics as a table and sentences. */
  readonly report: string
}

/**
 * Hard negatives for pairs of anchor and positive: for each anchor, the texts of the corpus that are nearest to it and
 * are not its positives. Semantics, names and defaults are those of `mine_hard_negatives` of sentence-transformers.
 *
 * The corpus is all positives, and the option `corpus`. Rows with one anchor are one query with several positives.
 * Every text is encoded once. The vectors of the corpus are held in memory, (texts x dimensions x 4) bytes;
 * similarities are computed in blocks. Runs off the event loop.
 *
 * `model`: a model, or what `load` takes.
 * @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION; _INVALID_DATA with file and line for rows that cannot be used;
 *   _NOT_FOUND, _INVALID_FILE for files that cannot be read; what `load` and `encode` throw; _ABORTED; _OUT_OF_MEMORY.
 * @example
 * const { rows, report } = await mineHardNegatives(model, 'pairs.jsonl', { relativeMargin: 0.05, numNegatives: 5 })
 * console.log(report)
 */
export async function mineHardNegatives(
  model: Model | string,
  data: TrainingSources,
  options?: MiningOptions,
): Promise<MinedNegatives> {
  const resolved = resolveMining(options)
  if (!(model instanceof Model) && (typeof model !== 'string' || model === ''))
    throw invalidOption('model', 'a model, the path of a directory or a hub id', model)
  try {
    const texts = await readTexts(data, resolved)
    if (typeof model !== 'string') return await mine(model, texts, resolved)
    const signal = resolved.signal ?? undefined
    const loaded = await loadModel(model, { signal })
    try {
      return await mine(loaded, texts, resolved)
    } finally {
      await loaded.dispose()
    }
  } catch (error) {
    throw toEmbedCoreError(error)
  }
}

async function mine(model: Model, texts: MiningTexts, options: ResolvedMining): Promise<MinedNegatives> {
  const { queries, corpus, positives, maxPositives } = texts
  const rangeMax = rangeMaxOf(options, maxPositives)
  const k = rangeMax + maxPositives
  const total = queries.length + corpus.length
  const signal = options.signal ?? undefined
  const encode = (done: number) => ({
    normalize: true,
    signal,
    onProgress: (progress: { done: number }) =>
      options.onProgress?.({ phase: 'encode', done: done + progress.done, total }),
  })
  const documents = await model.encodeDocument(corpus, { ...encode(0), ...options.document })
  const questions = await model.encodeQuery(queries, { ...encode(corpus.length), ...options.query })
  const dimension = documents.shape[1]
  const selection = new Selection(options, rangeMax)
  const mined = new MinedRows(texts, options)
  for (let first = 0; first < queries.length; first += BLOCK_QUERIES) {
    const last = Math.min(queries.length, first + BLOCK_QUERIES)
    const block = questions.data.subarray(first * dimension, last * dimension)
    const search = { corpus: documents.data, dimension, metric: model.info.similarity, k, signal: options.signal }
    const nearest = await nearestTexts(block, positives.slice(first, last), search)
    for (let query = first; query < last; query++) {
      const selected = selection.select(nearest, query - first, k, positives[query]!, query)
      mined.add(query, nearest.positives[query - first]!, selected)
    }
    reportProgress(options, { phase: 'compare', done: last, total: queries.length })
  }
  const missing = Math.max(0, mined.possible - mined.rows.length)
  const statistics: MiningStatistics = {
    positive: mined.positives.finish(),
    negative: mined.negatives.finish(),
    difference: mined.differences.finish(),
    skipped: Object.fromEntries(
      FILTERS.filter((filter) => selection.dropped[filter] > 0).map((filter) => {
        const count = selection.dropped[filter]
        return [filter, { count, ratio: count / selection.seen(filter, k) }]
      }),
    ),
    missing: { count: missing, ratio: missing / mined.possible },
    queries: queries.length,
    corpus: corpus.length,
    rangeMax,
  }
  return { rows: mined.rows, statistics, report: describeMining(statistics, options) }
}
