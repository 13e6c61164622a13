/** Checks evaluators and the options of evaluate, and fills in the defaults of sentence-transformers. */
import { EmbedCoreError } from '../core/errors.js'
import { EVALUATIONS, type EvaluationTask, type Precision, PRECISIONS, type SimilarityName } from '../core/names.js'
import {
  abortSignal,
  callback,
  checkOptions,
  filledText,
  finiteNumber,
  integer,
  invalidOption,
  listOf,
  oneOf,
  only,
  text,
} from '../core/options.js'
import { reason, show } from '../core/show.js'
import { ENCODE_RULES } from '../model/encode-options.js'
import { DETAIL_RULES, type DetailOptions, detailOptions } from './details.js'
import {
  CHOICE,
  type Checked,
  COMMON,
  commonOf,
  type Similarities,
  similaritiesOf,
  type Table,
  TABLE,
  tableOf,
} from './evaluator-rules.js'
import { quoteOf, relevantDocsRule, textsByIdRule } from './source-rules.js'
import { type CheckedTask, checkTask, TASK_RULES } from './tasks/options.js'
import type { EncoderOptions, EvaluateOptions, EvaluateProgress, RelevantDocs, TextsById } from './types.js'

export type { Similarities, Table } from './evaluator-rules.js'

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
  runFile: string | null
  runDepth: number
}
export type CheckedEvaluator = CheckedSts | CheckedTriplet | CheckedBitext | CheckedRetrieval | CheckedTask

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
    runFile: filledText,
    runDepth: integer(1),
  },
  ...TASK_RULES,
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
      return { task, ...tableOf(options, 2), ...commonOf(options) }
    }
    case 'retrieval':
      return checkRetrieval(given)
    default:
      return checkTask(task, given)
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
    ...tableOf(options, 3),
    ...commonOf(options),
    similarities: similaritiesOf(options),
    precision: options.precision ?? null,
  }
}

function checkTriplet(given: unknown): CheckedTriplet {
  const options = checkOptions(given, EVALUATOR_RULES.triplet)
  return {
    task: 'triplet',
    ...tableOf(options, 3),
    ...commonOf(options),
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
    ...commonOf(options, true),
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
    runFile: options.runFile ?? null,
    runDepth: runDepthOf(options),
  }
}

function runDepthOf({ runFile, runDepth }: { runFile?: string; runDepth?: number }): number {
  if (runDepth !== undefined && runFile === undefined)
    throw invalidOption('runDepth', 'nothing without runFile', runDepth)
  return runDepth ?? 1000
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)]
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

const NOT_FOR_ALL = ['output', 'precision', 'ranges', 'dimensions', 'signal', 'onProgress'] as const

export const EVALUATE_RULES = {
  signal: abortSignal,
  onProgress: callback<(progress: EvaluateProgress) => void>(),
  batchSize: integer(1, 65536),
  ...DETAIL_RULES,
  encode: only<object>('an object of options', (value) => isObject(value) && !Array.isArray(value)),
  mainScoreFunction: callback<(scores: readonly number[]) => number>(),
}

export interface CheckedOptions {
  signal: AbortSignal | undefined
  onProgress: ((progress: EvaluateProgress) => void) | undefined
  batchSize: number
  encode: EncoderOptions
  details: DetailOptions
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
    details: detailOptions(options),
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
