/** Checks evaluators and the options of evaluate, and fills in the defaults of sentence-transformers. */
import { EmbedCoreError } from '../core/errors.js'
import {
  EVALUATIONS,
  type EvaluationTask,
  type Precision,
  PRECISIONS,
  SIMILARITIES,
  type SimilarityName,
} from '../core/names.js'
import {
  abortSignal,
  callback,
  checkOptions,
  either,
  filledText,
  finiteNumber,
  integer,
  invalidOption,
  listOf,
  oneOf,
  oneOrMore,
  only,
  text,
} from '../core/options.js'
import { reason, show } from '../core/show.js'
import { ENCODE_RULES } from '../model/encode-options.js'
import { quoteOf, relevantDocsRule, tableRule, textsByIdRule } from './source-rules.js'
import type { EncoderOptions, EvaluateOptions, EvaluateProgress, RelevantDocs, TextsById } from './types.js'

/** The measures of an evaluator. */
export interface Similarities {
  /** null = the model's own. */
  names: SimilarityName[] | null
  main: SimilarityName | null
}

export interface Table {
  data: string | readonly unknown[]
  columns: readonly (string | number)[] | null
  /** null = quotes are ordinary characters. */
  quote: string | null
}

interface Checked<T extends EvaluationTask> {
  task: T
  name: string
  dimensions: number | undefined
}
export interface CheckedSts extends Checked<'sts'>, Table {
  similarities: Similarities
  precision: Precision | null
}
export interface CheckedTriplet extends Checked<'triplet'>, Table {
  similarities: Similarities
  margin: Readonly<Record<SimilarityName, number>>
}
export interface CheckedBitext extends Checked<'bitext'>, Table {}
export interface Cutoffs {
  accuracy: number[]
  precisionRecall: number[]
  mrr: number[]
  ndcg: number[]
  map: number[]
}
export interface CheckedRetrieval extends Checked<'retrieval'> {
  similarities: Similarities
  /** A directory in the layout of BEIR, or the parts. */
  source: { directory: string; split: string } | { queries: TextsById; corpus: TextsById; relevantDocs: RelevantDocs }
  quote: string | null
  cutoffs: Cutoffs
  query: Pick<EncoderOptions, 'prompt' | 'promptName'>
  corpus: Pick<EncoderOptions, 'prompt' | 'promptName'>
}
export type CheckedEvaluator = CheckedSts | CheckedTriplet | CheckedBitext | CheckedRetrieval

const COMMON = { task: oneOf(...EVALUATIONS), name: text, dimensions: integer(1) }
const CHOICE = { similarityFnNames: oneOrMore(oneOf(...SIMILARITIES)), mainSimilarity: oneOf(...SIMILARITIES) }

const TABLE = {
  data: tableRule,
  columns: listOf(either(filledText, integer(1))),
  quote: text,
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
const cutoffs = listOf(integer(1))

/** The options of each evaluator. */
export const EVALUATOR_RULES = {
  sts: { ...COMMON, ...CHOICE, ...TABLE, precision: oneOf(...PRECISIONS) },
  triplet: {
    ...COMMON,
    ...CHOICE,
    ...TABLE,
    margin: only<number | object>(
      'a finite number, or an object of numbers by measure',
      (value) => Number.isFinite(value) || (isObject(value) && !Array.isArray(value)),
    ),
  },
  bitext: { ...COMMON, ...TABLE },
  retrieval: {
    ...COMMON,
    ...CHOICE,
    data: filledText,
    split: filledText,
    queries: textsByIdRule,
    corpus: textsByIdRule,
    relevantDocs: relevantDocsRule,
    quote: text,
    accuracyAtK: cutoffs,
    precisionRecallAtK: cutoffs,
    mrrAtK: cutoffs,
    ndcgAtK: cutoffs,
    mapAtK: cutoffs,
    queryPrompt: text,
    queryPromptName: text,
    corpusPrompt: text,
    corpusPromptName: text,
  },
}

/** One evaluator or a list of them, checked. No file is opened. */
export function checkEvaluators(given: unknown): { evaluators: CheckedEvaluator[]; isList: boolean } {
  if (!Array.isArray(given)) return { evaluators: [checkEvaluator(given)], isList: false }
  if (given.length === 0)
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', 'Expected an evaluator or more but received an empty list')
  const evaluators = Array.from({ length: given.length }, (_, i) => checkEvaluator(elementOf(given, i)))
  const seen = new Set<string>()
  for (const { task, name } of evaluators) {
    // Their metrics would have the same names.
    if (seen.has(`${task} ${name}`))
      throw invalidOption('name', `another name for each of the evaluators of ${task}`, name)
    seen.add(`${task} ${name}`)
  }
  return { evaluators, isList: true }
}

function elementOf(list: readonly unknown[], i: number): unknown {
  try {
    return list[i]
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `Reading evaluator ${i} failed: ${reason(error)}`, {
      cause: error,
    })
  }
}

export function checkEvaluator(given: unknown): CheckedEvaluator {
  const task = taskOf(given)
  switch (task) {
    case 'sts':
      return checkSts(given)
    case 'triplet':
      return checkTriplet(given)
    case 'bitext': {
      const options = checkOptions(given, EVALUATOR_RULES.bitext)
      return { task, ...commonOf(options), ...tableOf(options, 2) }
    }
    case 'retrieval':
      return checkRetrieval(given)
  }
}

function taskOf(given: unknown): EvaluationTask {
  if (!isObject(given))
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected an evaluator, such as { task: 'sts', data: 'pairs.csv' }, but received ${show(given)}`,
    )
  let task: unknown
  try {
    task = (given as { task?: unknown }).task
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `Reading the option task failed: ${reason(error)}`, {
      cause: error,
    })
  }
  const known = EVALUATIONS.find((candidate) => candidate === task)
  if (known === undefined) throw invalidOption('task', COMMON.task.expected, task, EVALUATIONS)
  return known
}

function checkSts(given: unknown): CheckedSts {
  const options = checkOptions(given, EVALUATOR_RULES.sts)
  return {
    task: 'sts',
    ...commonOf(options),
    ...tableOf(options, 3),
    similarities: similaritiesOf(options),
    precision: options.precision ?? null,
  }
}

function checkTriplet(given: unknown): CheckedTriplet {
  const options = checkOptions(given, EVALUATOR_RULES.triplet)
  return {
    task: 'triplet',
    ...commonOf(options),
    ...tableOf(options, 3),
    similarities: similaritiesOf(options),
    margin: marginOf(options.margin ?? 0),
  }
}

function marginOf(given: number | object): Record<SimilarityName, number> {
  const all = typeof given === 'number' ? given : 0
  const same = { cosine: all, dot: all, euclidean: all, manhattan: all }
  if (typeof given === 'number') return same
  return {
    ...same,
    ...checkOptions(given, {
      cosine: finiteNumber,
      dot: finiteNumber,
      euclidean: finiteNumber,
      manhattan: finiteNumber,
    }),
  }
}

function checkRetrieval(given: unknown): CheckedRetrieval {
  const options = checkOptions(given, EVALUATOR_RULES.retrieval)
  return {
    task: 'retrieval',
    ...commonOf(options),
    similarities: similaritiesOf(options),
    source: retrievalSource(options),
    quote: quoteOf(options.quote),
    cutoffs: {
      accuracy: unique(options.accuracyAtK ?? [1, 3, 5, 10]),
      precisionRecall: unique(options.precisionRecallAtK ?? [1, 3, 5, 10]),
      mrr: unique(options.mrrAtK ?? [10]),
      ndcg: unique(options.ndcgAtK ?? [10]),
      map: unique(options.mapAtK ?? [100]),
    },
    query: promptOf('queryPrompt', options.queryPrompt, options.queryPromptName),
    corpus: promptOf('corpusPrompt', options.corpusPrompt, options.corpusPromptName),
  }
}

function retrievalSource(options: {
  data?: string
  split?: string
  queries?: TextsById
  corpus?: TextsById
  relevantDocs?: RelevantDocs
}): CheckedRetrieval['source'] {
  const { data, split, queries, corpus, relevantDocs } = options
  if (data !== undefined) {
    for (const name of ['queries', 'corpus', 'relevantDocs'] as const)
      if (options[name] !== undefined) throw invalidOption(name, 'nothing beside data', options[name])
    return { directory: data, split: split ?? 'test' }
  }
  if (split !== undefined) throw invalidOption('split', 'nothing without data', split)
  if (queries === undefined) throw invalidOption('queries', textsByIdRule.expected, queries)
  if (corpus === undefined) throw invalidOption('corpus', textsByIdRule.expected, corpus)
  if (relevantDocs === undefined)
    throw invalidOption('relevantDocs', EVALUATOR_RULES.retrieval.relevantDocs.expected, relevantDocs)
  return { queries, corpus, relevantDocs }
}

function promptOf(
  name: string,
  prompt: string | undefined,
  promptName: string | undefined,
): Pick<EncoderOptions, 'prompt' | 'promptName'> {
  if (prompt !== undefined && promptName !== undefined)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected either ${name} or ${name}Name but received both: ${show(prompt)} and ${show(promptName)}`,
    )
  if (prompt !== undefined) return { prompt }
  return promptName === undefined ? {} : { promptName }
}

function commonOf({ name, dimensions }: { name?: string; dimensions?: number }): {
  name: string
  dimensions: number | undefined
} {
  return { name: name ?? '', dimensions }
}

function tableOf(
  options: { data?: Table['data']; columns?: (string | number)[]; quote?: string },
  count: number,
): Table {
  const { data, columns } = options
  if (data === undefined) throw invalidOption('data', TABLE.data.expected, data)
  if (columns !== undefined && columns.length !== count) throw invalidOption('columns', `${count} columns`, columns)
  return { data, columns: columns ?? null, quote: quoteOf(options.quote) }
}

function similaritiesOf(options: {
  similarityFnNames?: SimilarityName[]
  mainSimilarity?: SimilarityName
}): Similarities {
  const { similarityFnNames, mainSimilarity: main } = options
  if (similarityFnNames === undefined) return { names: main === undefined ? null : [main], main: main ?? null }
  const names = unique(similarityFnNames)
  if (main !== undefined && !names.includes(main))
    throw invalidOption('mainSimilarity', `one of similarityFnNames (${names.join(', ')})`, main)
  return { names, main: main ?? null }
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)]
}

const NOT_FOR_ALL = ['output', 'precision', 'ranges', 'dimensions', 'signal', 'onProgress'] as const

export const EVALUATE_RULES = {
  signal: abortSignal,
  onProgress: callback<(progress: EvaluateProgress) => void>(),
  batchSize: integer(1, 65536),
  encode: only<object>('an object of options', (value) => isObject(value) && !Array.isArray(value)),
  mainScoreFunction: callback<(scores: readonly number[]) => number>(),
}

export interface CheckedOptions {
  signal: AbortSignal | undefined
  onProgress: ((progress: EvaluateProgress) => void) | undefined
  batchSize: number
  encode: EncoderOptions
  mainScoreFunction: (scores: readonly number[]) => number
}

export function checkEvaluateOptions(given: EvaluateOptions | undefined): CheckedOptions {
  const options = checkOptions(given, EVALUATE_RULES)
  const encode = checkOptions(options.encode, { ...ENCODE_RULES, prefixTokens: integer(0) })
  for (const name of NOT_FOR_ALL)
    if (encode[name] !== undefined) throw invalidOption(`encode.${name}`, ELSEWHERE[name], encode[name])
  return {
    signal: options.signal,
    onProgress: options.onProgress,
    batchSize: options.batchSize ?? 256,
    encode: encode as EncoderOptions,
    mainScoreFunction: options.mainScoreFunction ?? ((scores) => scores.at(-1)!),
  }
}

const ELSEWHERE: Readonly<Record<(typeof NOT_FOR_ALL)[number], string>> = {
  output: 'nothing (an evaluation needs one vector per text)',
  precision: 'nothing (it is an option of the evaluator)',
  ranges: 'nothing (they are taken from the vectors)',
  dimensions: 'nothing (it is an option of the evaluator)',
  signal: 'nothing (it is an option of evaluate)',
  onProgress: 'nothing (it is an option of evaluate)',
}
