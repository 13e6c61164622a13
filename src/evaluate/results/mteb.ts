/** Results as the files of MTEB have them. */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { EmbedCoreError } from '../../core/errors.js'
import { checkOptions, filledText, invalidOption, listOf } from '../../core/options.js'
import { reason } from '../../core/show.js'
import { packageVersion } from '../../core/version.js'
import { writeTexts } from '../../data/output-file.js'
import type { RunEvaluation } from '../run-types.js'
import type { Evaluation } from '../types.js'

/** Options of mtebResult. */
export interface MtebOptions {
  /** The name of the task. Default: the `name` of the evaluator, else its task. */
  taskName?: string
  /** Default `'test'`. */
  split?: string
  /** Default `'default'`. */
  subset?: string
  /** As MTEB names them, such as `'eng-Latn'`. Default: none. */
  languages?: readonly string[]
  /** Default `'unknown'`. */
  datasetRevision?: string
}

/** One set of scores. */
export interface MtebScores {
  readonly hf_subset: string
  readonly languages: readonly string[]
  readonly main_score: number
  readonly [metric: string]: number | string | readonly string[]
}

/** The content of a result file of MTEB. */
export interface MtebResult {
  readonly dataset_revision: string
  readonly task_name: string
  readonly mteb_version: string
  readonly evaluation_time: number
  readonly kg_co2_emissions: null
  readonly scores: Readonly<Record<string, readonly MtebScores[]>>
}

/** `cosine_ndcg@10` and `P_10` are `cosine_ndcg_at_10` and `precision_at_10` there. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^ndcg_cut_(\d+)$/, 'ndcg_at_$1'],
  [/^map_cut_(\d+)$/, 'map_at_$1'],
  [/^recall_(\d+)$/, 'recall_at_$1'],
  [/^P_(\d+)$/, 'precision_at_$1'],
  [/@(\d+)$/, '_at_$1'],
  [/^(spearman|pearson)_(cosine|dot|euclidean|manhattan)$/, '$2_$1'],
]
const renamed = (name: string): string => NAMES.reduce((text, [from, to]) => text.replace(from, to), name)

const RULES = {
  taskName: filledText,
  split: filledText,
  subset: filledText,
  languages: listOf(filledText),
  datasetRevision: filledText,
}

/**
 * The result in the form of MTEB. Metrics lose the name of the evaluator and have the names of MTEB where it has them.
 * `mteb_version` says that it was not MTEB that measured.
 * @example
 * const json = JSON.stringify(mtebResult(await evaluate(model, task), { taskName: 'STSBenchmark' }))
 */
export function mtebResult(result: Evaluation | RunEvaluation, options?: MtebOptions): MtebResult {
  const given = checkOptions(options, RULES)
  const prefix = result.name === '' ? '' : `${result.name}_`
  const metrics = Object.fromEntries(
    Object.entries(result.metrics)
      .filter(([, value]) => Number.isFinite(value))
      .map(([name, value]) => [renamed(name.startsWith(prefix) ? name.slice(prefix.length) : name), value]),
  )
  return {
    dataset_revision: given.datasetRevision ?? 'unknown',
    task_name: given.taskName ?? (result.name === '' ? result.task : result.name),
    mteb_version: `embedcore ${packageVersion()}`,
    evaluation_time: result.seconds,
    kg_co2_emissions: null,
    scores: {
      [given.split ?? 'test']: [
        {
          ...metrics,
          main_score: result.score,
          hf_subset: given.subset ?? 'default',
          languages: given.languages ?? [],
        },
      ],
    },
  }
}

/**
 * Writes DIR/<model>/<revision>/<task>.json, the layout of MTEB's results; a slash in the model's name becomes `__`.
 * Returns the path.
 * @throws ERR_EMBEDCORE_WRITE_FAILED; _INVALID_OPTION.
 */
export async function writeMtebResult(
  directory: string,
  model: { name: string; revision?: string | undefined },
  result: Evaluation | RunEvaluation,
  options?: MtebOptions,
): Promise<string> {
  if (typeof directory !== 'string' || directory === '')
    throw invalidOption('directory', 'the path of a directory', directory)
  const content = mtebResult(result, options)
  const folder = path.join(directory, fileName(model.name), fileName(model.revision ?? 'no_revision'))
  const file = path.join(folder, `${fileName(content.task_name)}.json`)
  try {
    await mkdir(folder, { recursive: true })
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_WRITE_FAILED', `Cannot write ${file}: ${reason(error)}`, { cause: error })
  }
  await writeTexts(file, [JSON.stringify(content, null, 2) + '\n'])
  return file
}

/** One name of a file, whatever the text is. */
const fileName = (text: string): string =>
  text
    .replace(/^[./\\]+/, '')
    .replace(/[/\\]+/g, '__')
    .replace(/[^\p{L}\p{N}._-]/gu, '_') || 'unnamed'
