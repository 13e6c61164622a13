/** Baselines: a result in a file, which later ones are held against, so that a build fails when quality falls. */
import { readFile } from 'node:fs/promises'
import { EmbedCoreError, withOwnStack } from '../../core/errors.js'
import { abortSignal, checkOptions, invalidOption, only } from '../../core/options.js'
import { reason, show } from '../../core/show.js'
import { invalidData, unreadable } from '../../data/data-file.js'
import { writeTexts } from '../../data/output-file.js'
import { Slices } from '../slices.js'
import { compareItems } from '../statistics/compare.js'
import { RESAMPLING_RULES, withDefaults } from '../statistics/resampling.js'
import type { Comparison, ItemScores, ResamplingOptions } from '../statistics/types.js'
import type { RunEvaluation } from '../run-types.js'
import type { Evaluation } from '../types.js'

const FORMAT = 'embedcore-baseline'

/** A result of evaluate or evaluateRun, with the name of the model or system. */
export interface JudgedResult {
  readonly model?: string
  readonly result: Evaluation | RunEvaluation
}

/** What a baseline file keeps. */
export interface Baseline {
  readonly format: typeof FORMAT
  readonly model: string
  readonly task: string
  readonly primaryMetric: string
  readonly score: number
  readonly metrics: Readonly<Record<string, number>>
  readonly items?: ItemScores
}

/** Options of checkBaseline. */
export interface BaselineOptions extends ResamplingOptions {
  /** By how much the score may fall. Without it, and without `significance`, only chance is tested, at 0.05. */
  maxDrop?: number
  /** A fall whose probability by chance is less than this fails; needs items on both sides. */
  significance?: number
  signal?: AbortSignal
}

/** What came of the check. */
export interface BaselineCheck {
  readonly failed: boolean
  /** A sentence with the numbers. */
  readonly reason: string
  readonly baseline: number
  readonly score: number
  /** Where both sides have items. */
  readonly comparison?: Comparison
}

/**
 * Writes a result as a baseline: a JSON file, with the score of each item where the result has them.
 * @throws ERR_EMBEDCORE_INVALID_OPTION; _WRITE_FAILED.
 */
export async function writeBaseline(path: string, { model = '', result }: JudgedResult): Promise<void> {
  if (typeof path !== 'string' || path === '') throw invalidOption('path', 'the path of a file', path)
  const { task, primaryMetric, score, metrics, items } = result
  const baseline: Baseline = {
    format: FORMAT,
    model,
    task,
    primaryMetric,
    score,
    metrics,
    ...(items === undefined ? {} : { items }),
  }
  await writeTexts(path, [JSON.stringify(baseline) + '\n'])
}

/** @throws ERR_EMBEDCORE_INVALID_DATA when there is no such file, or it is not a baseline. */
export async function readBaseline(path: string): Promise<Baseline> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw unreadable(path, error)
  }
  let found: Partial<Baseline> | null
  try {
    found = JSON.parse(text) as Partial<Baseline> | null
  } catch (error) {
    throw invalidData(`Expected the JSON of a baseline in ${path}: ${reason(error)}`, error)
  }
  if (found?.format !== FORMAT || typeof found.primaryMetric !== 'string' || typeof found.score !== 'number')
    throw invalidData(`Expected a baseline that embedcore has written in ${path} but found ${show(found)}`)
  const { items } = found
  if (items !== undefined && !isItems(items))
    throw invalidData(`Expected as many numbers as ids for the items in ${path} but found ${show(items)}`)
  return found as Baseline
}

function isItems({ ids, values, labels }: Partial<ItemScores>): boolean {
  const numbers = (list: unknown): boolean => Array.isArray(list) && list.every((value) => Number.isFinite(value))
  return (
    Array.isArray(ids) &&
    numbers(values) &&
    values!.length === ids.length &&
    (labels === undefined || (numbers(labels) && labels.length === ids.length))
  )
}

/**
 * Holds a result against a baseline file. It fails when the score fell by more than `maxDrop`, or when it fell and the
 * probability of such a fall by chance is below `significance`.
 * @throws ERR_EMBEDCORE_INVALID_OPTION; _INVALID_DATA when the file is none, is of another metric, or was made of other
 *   data; _ABORTED.
 * @example
 * const { failed, reason } = await checkBaseline('baseline.json', { result }, { maxDrop: 0.005 })
 */
export async function checkBaseline(
  path: string,
  { result }: JudgedResult,
  options?: BaselineOptions,
): Promise<BaselineCheck> {
  const { signal, maxDrop, significance, ...resampling } = checkOptions(options, {
    ...RESAMPLING_RULES,
    maxDrop: only<number>('a number from 0', (value) => Number.isFinite(value) && (value as number) >= 0),
    significance: RESAMPLING_RULES.level,
    signal: abortSignal,
  })
  try {
    const baseline = await readBaseline(path)
    if (baseline.primaryMetric !== result.primaryMetric)
      throw invalidData(
        `Expected a baseline of ${result.primaryMetric} in ${path} but found one of ${baseline.primaryMetric}`,
      )
    const alpha = significance ?? (maxDrop === undefined ? 0.05 : null)
    const slices = new Slices(signal ?? new AbortController().signal)
    const both = baseline.items !== undefined && result.items !== undefined
    if (alpha !== null && !both)
      throw invalidData(
        `Expected the scores of single items for a test of significance but ` +
          `${baseline.items === undefined ? path : 'the result'} has none (option items); maxDrop needs none`,
      )
    const comparison = both
      ? await compareItems(baseline.items, result.items, withDefaults(resampling), slices)
      : undefined
    return verdict(baseline.score, result.score, maxDrop ?? null, alpha, comparison)
  } catch (error) {
    throw withOwnStack(error)
  }
}

function verdict(
  baseline: number,
  score: number,
  maxDrop: number | null,
  significance: number | null,
  comparison: Comparison | undefined,
): BaselineCheck {
  const fall = baseline - score
  const probability = comparison === undefined ? '' : `, p = ${comparison.p.toPrecision(3)}`
  const change = Number.isNaN(fall)
    ? `the score is ${score}, of the baseline ${baseline}`
    : `the score ${score.toFixed(6)} is ${Math.abs(fall).toFixed(6)} ${fall > 0 ? 'below' : 'above'} ` +
      `the baseline ${baseline.toFixed(6)}${probability}`
  const done = (failed: boolean, why: string): BaselineCheck => ({
    failed,
    reason: change + why,
    baseline,
    score,
    ...(comparison === undefined ? {} : { comparison }),
  })
  // A score that is not a number is worse than any.
  if (Number.isNaN(score)) return done(!Number.isNaN(baseline), '')
  if (maxDrop !== null && fall > maxDrop) return done(true, `; it may fall by ${maxDrop}`)
  if (significance !== null && fall > 0 && comparison !== undefined && comparison.p < significance)
    return done(true, `; falls less probable than ${significance} fail`)
  return done(false, '')
}

/** One line of JSON for each item: its id, its score, its label and groups. */
export async function writeItems(path: string, result: Pick<Evaluation, 'items'>): Promise<void> {
  const { items } = result
  if (items === undefined)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      'Expected a result with items (option items: true) but received one without',
    )
  const { ids, values, labels, groups = {} } = items
  function* lines(): Generator<string> {
    for (const [i, id] of ids.entries()) {
      const own = Object.fromEntries(Object.entries(groups).map(([view, names]) => [view, names[i]]))
      yield (
        JSON.stringify({ id, score: values[i], ...(labels === undefined ? {} : { label: labels[i] }), ...own }) + '\n'
      )
    }
  }
  await writeTexts(path, inPieces(lines()))
}

/** Short texts together, so that a file of many lines is written in few steps. */
function* inPieces(texts: Iterable<string>): Generator<string> {
  let piece = ''
  for (const text of texts) {
    piece += text
    if (piece.length < 1 << 16) continue
    yield piece
    piece = ''
  }
  if (piece !== '') yield piece
}
