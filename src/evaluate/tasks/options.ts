/** Checks the evaluators of groups, classes and neighbours, and fills in their defaults. */
import type { SimilarityName } from '../../core/names.js'
import { SIMILARITIES } from '../../core/names.js'
import {
  checkOptions,
  either,
  filledText,
  flag,
  integer,
  invalidOption,
  listOf,
  oneOf,
  only,
  positiveNumber,
  text,
} from '../../core/options.js'
import {
  CHOICE,
  COMMON,
  commonOf,
  type Checked,
  refuseViews,
  type Similarities,
  similaritiesOf,
  SOURCE,
  TABLE,
  type Table,
  tableOf,
} from '../evaluator-rules.js'
import { tableRule } from '../source-rules.js'
import { seedRule } from '../statistics/resampling.js'

export interface CheckedPairs extends Checked<'pair-classification'>, Table {
  similarities: Similarities
}
export interface CheckedReranking extends Checked<'reranking'>, Table {
  atK: number
  similarity: SimilarityName | null
}
export interface CheckedClustering extends Checked<'clustering'>, Table {
  experiments: number
  textsPerExperiment: number
  clusterBatchSize: number
  seed: number
}
export interface CheckedClassification extends Checked<'classification'>, Table {
  train: Table
  samplesPerLabel: number | 'all'
  experiments: number
  C: number
  seed: number
}
export interface CheckedZeroShot extends Checked<'zero-shot'>, Table {
  labels: ReadonlyMap<string, readonly string[]> | null
  template: string
  similarity: SimilarityName | null
}
export interface CheckedTokens extends Checked<'token-classification'>, Table {
  train: Table
  C: number
}
export interface CheckedGeometry extends Checked<'geometry'>, Table {
  pairs: boolean
  samples: number
  seed: number
}
export interface CheckedMatrix extends Checked<'bitext-matrix'>, Table {
  languages: readonly string[]
}
export type CheckedTask =
  | CheckedPairs
  | CheckedReranking
  | CheckedClustering
  | CheckedClassification
  | CheckedZeroShot
  | CheckedTokens
  | CheckedGeometry
  | CheckedMatrix

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)
const SIMILARITY = { mainSimilarity: oneOf(...SIMILARITIES) }

/** The options of each evaluator. */
export const TASK_RULES = {
  'pair-classification': { ...COMMON, ...CHOICE, ...TABLE },
  reranking: { ...COMMON, ...SIMILARITY, ...TABLE, atK: integer(1) },
  clustering: {
    ...COMMON,
    ...TABLE,
    experiments: integer(1),
    textsPerExperiment: integer(1),
    clusterBatchSize: integer(1),
    seed: seedRule,
  },
  classification: {
    ...COMMON,
    ...TABLE,
    train: tableRule,
    samplesPerLabel: either(integer(1), oneOf('all')),
    experiments: integer(1),
    C: positiveNumber,
    seed: seedRule,
  },
  'zero-shot': {
    ...COMMON,
    ...SIMILARITY,
    ...TABLE,
    labels: only<object>('an object with the name of each label, or a list of names', isObject),
    template: text,
  },
  'token-classification': { ...COMMON, ...TABLE, train: tableRule, C: positiveNumber },
  geometry: { ...COMMON, ...TABLE, pairs: flag, samples: integer(1), seed: seedRule },
  'bitext-matrix': { ...COMMON, ...SOURCE, languages: listOf(filledText) },
}

/** Checks an evaluator of one of these tasks. */
export function checkTask(task: CheckedTask['task'], given: unknown): CheckedTask {
  switch (task) {
    case 'pair-classification': {
      const options = checkOptions(given, TASK_RULES[task])
      return { task, ...tableOf(options, 3), ...commonOf(options), similarities: similaritiesOf(options) }
    }
    case 'reranking': {
      const options = checkOptions(given, TASK_RULES[task])
      const similarity = options.mainSimilarity ?? null
      return { task, ...tableOf(options, 3), ...commonOf(options), atK: options.atK ?? 10, similarity }
    }
    case 'clustering':
      return checkClustering(given)
    case 'classification':
      return checkClassification(given)
    case 'zero-shot':
      return checkZeroShot(given)
    case 'token-classification': {
      const options = checkOptions(given, TASK_RULES[task])
      refuseViews(task, options.views)
      const table = tableOf(options, 2)
      return { task, ...table, ...commonOf(options), train: trainOf(options.train, table), C: options.C ?? 1 }
    }
    case 'geometry': {
      const options = checkOptions(given, TASK_RULES[task])
      refuseViews(task, options.views)
      const { pairs = false, samples = 1_000_000, seed = 42 } = options
      return { task, ...tableOf(options, pairs ? 2 : 1), ...commonOf(options), pairs, samples, seed }
    }
    case 'bitext-matrix': {
      const options = checkOptions(given, TASK_RULES[task])
      refuseViews(task, options.views)
      const languages = [...new Set(options.languages ?? [])]
      if (languages.length < 2) throw invalidOption('languages', 'two columns or more', options.languages)
      return { task, ...tableOf(options, languages.length), ...commonOf(options), languages }
    }
  }
}

function checkClustering(given: unknown): CheckedClustering {
  const options = checkOptions(given, TASK_RULES.clustering)
  refuseViews('clustering', options.views)
  return {
    task: 'clustering',
    ...tableOf(options, 2),
    ...commonOf(options),
    experiments: options.experiments ?? 1,
    textsPerExperiment: options.textsPerExperiment ?? 2048,
    clusterBatchSize: options.clusterBatchSize ?? 500,
    seed: options.seed ?? 42,
  }
}

function checkClassification(given: unknown): CheckedClassification {
  const options = checkOptions(given, TASK_RULES.classification)
  const table = tableOf(options, 2)
  const samplesPerLabel = options.samplesPerLabel ?? 8
  if (samplesPerLabel === 'all' && options.experiments !== undefined && options.experiments !== 1)
    throw invalidOption('experiments', "1 or nothing beside samplesPerLabel: 'all'", options.experiments)
  return {
    task: 'classification',
    ...table,
    ...commonOf(options),
    train: trainOf(options.train, table),
    samplesPerLabel,
    experiments: samplesPerLabel === 'all' ? 1 : (options.experiments ?? 10),
    C: options.C ?? 1,
    seed: options.seed ?? 42,
  }
}

/** The examples: those that were given, or the split `train` of the same directory. */
function trainOf(given: Table['data'] | undefined, table: Table): Table {
  const views = { columns: [], length: false, popularity: false }
  if (given !== undefined) return { ...table, data: given, split: 'train', views }
  if (typeof table.data === 'string' && !/\.[a-z]+$/i.test(table.data)) return { ...table, split: 'train', views }
  throw invalidOption('train', 'the examples to learn from, where data is not a directory,', given)
}

function checkZeroShot(given: unknown): CheckedZeroShot {
  const options = checkOptions(given, TASK_RULES['zero-shot'])
  const { template = '{}', labels } = options
  if (!template.includes('{}')) throw invalidOption('template', 'a text with {} in the place of the name', template)
  return {
    task: 'zero-shot',
    ...tableOf(options, 2),
    ...commonOf(options),
    labels: labels === undefined ? null : namesOf(labels),
    template,
    similarity: options.mainSimilarity ?? null,
  }
}

function namesOf(labels: object): ReadonlyMap<string, readonly string[]> {
  const entries = Object.entries(labels as Record<string, unknown>).map(([label, given]) => {
    const names: unknown[] = Array.isArray(given) ? given : [given]
    if (names.length === 0 || !names.every((name) => typeof name === 'string' && name !== ''))
      throw invalidOption(`labels[${JSON.stringify(label)}]`, 'a name, or a list of names', given)
    return [label, names as string[]] as const
  })
  if (entries.length < 2) throw invalidOption('labels', 'the names of two labels or more', labels)
  return new Map(entries)
}
