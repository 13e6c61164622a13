/**
 * InformationRetrievalEvaluator. The corpus passes once, in batches: each is encoded, compared with all queries in
 * blocks, and forgotten, except for the documents that are among the nearest to a query.
 */
import { allocate } from '../core/memory.js'
import type { SimilarityName } from '../core/names.js'
import { show } from '../core/show.js'
import { compare } from '../core/vectors.js'
import { retrievalFiles } from './dataset-files.js'
import { invalidData } from '../data/data-file.js'
import { regrouped } from './encoding.js'
import { NearestDocuments } from './nearest-documents.js'
import type { CheckedRetrieval } from './options.js'
import type { Rows } from './pairs.js'
import { type Relevant, readRelevant } from './relevant-docs.js'
import { RetrievalMetrics } from './retrieval-metrics.js'
import { type Measured, namesOf, type Run } from './run.js'
import type { Slices } from './slices.js'
import { openTexts, type TextWithId } from './texts-by-id.js'
import { writeRetrieved } from './trec/write-run.js'
import type { TextsById } from './types.js'
import { type CheckedViews, headOf, ViewLabels } from './views.js'

/** Scores that are held at a time. */
const BLOCK_SCORES = 1 << 20

/** The queries that have a relevant document. */
interface Queries {
  ids: string[]
  texts: string[]
  labels: ViewLabels
}

export async function evaluateRetrieval(evaluator: CheckedRetrieval, run: Run): Promise<Measured> {
  const { source, quote, dimensions, cutoffs } = evaluator
  const names = namesOf(evaluator.similarities, run)
  const parts = 'directory' in source ? await retrievalFiles(source.directory, source.split) : source
  const relevant = await readRelevant(parts.relevantDocs, quote, run.signal, run.slices)
  const queries = await readQueries(parts.queries, relevant, quote, evaluator.views, run)
  const corpus = await openTexts(parts.corpus, 'corpus', quote, run.signal)
  run.extent = {
    total: corpus.total === null ? null : queries.ids.length + corpus.total,
    share: corpus.share,
  }
  const vectors = await run.encoding.all(queries.texts, run.batchSize, {
    ...evaluator.query,
    dimensions,
    kind: 'query',
  })

  const ids: string[] = []
  const depth = Math.max(RetrievalMetrics.deepest(cutoffs), evaluator.runFile === null ? 0 : evaluator.runDepth)
  const search = new Search(names, vectors, queries.ids.length, depth, ids, run)
  const encodeDocuments = (documents: readonly TextWithId[]): Promise<Rows> =>
    run.encoding.rows(
      documents.map(({ text }) => text),
      { ...evaluator.corpus, dimensions, kind: 'document' },
    )
  const batches = regrouped(corpus.groups, run.batchSize, run.slices)
  for await (const { item, result } of run.encoding.overlapping(batches, encodeDocuments)) {
    const first = ids.length
    for (const { id } of item) ids.push(id)
    await search.add(result, first, item.length)
  }
  await checkIds(queries, relevant, ids, run)

  const metrics: Record<string, number> = {}
  const values = new Map<string, Float64Array>()
  for (const name of names) {
    const measured = await measure(search.nearest(name), name, queries, relevant, ids, evaluator, run)
    Object.assign(metrics, measured.means)
    values.set(name, measured.values)
  }
  const primary = primaryOf(evaluator, names, metrics)
  const best = names.find((name) => primary.startsWith(`${name}_`))!
  if (evaluator.runFile !== null)
    await writeRetrieved(evaluator.runFile, search.nearest(best), queries.ids, ids, evaluator.runDepth, run.slices)
  if (evaluator.views.popularity) await addPopularity(queries, relevant, run.slices)
  return {
    metrics,
    primary,
    rows: queries.ids.length,
    documents: ids.length,
    items: {
      metric: primary,
      statistic: 'mean',
      ids: queries.ids,
      values: values.get(best)!,
      groups: await queries.labels.groups(run.slices),
      digest: null,
    },
  }
}

/** Documents are as popular as queries name them relevant. */
async function addPopularity({ ids, labels }: Queries, relevant: Relevant, slices: Slices): Promise<void> {
  const counts = new Map<string, number>()
  for (const documents of relevant.values()) {
    if (slices.over) await slices.next()
    for (const document of documents) counts.set(document, (counts.get(document) ?? 0) + 1)
  }
  const head = await headOf(counts, slices)
  for (const id of ids)
    labels.addPopularity([...relevant.get(id)!].some((document) => head.has(document)) ? 'head' : 'tail')
}

async function readQueries(
  source: TextsById,
  relevant: Relevant,
  quote: string | null,
  views: CheckedViews,
  run: Run,
): Promise<Queries> {
  const found: Queries = { ids: [], texts: [], labels: new ViewLabels(views) }
  const { groups } = await openTexts(source, 'queries', quote, run.signal, views.columns)
  let all = 0
  for await (const group of groups) {
    if (run.slices.over) await run.slices.next()
    all += group.length
    for (const { id, text, labels } of group) {
      if (!relevant.has(id)) continue
      found.ids.push(id)
      found.texts.push(text)
      found.labels.add(labels, text)
    }
  }
  if (found.ids.length > 0) return found
  const known = relevant.keys().next().value
  throw invalidData(
    `Expected a query with a relevant document but found none among ${all} queries` +
      (known === undefined ? '; no document is relevant' : `; the judgments are of other ids, such as ${show(known)}`),
  )
}

/** Judgments of documents that the corpus does not have: all of them is a mistake, some of them lowers recall. */
async function checkIds(queries: Queries, relevant: Relevant, ids: readonly string[], { slices }: Run): Promise<void> {
  const corpus = new Set(ids)
  const missing = new Set<string>()
  let present = false
  for (const query of queries.ids) {
    if (slices.over) await slices.next()
    for (const id of relevant.get(query)!) {
      if (corpus.has(id)) present = true
      else missing.add(id)
    }
  }
  const [first] = missing
  if (!present)
    throw invalidData(
      `Expected relevant documents in the corpus of ${ids.length} but found none of them, such as ${show(first)}`,
    )
  if (missing.size > 0) {
    const documents = missing.size === 1 ? '1 relevant document is' : `${missing.size} relevant documents are`
    process.emitWarning(`${documents} not in the corpus, such as ${show(first)}, and counted as not found`, {
      code: 'EMBEDCORE_MISSING_DOCUMENTS',
    })
  }
}

/** The documents nearest to each query, by each measure. */
class Search {
  private readonly lists: ReadonlyMap<SimilarityName, NearestDocuments>
  private scores: Float32Array = new Float32Array(0)

  constructor(
    names: readonly SimilarityName[],
    private readonly queries: Rows,
    private readonly count: number,
    k: number,
    ids: readonly string[],
    private readonly run: Run,
  ) {
    this.lists = new Map(names.map((name) => [name, new NearestDocuments(count, k, ids)]))
  }

  /** Documents with the numbers first to first + documents - 1. */
  async add({ data, width }: Rows, first: number, documents: number): Promise<void> {
    const { slices, signal } = this.run
    const block = Math.max(1, Math.min(this.count, Math.floor(BLOCK_SCORES / documents)))
    if (this.scores.length < block * documents) this.scores = allocate(block * documents)
    for (const [name, nearest] of this.lists) {
      for (let start = 0; start < this.count; start += block) {
        const rows = Math.min(block, this.count - start)
        const queries = this.queries.data.subarray(start * width, (start + rows) * width)
        const scores = this.scores.subarray(0, rows * documents)
        await compare(queries, data, width, name, scores, signal)
        for (let row = 0; row < rows; row++) {
          if (slices.over) await slices.next()
          nearest.offer(start + row, first, scores.subarray(row * documents, (row + 1) * documents))
        }
      }
    }
  }

  nearest(name: SimilarityName): NearestDocuments {
    return this.lists.get(name)!
  }
}

async function measure(
  nearest: NearestDocuments,
  name: SimilarityName,
  queries: Queries,
  relevant: Relevant,
  ids: readonly string[],
  { cutoffs }: CheckedRetrieval,
  { slices }: Run,
): Promise<{ means: Record<string, number>; values: Float64Array }> {
  const metrics = new RetrievalMetrics(cutoffs)
  const primary = `ndcg@${Math.max(...cutoffs.ndcg)}`
  const values = allocate(queries.ids.length, Float64Array)
  for (const [i, query] of queries.ids.entries()) {
    if (slices.over) await slices.next()
    const wanted = relevant.get(query)!
    const found = metrics.add(
      nearest.of(i).map((document) => wanted.has(ids[document]!)),
      wanted.size,
    )
    values[i] = found.get(primary)!
  }
  return { means: metrics.means(name), values }
}

/** nDCG at the largest cutoff: of the main measure, or of the best, the first by name of equal ones. */
function primaryOf(
  { cutoffs, similarities }: CheckedRetrieval,
  names: readonly SimilarityName[],
  metrics: Readonly<Record<string, number>>,
): string {
  const suffix = `_ndcg@${Math.max(...cutoffs.ndcg)}`
  if (similarities.main !== null) return similarities.main + suffix
  const [best] = [...names].sort().sort((a, b) => metrics[b + suffix]! - metrics[a + suffix]!)
  return best! + suffix
}
