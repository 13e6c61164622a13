/** evaluateRun: judges the results of any search by the rules of trec_eval. No model takes part. */
import { abortError } from '../../core/abort.js'
import { EmbedCoreError, withOwnStack } from '../../core/errors.js'
import {
  abortSignal,
  checkOptions,
  filledText,
  flag,
  integer,
  invalidOption,
  listOf,
  text,
} from '../../core/options.js'
import { nearest, show } from '../../core/show.js'
import { invalidData } from '../../data/data-file.js'
import { DETAIL_RULES, detailOptions, detailsOf, type MeasuredItems } from '../details.js'
import { comesBefore } from '../nearest-documents.js'
import { quoteOf, relevantDocsRule, runScoresRule, textsByIdRule } from '../source-rules.js'
import { Slices } from '../slices.js'
import { openTexts } from '../texts-by-id.js'
import type { RunEvaluation, RunOptions } from '../run-types.js'
import { headOf, ViewLabels, viewsOf } from '../views.js'
import { type Grades, readGrades } from './judgments.js'
import { DEFAULT_MEASURES, type Measure, MEASURE_NAMES, measuresOf } from './measures.js'
import { NOT_JUDGED, rank, type RankingRules } from './ranking.js'
import { readRun, type Retrieved, type Run } from './run-scores.js'

/** The options of evaluateRun. */
export const RUN_RULES = {
  run: runScoresRule,
  qrels: relevantDocsRule,
  measures: listOf(filledText),
  primaryMetric: filledText,
  relevanceLevel: integer(0),
  complete: flag,
  judgedOnly: flag,
  maxDocuments: integer(1),
  ignoreIdentical: flag,
  version: {
    expected: '9 or 10',
    read: (value: unknown) => integer(9, 10).read(value) as 9 | 10,
  },
  name: text,
  perQuery: flag,
  queries: textsByIdRule,
  views: listOf(filledText),
  quote: text,
  ...DETAIL_RULES,
  signal: abortSignal,
}

/**
 * Judges a run by the rules of trec_eval: the order is by score, of equal ones by document id, descending; queries that
 * are not in both files are passed over; documents without a judgment are not relevant.
 * @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION for a wrong call; _INVALID_DATA with file and line for lines
 *   that are malformed and documents that a query has twice, or when no query is in both; _ABORTED.
 * @example
 * const { metrics } = await evaluateRun({ run: 'bm25.trec', qrels: 'qrels.txt' })
 * console.log(metrics.map, metrics.P_10, metrics.ndcg_cut_10)
 */
export async function evaluateRun(options: RunOptions): Promise<RunEvaluation> {
  const begin = performance.now()
  const checked = checkRunOptions(options)
  const signal = checked.signal ?? new AbortController().signal
  if (signal.aborted) throw abortError(signal)
  const slices = new Slices(signal)
  try {
    const run = await readRun(checked.run, signal, slices)
    const judgments = await readGrades(checked.qrels, checked.quote, signal, slices)
    const result = await judge(run, judgments, checked, slices)
    return { ...result, seconds: Math.round((performance.now() - begin) * 1e3) / 1e6 }
  } catch (error) {
    if (signal.aborted) throw abortError(signal)
    throw withOwnStack(error)
  }
}

type CheckedRun = ReturnType<typeof checkRunOptions>

function checkRunOptions(given: RunOptions) {
  const options = checkOptions(given, RUN_RULES)
  const { run, qrels, queries, version = 9 } = options
  if (run === undefined) throw invalidOption('run', RUN_RULES.run.expected, run)
  if (qrels === undefined) throw invalidOption('qrels', RUN_RULES.qrels.expected, qrels)
  const measures = (options.measures ?? DEFAULT_MEASURES).flatMap((name) => {
    const found = measuresOf(name, version)
    if (found === null) throw unknownMeasure('measures', name)
    return found
  })
  const views = viewsOf(options.views, true)
  if (queries === undefined && (views.columns.length > 0 || views.length))
    throw invalidOption('queries', 'the texts of the queries, which the views need,', queries)
  return {
    run,
    qrels,
    measures: [...new Map(measures.map((measure) => [measure.name, measure])).values()],
    primary: primaryOf(measures, options.primaryMetric, version),
    rules: {
      relevanceLevel: options.relevanceLevel ?? 1,
      judgedOnly: options.judgedOnly ?? false,
      maxDocuments: options.maxDocuments ?? Infinity,
      float32: version === 9,
    } satisfies RankingRules,
    complete: options.complete ?? false,
    ignoreIdentical: options.ignoreIdentical ?? false,
    name: options.name ?? '',
    perQuery: options.perQuery ?? false,
    queries,
    views,
    quote: quoteOf(options.quote),
    details: detailOptions(options),
    signal: options.signal,
  }
}

function unknownMeasure(option: string, name: string): EmbedCoreError {
  const near = nearest(name, MEASURE_NAMES)
  return new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected names of trec_eval for ${option} but received ${show(name)}; ` +
      (near === null ? `known are ${MEASURE_NAMES.join(', ')}, with a cutoff as P_10` : `did you mean ${show(near)}?`),
  )
}

/** Only a mean has items, intervals and comparisons. */
function primaryOf(measures: readonly Measure[], given: string | undefined, version: 9 | 10): Measure {
  if (given !== undefined) {
    const [measure, ...others] = measuresOf(given, version) ?? []
    if (measure === undefined) throw unknownMeasure('primaryMetric', given)
    if (others.length > 0 || measure.average !== 'mean')
      throw invalidOption('primaryMetric', 'one measure that is a mean, such as map or P_10,', given)
    return measure
  }
  const means = measures.filter(({ average }) => average === 'mean')
  return means.find(({ name }) => name === 'ndcg_cut_10') ?? means[0] ?? measuresOf('map', version)![0]!
}

async function judge(
  run: Run,
  judgments: ReadonlyMap<string, Grades>,
  checked: CheckedRun,
  slices: Slices,
): Promise<Omit<RunEvaluation, 'seconds'>> {
  const { primary, complete, perQuery } = checked
  const named = checked.measures.some(({ name }) => name === primary.name)
  const measures = named ? checked.measures : [...checked.measures, primary]
  // In the order of trec_eval, by id.
  const judged = [...judgments.keys()].sort((a, b) => (comesBefore(a, b) ? -1 : 1))
  const seen = judged.filter((query) => run.queries.has(query))
  if (seen.length === 0)
    throw invalidData(
      `Expected a query in both the run and the judgments but found none, such as ` +
        `${show(run.queries.keys().next().value)} in the run and ${show(judged[0])} in the judgments`,
    )
  const values = measures.map(() => new Float64Array(seen.length))
  const each: Record<string, Record<string, number>> = {}
  let unjudgedDocuments = 0
  for (const [i, query] of seen.entries()) {
    if (slices.over) await slices.next()
    const grades = judgments.get(query)!
    const retrieved = checked.ignoreIdentical ? without(run.queries.get(query)!, query) : run.queries.get(query)!
    const ranking = await rank(retrieved, grades, checked.rules, slices)
    for (const grade of ranking.grades) if (grade === NOT_JUDGED) unjudgedDocuments++
    measures.forEach((measure, m) => (values[m]![i] = measure.of(ranking)))
    if (perQuery)
      each[query] = Object.fromEntries(
        measures.flatMap(({ name, average }, m) => (average === 'geometric' ? [] : [[name, values[m]![i]!] as const])),
      )
  }
  const queries = complete ? judged.length : seen.length
  const metrics: Record<string, number> = {}
  for (const [m, measure] of measures.entries())
    metrics[measure.name] = averaged(measure, values[m]!, queries, complete, judgments)
  const prefix = checked.name === '' ? '' : `${checked.name}_`
  const scores = values[measures.findIndex(({ name }) => name === primary.name)]!
  const items = await itemsOf(primary, scores, seen, judged, judgments, checked, slices)
  return {
    task: 'run',
    name: checked.name,
    runId: run.id,
    primaryMetric: prefix + primary.name,
    score: metrics[primary.name]!,
    metrics: Object.fromEntries(measures.map(({ name }) => [prefix + name, metrics[name]!] as const)),
    rows: queries,
    ...(perQuery ? { perQuery: each } : {}),
    unjudgedQueries: run.queries.size - seen.length,
    missingQueries: judged.length - seen.length,
    unjudgedDocuments,
    ...(await detailsOf(items, prefix, checked.details, slices)),
  }
}

function without({ ids, scores }: Retrieved, query: string): Retrieved {
  const place = ids.indexOf(query)
  return place < 0 ? { ids, scores } : { ids: ids.toSpliced(place, 1), scores: scores.toSpliced(place, 1) }
}

/** With `complete`, queries without results count as 0, and relevant documents of any level above 0 are counted. */
function averaged(
  { name, average, of }: Measure,
  values: Float64Array,
  queries: number,
  complete: boolean,
  judgments: ReadonlyMap<string, Grades>,
): number {
  const sum = values.reduce((total, value) => total + value, 0)
  if (average === 'mean') return sum / queries
  if (average === 'sum') {
    if (!complete) return sum
    if (name === 'num_q') return queries
    if (name !== 'num_rel') return sum
    let relevant = 0
    for (const grades of judgments.values()) for (const grade of grades.values()) if (grade > 0) relevant++
    return relevant
  }
  const missing = (queries - values.length) * of(NOTHING)
  return Math.exp((sum + missing) / queries)
}

const NOTHING = { grades: [], ideal: [], relevant: 0, notRelevant: 0, relevantRetrieved: 0, level: 1 }

async function itemsOf(
  { name }: Measure,
  values: Float64Array,
  seen: readonly string[],
  judged: readonly string[],
  judgments: ReadonlyMap<string, Grades>,
  { complete, views, queries, quote, rules, signal }: CheckedRun,
  slices: Slices,
): Promise<MeasuredItems> {
  const ids = complete ? [...judged] : [...seen]
  const place = new Map(seen.map((query, i) => [query, i]))
  const all = complete ? ids.map((query) => (place.has(query) ? values[place.get(query)!]! : 0)) : values
  const groups = await groupsOf(ids, judgments, { views, queries, quote, rules, signal }, slices)
  return { metric: name, statistic: 'mean', ids, values: all, groups, digest: null }
}

async function groupsOf(
  ids: readonly string[],
  judgments: ReadonlyMap<string, Grades>,
  { views, queries, quote, rules, signal }: Pick<CheckedRun, 'views' | 'queries' | 'quote' | 'rules' | 'signal'>,
  slices: Slices,
): Promise<Record<string, string[]> | undefined> {
  const labels = new ViewLabels(views)
  if (queries !== undefined) {
    const texts = new Map<string, { text: string; labels: readonly string[] }>()
    const wanted = new Set(ids)
    const opened = await openTexts(queries, 'queries', quote, signal ?? new AbortController().signal, views.columns)
    for await (const group of opened.groups)
      for (const { id, text, labels: found } of group) if (wanted.has(id)) texts.set(id, { text, labels: found })
    for (const id of ids) {
      const known = texts.get(id)
      if (known === undefined) throw invalidData(`Expected the text of the query ${show(id)} in queries but found none`)
      labels.add(known.labels, known.text)
    }
  }
  if (views.popularity) await addPopularity(labels, ids, judgments, rules.relevanceLevel, slices)
  return labels.groups(slices)
}

async function addPopularity(
  labels: ViewLabels,
  ids: readonly string[],
  judgments: ReadonlyMap<string, Grades>,
  level: number,
  slices: Slices,
): Promise<void> {
  const counts = new Map<string, number>()
  for (const grades of judgments.values()) {
    if (slices.over) await slices.next()
    for (const [document, grade] of grades) if (grade >= level) counts.set(document, (counts.get(document) ?? 0) + 1)
  }
  const head = await headOf(counts, slices)
  for (const id of ids)
    labels.addPopularity(
      [...judgments.get(id)!].some(([document, grade]) => grade >= level && head.has(document)) ? 'head' : 'tail',
    )
}
