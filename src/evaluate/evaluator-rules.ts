/** What the options of several evaluators have in common: rules, and the checked form. */
import { type EvaluationTask, EVALUATIONS, SIMILARITIES, type SimilarityName } from '../core/names.js'
import { either, filledText, integer, invalidOption, listOf, oneOf, oneOrMore, text } from '../core/options.js'
import { quoteOf, tableRule } from './source-rules.js'
import { type CheckedViews, viewsOf } from './views.js'

/** The measures of an evaluator. */
export interface Similarities {
  /** null = the model's own. */
  names: SimilarityName[] | null
  main: SimilarityName | null
}

export interface Table {
  views: CheckedViews
  split: string
  subset: string | null
  data: string | readonly unknown[]
  columns: readonly (string | number)[] | null
  /** null = quotes are ordinary characters. */
  quote: string | null
}

export interface Checked<T extends EvaluationTask> {
  task: T
  name: string
  dimensions: number | undefined
  views: CheckedViews
}

export const COMMON = { task: oneOf(...EVALUATIONS), name: text, dimensions: integer(1), views: listOf(filledText) }
export const CHOICE = { similarityFnNames: oneOrMore(oneOf(...SIMILARITIES)), mainSimilarity: oneOf(...SIMILARITIES) }
export const SOURCE = { data: tableRule, split: filledText, subset: filledText, quote: text }
export const TABLE = { ...SOURCE, columns: listOf(either(filledText, integer(1))) }

export function commonOf(
  { name, dimensions, views }: { name?: string; dimensions?: number; views?: readonly string[] },
  hasPopularity = false,
): { name: string; dimensions: number | undefined; views: CheckedViews } {
  return { name: name ?? '', dimensions, views: viewsOf(views, hasPopularity) }
}

/** Of tasks whose score is none of single items. */
export function refuseViews(task: EvaluationTask, views: readonly string[] | undefined): void {
  if (views !== undefined) throw invalidOption('views', `nothing (${task} has no score of each item)`, views)
}

export function tableOf(
  options: {
    data?: Table['data']
    columns?: (string | number)[]
    quote?: string
    split?: string
    subset?: string
    views?: readonly string[]
  },
  count: number,
): Table {
  const { data, columns, split, subset } = options
  if (data === undefined) throw invalidOption('data', TABLE.data.expected, data)
  if (columns !== undefined && columns.length !== count) throw invalidOption('columns', `${count} columns`, columns)
  if (typeof data !== 'string')
    for (const [name, value] of Object.entries({ split, subset }))
      if (value !== undefined) throw invalidOption(name, 'nothing beside rows in memory', value)
  return {
    data,
    columns: columns ?? null,
    quote: quoteOf(options.quote),
    split: split ?? 'test',
    subset: subset ?? null,
    views: viewsOf(options.views),
  }
}

export function similaritiesOf(options: {
  similarityFnNames?: SimilarityName[]
  mainSimilarity?: SimilarityName
}): Similarities {
  const { similarityFnNames, mainSimilarity: main } = options
  if (similarityFnNames === undefined) return { names: main === undefined ? null : [main], main: main ?? null }
  const names = [...new Set(similarityFnNames)]
  if (main !== undefined && !names.includes(main))
    throw invalidOption('mainSimilarity', `one of similarityFnNames (${names.join(', ')})`, main)
  return { names, main: main ?? null }
}
