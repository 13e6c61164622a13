/** From a batch of training data to the arrays of a native step. */
import type { RawStep } from '../core/training-binding.js'
import type { TokenizedBatch } from '../model/tokenizer-packing.js'
import type { TrainingBatch } from './data/loader.js'
import type { CheckedLoss } from './losses.js'

/** What a step needs besides the texts. */
export interface StepNeeds {
  textIds: boolean
  /** Whether the labels of the batch are classes for losses. */
  groups: boolean
  /** Whether one text a row is used twice (unsupervised SimCSE: only dropout makes them differ). */
  twice: boolean
  /** Whether the numbers of the batch are vectors of a teacher, and not scores. */
  vectors: boolean
  skipPrompt: boolean
}

export function stepNeeds(losses: readonly CheckedLoss[], skipPrompt: boolean, batch: TrainingBatch): StepNeeds {
  const kinds = losses.map(({ raw }) => raw.parameters)
  const inBatch = kinds.some(({ kind }) => kind === 'MultipleNegativesRankingLoss' || kind === 'GISTEmbedLoss')
  return {
    textIds: kinds.some((one) => one.kind === 'MultipleNegativesRankingLoss' && one.maskTexts),
    groups: kinds.some(
      (one) => one.kind === 'BatchTripletLoss' || (one.kind === 'MultipleNegativesRankingLoss' && one.maskLabels),
    ),
    twice: inBatch && batch.columns.length === 1,
    vectors: batch.kind === 'text-vectors',
    skipPrompt,
  }
}

/** Embeddings of other models for the texts of a batch. */
export interface StepVectors {
  /** [columns, rows, width] */
  guide: Float32Array | null
  guideWidth: number
  /** [rows, 1, width] */
  teacher: Float32Array | null
  teacherWidth: number
}

export const NO_VECTORS: StepVectors = { guide: null, guideWidth: 0, teacher: null, teacherWidth: 0 }

/** `draw`: batches of the run before this one. */
export function stepInput(batch: TrainingBatch, needs: StepNeeds, vectors: StepVectors, draw: number): RawStep {
  const own = batch.columns.map(({ tokens }) => tokens)
  const columns = needs.twice ? [...own, ...own] : own
  const rows = batch.rows.length
  const { ids, offsets, promptTokens } = joinColumns(columns)
  const scores = batch.scores
  return {
    columns: columns.length,
    rows,
    ids,
    offsets,
    skip: needs.skipPrompt && promptTokens.some((count) => count > 0) ? promptTokens : null,
    prefix: null,
    labels: needs.vectors ? null : scores,
    labelWidth: needs.vectors || scores === null ? 1 : batch.scoresPerRow,
    textIds: needs.textIds ? textIds(ids, offsets) : null,
    groups: needs.groups ? batch.labels : null,
    guide: vectors.guide,
    guideWidth: vectors.guideWidth,
    teacher: needs.vectors ? scores : vectors.teacher,
    teacherColumns: 1,
    teacherWidth: needs.vectors ? batch.scoresPerRow : vectors.teacherWidth,
    draw,
  }
}

function joinColumns(columns: readonly TokenizedBatch[]): Pick<TokenizedBatch, 'ids' | 'offsets' | 'promptTokens'> {
  const texts = columns.reduce((sum, { promptTokens }) => sum + promptTokens.length, 0)
  const ids = new Int32Array(columns.reduce((sum, column) => sum + column.ids.length, 0))
  const offsets = new Int32Array(texts + 1)
  const promptTokens = new Int32Array(texts)
  let [text, token] = [0, 0]
  for (const column of columns) {
    ids.set(column.ids, token)
    promptTokens.set(column.promptTokens, text)
    for (let i = 1; i < column.offsets.length; i++) offsets[text + i] = token + column.offsets[i]!
    text += column.promptTokens.length
    token += column.ids.length
  }
  return { ids, offsets, promptTokens }
}

/** Equal numbers for equal sequences of tokens. */
function textIds(ids: Int32Array, offsets: Int32Array): Int32Array {
  const bytes = Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength)
  const numbers = new Map<string, number>()
  return Int32Array.from({ length: offsets.length - 1 }, (_, i) => {
    const key = bytes.toString('latin1', 4 * offsets[i]!, 4 * offsets[i + 1]!)
    const known = numbers.get(key)
    if (known !== undefined) return known
    numbers.set(key, numbers.size)
    return numbers.size - 1
  })
}
