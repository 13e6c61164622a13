/** Which data a loss can use, and the loss of data without one. */
import { EmbedCoreError } from '../core/errors.js'
import { invalidOption } from '../core/options.js'
import type { OpenSource } from './data/open.js'
import type { DataKind } from './data/rows.js'
import { type CheckedLoss, checkLosses } from './losses.js'
import type { LossName } from './loss-types.js'
import type { SamplerName } from './samplers/options.js'

const RANKING: readonly DataKind[] = ['texts', 'pairs', 'triplets', 'flag-embedding']
const LABELLED: readonly DataKind[] = ['labelled-texts', 'pairs']
const SCORED: readonly DataKind[] = ['scored-pairs']
const TEACHER_SCORES: readonly DataKind[] = ['scored-triplets', 'flag-embedding']
const TEACHER: readonly DataKind[] = ['texts', 'labelled-texts', 'pairs', 'triplets', 'flag-embedding']

const KINDS: Readonly<Record<LossName, readonly DataKind[]>> = {
  MultipleNegativesRankingLoss: RANKING,
  GISTEmbedLoss: ['pairs', 'triplets', 'flag-embedding'],
  BatchHardTripletLoss: LABELLED,
  BatchSemiHardTripletLoss: LABELLED,
  BatchAllTripletLoss: LABELLED,
  BatchHardSoftMarginTripletLoss: LABELLED,
  TripletLoss: ['triplets'],
  CosineSimilarityLoss: SCORED,
  CoSENTLoss: SCORED,
  AnglELoss: ['scored-pairs', 'triplets'],
  ContrastiveLoss: SCORED,
  OnlineContrastiveLoss: SCORED,
  MarginMSELoss: TEACHER_SCORES,
  DistillKLDivLoss: TEACHER_SCORES,
  EmbedDistillLoss: ['text-vectors'],
  MSELoss: ['text-vectors'],
}

const DEFAULTS: Readonly<Partial<Record<DataKind, LossName>>> = {
  texts: 'MultipleNegativesRankingLoss',
  pairs: 'MultipleNegativesRankingLoss',
  triplets: 'MultipleNegativesRankingLoss',
  'flag-embedding': 'MultipleNegativesRankingLoss',
  'scored-pairs': 'CoSENTLoss',
  'labelled-texts': 'BatchSemiHardTripletLoss',
  'scored-triplets': 'MarginMSELoss',
  'text-vectors': 'MSELoss',
}

/** The loss of data without one: InfoNCE for texts that belong together, CoSENT for scores, triplets for labels. */
export function defaultLosses(sources: readonly OpenSource[], matryoshka: unknown): CheckedLoss[] {
  const names = new Set(sources.map(({ format }) => DEFAULTS[format.kind]!))
  if (names.size === 1) return checkLosses([...names][0], matryoshka)
  const kinds = sources.map(({ format }) => format.kind).join(', ')
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected the option loss for sources of different kinds (${kinds}), or ` +
      'sources of one kind: a run has the same losses for all of them',
  )
}

/** @throws ERR_EMBEDCORE_INVALID_OPTION naming the loss, the source and what it lacks. */
export function checkLossData(losses: readonly CheckedLoss[], sources: readonly OpenSource[]): void {
  for (const loss of losses)
    for (const source of sources) {
      const wrong = mismatch(loss, source)
      if (wrong !== null)
        throw new EmbedCoreError(
          'ERR_EMBEDCORE_INVALID_OPTION',
          `Expected ${wrong} for the loss ${loss.type} but ${source.name} has ${source.format.kind} ` +
            `(${source.format.columns.join(', ')})`,
        )
    }
}

function mismatch({ type, raw, teacher }: CheckedLoss, { format, rows, stream }: OpenSource): string | null {
  const { kind, columns } = format
  const kinds = teacher === null ? KINDS[type] : TEACHER
  if (!kinds.includes(kind)) {
    const all = kinds.join(' or ')
    return type === 'EmbedDistillLoss' || type === 'MSELoss' ? `${all} (or a teacher model)` : all
  }
  if (type === 'TripletLoss' && columns.length !== 3) return 'one negative a row'
  const scores = (rows ?? stream)!.scoresPerRow
  if (type === 'DistillKLDivLoss' && scores !== columns.length - 1) return 'a score for each text after the anchor'
  if (type === 'MarginMSELoss') {
    if (columns.length < 3) return 'at least one negative a row'
    if (scores !== columns.length - 1 && scores !== columns.length - 2)
      return 'a margin for each negative, or a score for each text after the anchor,'
  }
  if (raw.parameters.kind === 'MultipleNegativesRankingLoss' && raw.parameters.maskLabels && !hasLabels(format))
    return 'rows with a label or a group (maskLabels)'
  return null
}

function hasLabels({ extras, target }: OpenSource['format']): boolean {
  return extras.group !== undefined || target?.as === 'class'
}

const IN_BATCH: readonly LossName[] = ['MultipleNegativesRankingLoss', 'GISTEmbedLoss']
export const isBatchTriplet = (type: LossName): boolean => type.startsWith('Batch')

/** The order of rows that suits a loss: no text twice among in-batch negatives, labels twice among mined triplets. */
export function defaultSampler(losses: readonly CheckedLoss[], sources: readonly OpenSource[]): SamplerName {
  if (
    losses.some(({ type }) => isBatchTriplet(type)) &&
    sources.every(({ format, rows }) => rows !== null && hasLabels(format))
  )
    return 'group-by-label'
  return losses.some(({ type }) => IN_BATCH.includes(type)) ? 'no-duplicates' : 'random'
}

/** A batch of one row has no negatives but its own. */
export function checkBatchSize(losses: readonly CheckedLoss[], sources: readonly OpenSource[], size: number): void {
  const alone = losses.find(({ type }) => IN_BATCH.includes(type) || isBatchTriplet(type))
  if (size > 1 || alone === undefined || sources.every(({ format }) => format.columns.length > 2)) return
  throw invalidOption(
    'batchSize',
    `at least 2 for ${alone.type}, whose negatives are the other rows of the batch,`,
    size,
  )
}
