/** Options of `mineHardNegatives`. Names and defaults are those of sentence-transformers, in camel case. */
import { EmbedCoreError } from '../../core/errors.js'
import {
  abortSignal,
  callback,
  checkOptions,
  filledText,
  finiteNumber,
  flag,
  integer,
  invalidOption,
  oneOf,
  type Rule,
  text,
} from '../../core/options.js'
import { reason, show } from '../../core/show.js'
import { BAD_ROW_POLICIES, type BadRowPolicy } from '../data/bad-rows.js'
import type { TrainingSource } from '../data/sources.js'
import { LARGEST_SEED } from '../../core/random.js'

export const MINING_FORMATS = ['triplet', 'n-tuple', 'n-tuple-scores', 'labeled-pair', 'labeled-list'] as const
/**
 * The rows that mining returns.
 * - `triplet`: anchor, positive, negative: a row per negative.
 * - `n-tuple`: anchor, positive, negative_1 … negative_n; positives with fewer negatives are left out.
 * - `n-tuple-scores`: `n-tuple` with `outputScores`.
 * - `labeled-pair`: anchor, positive, label (1 or 0): a row per text.
 * - `labeled-list`: anchor, positive (a list of texts), labels (a list).
 */
export type MiningFormat = (typeof MINING_FORMATS)[number]

export const SAMPLING_STRATEGIES = ['top', 'random'] as const
/** The nearest candidates, or any of those that are left. */
export type SamplingStrategy = (typeof SAMPLING_STRATEGIES)[number]

/** How far mining is. */
export interface MiningProgress {
  phase: 'read' | 'encode' | 'compare'
  done: number
  /** Null while it is not known. */
  total: number | null
}

export interface MiningOptions {
  /** Texts from which negatives are taken, besides the positives: a list, or a source with `sentence` or `text`. */
  corpus?: readonly string[] | TrainingSource
  /** Nearest candidates that are passed over. Default 0. */
  rangeMin?: number
  /** Candidates that are looked at. Default rangeMin + numNegatives (ten times as many with a filter) + positives. */
  rangeMax?: number
  /** Candidates of a greater similarity are dropped. */
  maxScore?: number
  /** Candidates of a smaller similarity are dropped. */
  minScore?: number
  /** A candidate must be this much less similar than the query's least similar positive. */
  absoluteMargin?: number
  /** The same as a share of that positive's similarity: 0.05 keeps candidates below 95 % of it. */
  relativeMargin?: number
  /** Negatives per query. Default 3. */
  numNegatives?: number
  /** Default `'top'`. */
  samplingStrategy?: SamplingStrategy
  /** Positives count as candidates too, for rerank sets. Its format is `'n-tuple'`. Default false. */
  includePositives?: boolean
  /** Default `'triplet'`. */
  outputFormat?: MiningFormat
  /** Whether rows have the similarities: `scores`, or `score` in place of `label`. Default false. */
  outputScores?: boolean
  /** Default: the model's prompts `query` and `document`. */
  queryPrompt?: string
  queryPromptName?: string
  corpusPrompt?: string
  corpusPromptName?: string
  /** Of `samplingStrategy: 'random'`. Default 0. */
  seed?: number
  /** Default `'error'`. */
  onBadRow?: BadRowPolicy
  /** Ends the call with ERR_EMBEDCORE_ABORTED. */
  signal?: AbortSignal
  onProgress?: (progress: MiningProgress) => void
}

/** Checked where it is read; a list is copied here. */
const corpus: Rule<unknown> = {
  expected: 'texts',
  read: (value) => (Array.isArray(value) ? [...(value as unknown[])] : value),
}

const RULES = {
  corpus,
  rangeMin: integer(0),
  rangeMax: integer(1),
  maxScore: finiteNumber,
  minScore: finiteNumber,
  absoluteMargin: finiteNumber,
  relativeMargin: finiteNumber,
  numNegatives: integer(1),
  samplingStrategy: oneOf(...SAMPLING_STRATEGIES),
  includePositives: flag,
  outputFormat: oneOf(...MINING_FORMATS),
  outputScores: flag,
  queryPrompt: text,
  queryPromptName: filledText,
  corpusPrompt: text,
  corpusPromptName: filledText,
  seed: integer(0, LARGEST_SEED),
  onBadRow: oneOf(...BAD_ROW_POLICIES),
  signal: abortSignal,
  onProgress: callback<(progress: MiningProgress) => void>(),
}

/** Options of sentence-transformers that are not here, without case and underscores. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  crossencoder: 'cross-encoders are not supported; the similarity of the model decides',
  dataset: 'the data are the second argument',
  model: 'the model is the first argument',
  anchorcolumnname: "use columns of the data: { path, columns: { anchor: '…', positive: '…' } }",
  positivecolumnname: "use columns of the data: { path, columns: { anchor: '…', positive: '…' } }",
  batchsize: 'texts are batched by the engine',
  faissbatchsize: 'similarities are computed in blocks of bounded memory',
  usefaiss: 'similarities are computed exactly, in blocks of bounded memory',
  usemultiprocess: 'all cores that the process may use work already',
  verbose: 'the statistics are in the result',
  cachefolder: 'vectors are not kept',
  astriplets: 'use outputFormat',
  margin: 'use absoluteMargin or relativeMargin',
}

export interface ResolvedMining {
  numNegatives: number
  rangeMin: number
  /** Null = by the number of positives. */
  rangeMax: number | null
  filters: { absoluteMargin?: number; relativeMargin?: number; maxScore?: number; minScore?: number }
  samplingStrategy: SamplingStrategy
  includePositives: boolean
  outputFormat: Exclude<MiningFormat, 'n-tuple-scores'>
  outputScores: boolean
  query: { prompt?: string; promptName?: string }
  document: { prompt?: string; promptName?: string }
  corpus: unknown
  seed: number
  onBadRow: BadRowPolicy
  signal: AbortSignal | null
  onProgress: ((progress: MiningProgress) => void) | null
}

/** @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION */
export function resolveMining(options: unknown): ResolvedMining {
  refuseElsewhere(options)
  const given = checkOptions(options, RULES)
  const numNegatives = given.numNegatives ?? 3
  const rangeMin = given.rangeMin ?? 0
  if (given.rangeMax !== undefined && given.rangeMax - rangeMin < numNegatives)
    throw invalidOption(
      'rangeMax',
      `at least ${rangeMin + numNegatives} (rangeMin ${rangeMin} + numNegatives ${numNegatives})`,
      given.rangeMax,
    )
  const includePositives = given.includePositives ?? false
  const format = given.outputFormat ?? (includePositives ? 'n-tuple' : 'triplet')
  if (includePositives && format !== 'n-tuple' && format !== 'n-tuple-scores')
    throw invalidOption('outputFormat', "'n-tuple' beside includePositives (it keeps the order of the ranking)", format)
  if (format === 'n-tuple-scores' && given.outputScores === false)
    throw invalidOption('outputScores', "true beside outputFormat 'n-tuple-scores'", false)
  for (const side of ['query', 'corpus'] as const)
    if (given[`${side}Prompt`] !== undefined && given[`${side}PromptName`] !== undefined)
      throw invalidOption(`${side}PromptName`, `nothing beside ${side}Prompt`, given[`${side}PromptName`])
  const { absoluteMargin, relativeMargin, maxScore, minScore } = given
  return {
    numNegatives,
    rangeMin,
    rangeMax: given.rangeMax ?? null,
    filters: defined({ absoluteMargin, relativeMargin, maxScore, minScore }),
    samplingStrategy: given.samplingStrategy ?? 'top',
    includePositives,
    outputFormat: format === 'n-tuple-scores' ? 'n-tuple' : format,
    outputScores: format === 'n-tuple-scores' || (given.outputScores ?? false),
    query: defined({ prompt: given.queryPrompt, promptName: given.queryPromptName }),
    document: defined({ prompt: given.corpusPrompt, promptName: given.corpusPromptName }),
    corpus: given.corpus,
    seed: given.seed ?? 0,
    onBadRow: given.onBadRow ?? 'error',
    signal: given.signal ?? null,
    onProgress: given.onProgress ?? null,
  }
}

/** Tells the caller; what its function throws ends the call with a coded error. */
export function reportProgress({ onProgress }: ResolvedMining, progress: MiningProgress): void {
  try {
    onProgress?.(progress)
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `The call's onProgress threw: ${reason(error)}`, {
      cause: error,
    })
  }
}

function defined<T extends object>(options: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>
  }
}

function refuseElsewhere(options: unknown): void {
  if (typeof options !== 'object' || options === null) return
  let names: string[]
  try {
    names = Object.keys(options)
  } catch {
    return // checkOptions says it
  }
  for (const name of names) {
    const plain = name.toLowerCase().replace(/[_-]/g, '')
    if (!Object.hasOwn(RULES, name) && Object.hasOwn(ELSEWHERE, plain))
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_UNKNOWN_OPTION',
        `Expected a known option but received ${show(name)}; ${ELSEWHERE[plain]}`,
      )
  }
}

/** The candidates looked at per query, as in sentence-transformers. */
export function rangeMaxOf(
  { rangeMax, rangeMin, numNegatives, filters }: ResolvedMining,
  maxPositives: number,
): number {
  if (rangeMax !== null) return rangeMax
  const { absoluteMargin, relativeMargin, maxScore } = filters
  const filtered = absoluteMargin !== undefined || relativeMargin !== undefined || maxScore !== undefined
  return rangeMin + numNegatives * (filtered ? 10 : 1) + maxPositives
}
