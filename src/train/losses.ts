/**
 * Losses as callers name them, and what the trainer takes. Names, parameters and defaults are those of
 * sentence-transformers in camel case; the formulas are in native/train/loss.h.
 */
import { EmbedCoreError } from '../core/errors.js'
import {
  type Checked,
  checkOptions,
  either,
  filledText,
  finiteNumber,
  flag,
  integer,
  invalidOption,
  listOf,
  oneOf,
  only,
  positiveNumber,
  type Rule,
} from '../core/options.js'
import { nearest, show } from '../core/show.js'
import type { RawLoss, RawLossKind } from '../core/training-binding.js'
import { DIRECTIONS, type LossName, LOSSES, type LossOptions, type MatryoshkaOptions } from './loss-types.js'

/** A loss, checked. */
export interface CheckedLoss {
  type: LossName
  raw: RawLoss
  /** The model whose embeddings mask false negatives, or are the target. */
  guide: string | null
  teacher: string | null
}

const COMMON = {
  type: oneOf(...LOSSES),
  weight: only<number>('a finite number', Number.isFinite),
  name: filledText,
  matryoshka: { expected: 'dimensions, or { dims }', read: (value: unknown) => value } as Rule<unknown>,
}
const pairDistance = oneOf('cosine', 'euclidean', 'manhattan')
const pairSimilarity = oneOf('dot', 'cosine')
const marginStrategy = oneOf('absolute', 'relative')
const notNegative = only<number>('a number from 0', (value) => Number.isFinite(value) && (value as number) >= 0)

const RANKING = {
  scale: positiveNumber,
  learnedScale: flag,
  similarity: pairSimilarity,
  directions: listOf(oneOf(...DIRECTIONS)),
  partitionMode: oneOf('joint', 'per_direction'),
  hardnessMode: oneOf('in_batch_negatives', 'hard_negatives', 'all_negatives'),
  hardnessStrength: notNegative,
  maskTexts: flag,
  maskLabels: flag,
  falseNegativeMargin: finiteNumber,
  marginStrategy,
}
const BATCH_TRIPLET = { distance: oneOf('euclidean', 'cosine'), margin: notNegative }
const EMBED_DISTILL = { distance: oneOf('mse', 'l2', 'cosine'), teacher: filledText }

const RULES = {
  MultipleNegativesRankingLoss: RANKING,
  GISTEmbedLoss: {
    guide: filledText,
    temperature: positiveNumber,
    margin: finiteNumber,
    marginStrategy,
    contrastAnchors: flag,
    contrastPositives: flag,
  },
  BatchHardTripletLoss: BATCH_TRIPLET,
  BatchSemiHardTripletLoss: BATCH_TRIPLET,
  BatchAllTripletLoss: BATCH_TRIPLET,
  BatchHardSoftMarginTripletLoss: { distance: BATCH_TRIPLET.distance },
  TripletLoss: { distance: pairDistance, margin: notNegative },
  CosineSimilarityLoss: {},
  CoSENTLoss: { scale: positiveNumber, similarity: pairSimilarity },
  AnglELoss: { scale: positiveNumber },
  ContrastiveLoss: { distance: pairDistance, margin: notNegative, sizeAverage: flag },
  OnlineContrastiveLoss: { distance: pairDistance, margin: notNegative },
  MarginMSELoss: { similarity: pairSimilarity },
  DistillKLDivLoss: {
    similarity: pairSimilarity,
    temperature: positiveNumber,
    studentTemperature: positiveNumber,
    teacherTemperature: positiveNumber,
  },
  EmbedDistillLoss: EMBED_DISTILL,
  MSELoss: { teacher: filledText },
} satisfies Record<LossName, Record<string, Rule<unknown>>>

/** Names of sentence-transformers that are another loss here, or none. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  InfoNCE: "use 'MultipleNegativesRankingLoss'",
  MultipleNegativesSymmetricRankingLoss:
    "use { type: 'MultipleNegativesRankingLoss', directions: ['query_to_doc', 'doc_to_query'], " +
    "partitionMode: 'per_direction' }",
  CachedMultipleNegativesRankingLoss: "use 'MultipleNegativesRankingLoss' with gradientCache: true",
  CachedMultipleNegativesSymmetricRankingLoss: "use 'MultipleNegativesRankingLoss' with gradientCache: true",
  CachedGISTEmbedLoss: "use 'GISTEmbedLoss' with gradientCache: true",
  MatryoshkaLoss: 'use the option matryoshka of a loss, or of the call',
}

/** @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION */
export function checkLosses(given: unknown, matryoshka: unknown): CheckedLoss[] {
  const list: readonly unknown[] = Array.isArray(given) ? given : [given]
  if (list.length === 0) throw invalidOption('loss', 'a loss, or a list of them', given)
  const losses = list.map((one) => checkLoss(one, matryoshka))
  for (const field of ['guide', 'teacher'] as const) {
    const models = [...new Set(losses.map((loss) => loss[field]).filter((model) => model !== null))]
    if (models.length > 1) throw invalidOption(field, `one model for all losses (${show(models[0])})`, models[1])
  }
  const names = losses.map(({ raw }) => raw.name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw invalidOption('loss', 'a name of its own for each of several equal losses', twice)
  return losses
}

function checkLoss(given: unknown, matryoshka: unknown): CheckedLoss {
  const type = typeof given === 'string' ? given : (given as { type?: unknown } | null)?.type
  if (typeof type !== 'string') throw invalidOption('loss', `the name of a loss, or an object with its type,`, given)
  if (!(LOSSES as readonly string[]).includes(type)) throw unknownLoss(type)
  const name = type as LossName
  const options = checkOptions(typeof given === 'string' ? {} : given, { ...COMMON, ...RULES[name] })
  return {
    type: name,
    guide: ((options as { guide?: string }).guide ?? null) as string | null,
    teacher: ((options as { teacher?: string }).teacher ?? null) as string | null,
    raw: {
      parameters: parametersOf(name, options as Record<string, unknown>),
      name: options.name ?? name,
      weight: options.weight ?? 1,
      ...matryoshkaOf(options.matryoshka ?? matryoshka),
    },
  }
}

function unknownLoss(type: string): EmbedCoreError {
  const here = Object.hasOwn(ELSEWHERE, type) ? ELSEWHERE[type]! : null
  const whole = `${type}Loss`.toLowerCase()
  const near = LOSSES.find((name) => name.toLowerCase() === whole) ?? nearest(type, LOSSES)
  return new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected the name of a loss but received ${show(type)}; ` +
      (here ?? (near === null ? `known are ${LOSSES.join(', ')}` : `did you mean '${near}'?`)),
  )
}

const MATRYOSHKA_RULES = {
  dims: listOf(integer(1)),
  weights: listOf(finiteNumber),
  nDimsPerStep: integer(1),
}

function matryoshkaOf(given: unknown): Pick<RawLoss, 'dims' | 'dimWeights' | 'dimsPerStep'> {
  if (given === undefined) return { dims: [], dimWeights: [], dimsPerStep: -1 }
  const options: Checked<typeof MATRYOSHKA_RULES> = checkOptions(
    Array.isArray(given) ? { dims: given } : given,
    MATRYOSHKA_RULES,
  )
  const { dims, weights = [], nDimsPerStep = -1 } = options
  if (dims === undefined || new Set(dims).size < dims.length)
    throw invalidOption('matryoshka', 'a list of different dimensions', dims ?? given)
  if (weights.length > 0 && weights.length !== dims.length)
    throw invalidOption('weights', `a list of ${dims.length}, one for each dimension,`, weights)
  if (nDimsPerStep > dims.length) throw invalidOption('nDimsPerStep', `at most ${dims.length}`, nDimsPerStep)
  return { dims, dimWeights: weights, dimsPerStep: nDimsPerStep }
}

/** The defaults are sentence-transformers'. */
function parametersOf(type: LossName, options: Record<string, unknown>): RawLossKind {
  const is = <T>(name: string, otherwise: T): T => (options[name] as T | undefined) ?? otherwise
  const margin = (value: number) => ({ value, relative: is<string>('marginStrategy', 'absolute') === 'relative' })
  switch (type) {
    case 'MultipleNegativesRankingLoss': {
      const directions = is<readonly string[]>('directions', ['query_to_doc'])
      const perDirection = is<string>('partitionMode', 'joint') === 'per_direction'
      if (!directions.includes('query_to_doc') || new Set(directions).size < directions.length)
        throw invalidOption('directions', "a list of different directions with 'query_to_doc'", directions)
      if (perDirection && directions.some((one) => one === 'query_to_query' || one === 'doc_to_doc'))
        throw invalidOption('partitionMode', "'joint' beside query_to_query or doc_to_doc", 'per_direction')
      const limit = options['falseNegativeMargin'] as number | undefined
      if (limit === undefined && options['marginStrategy'] !== undefined)
        throw invalidOption('marginStrategy', 'nothing without falseNegativeMargin', options['marginStrategy'])
      return {
        kind: 'MultipleNegativesRankingLoss',
        scale: is('scale', 20),
        learnedScale: is('learnedScale', false),
        cosine: is<string>('similarity', 'cosine') === 'cosine',
        queryToQuery: directions.includes('query_to_query'),
        docToQuery: directions.includes('doc_to_query'),
        docToDoc: directions.includes('doc_to_doc'),
        perDirection,
        hardnessMode: is('hardnessMode', 'none'),
        hardnessStrength: is('hardnessStrength', 0),
        maskTexts: is('maskTexts', false),
        maskLabels: is('maskLabels', false),
        falseNegatives: limit === undefined ? null : margin(limit),
      }
    }
    case 'GISTEmbedLoss':
      if (options['guide'] === undefined)
        throw invalidOption('guide', 'the directory or hub id of the model that finds false negatives', undefined)
      return {
        kind: 'GISTEmbedLoss',
        temperature: is('temperature', 0.01),
        margin: margin(is('margin', 0)),
        contrastAnchors: is('contrastAnchors', true),
        contrastPositives: is('contrastPositives', true),
      }
    case 'BatchHardTripletLoss':
    case 'BatchSemiHardTripletLoss':
    case 'BatchAllTripletLoss':
    case 'BatchHardSoftMarginTripletLoss':
      return {
        kind: 'BatchTripletLoss',
        mining: type === 'BatchAllTripletLoss' ? 'all' : type === 'BatchSemiHardTripletLoss' ? 'semi-hard' : 'hard',
        distance: is('distance', 'euclidean'),
        margin: is('margin', 5),
        softMargin: type === 'BatchHardSoftMarginTripletLoss',
      }
    case 'TripletLoss':
      return { kind: type, distance: is('distance', 'euclidean'), margin: is('margin', 5) }
    case 'CosineSimilarityLoss':
      return { kind: type }
    case 'CoSENTLoss':
      return { kind: type, scale: is('scale', 20), similarity: is('similarity', 'cosine') }
    case 'AnglELoss':
      return { kind: type, scale: is('scale', 20) }
    case 'ContrastiveLoss':
      return {
        kind: type,
        distance: is('distance', 'cosine'),
        margin: is('margin', 0.5),
        sizeAverage: is('sizeAverage', true),
      }
    case 'OnlineContrastiveLoss':
      return { kind: type, distance: is('distance', 'cosine'), margin: is('margin', 0.5) }
    case 'MarginMSELoss':
      return { kind: type, similarity: is('similarity', 'dot') }
    case 'DistillKLDivLoss': {
      const temperature = is('temperature', 1)
      return {
        kind: type,
        similarity: is('similarity', 'dot'),
        studentTemperature: is('studentTemperature', temperature),
        teacherTemperature: is('teacherTemperature', temperature),
      }
    }
    case 'EmbedDistillLoss':
      return { kind: type, distance: is('distance', 'cosine') }
    case 'MSELoss':
      return { kind: 'EmbedDistillLoss', distance: 'mse' }
  }
}

/** What the option `loss` may be, for `checkOptions`; the rest is checked by `checkLosses`. */
export const lossRule: Rule<unknown> = either(
  only<string>('the name of a loss', (value) => typeof value === 'string'),
  only<LossOptions | readonly LossOptions[]>(
    'an object with its type, or a list of these',
    (value) => typeof value === 'object' && value !== null,
  ),
)
export type { MatryoshkaOptions }
