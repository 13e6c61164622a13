/** evaluate: runs evaluators one after the other and puts their results together. */
import { stoppable } from '../core/abort.js'
import { EmbedCoreError, withOwnStack } from '../core/errors.js'
import { reason, show } from '../core/show.js'
import type { Model } from '../model/model.js'
import { evaluateBitext } from './bitext.js'
import { detailsOf } from './details.js'
import { type Counts, Encoding } from './encoding.js'
import { checkEncoder } from './model-encoder.js'
import { type CheckedEvaluator, type CheckedOptions, checkEvaluateOptions, checkEvaluators } from './options.js'
import { evaluateRetrieval } from './retrieval.js'
import { type Measured, type Run, similarityOf } from './run.js'
import { Slices } from './slices.js'
import { evaluateSts } from './sts.js'
import { evaluateMatrix } from './tasks/bitext-matrix.js'
import { evaluateClassification } from './tasks/classification.js'
import { evaluateClustering } from './tasks/clustering.js'
import { evaluateGeometry } from './tasks/geometry.js'
import { evaluatePairs } from './tasks/pair-classification.js'
import { evaluateReranking } from './tasks/reranking.js'
import { evaluateTokens } from './tasks/token-classification.js'
import { evaluateZeroShot } from './tasks/zero-shot.js'
import { evaluateTriplet } from './triplet.js'
import type { Encoder, EvaluateOptions, Evaluation, Evaluations, Evaluator } from './types.js'

export function evaluate(model: Model | Encoder, evaluator: Evaluator, options?: EvaluateOptions): Promise<Evaluation>
export function evaluate(
  model: Model | Encoder,
  evaluators: readonly Evaluator[],
  options?: EvaluateOptions,
): Promise<Evaluations>
export function evaluate(
  model: Model | Encoder,
  evaluators: Evaluator | readonly Evaluator[],
  options?: EvaluateOptions,
): Promise<Evaluation | Evaluations>
/**
 * Judges a model by an evaluator or several: similarity of sentences (`'sts'`), retrieval, translations, classes,
 * clusters and others, see `EvaluationTask`. Metrics have the names and values of sentence-transformers, and of MTEB
 * where sentence-transformers has no such evaluator.
 *
 * The corpus of a retrieval passes as a stream; texts are encoded in batches, off the event loop. A process warning
 * with the code EMBEDCORE_MISSING_DOCUMENTS says that relevant documents are not in the corpus.
 * @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION for a wrong call; _INVALID_DATA for data that cannot be read,
 *   with file and line; _ABORTED; _OUT_OF_MEMORY; errors of the model's encode; _SHAPE_MISMATCH and _NON_FINITE for an
 *   encoder that returns something else.
 * @example
 * const { score, metrics } = await evaluate(model, { task: 'sts', data: 'dev.csv', name: 'dev' })
 * console.log(metrics.dev_spearman_cosine)
 */
export async function evaluate(
  model: Model | Encoder,
  evaluators: Evaluator | readonly Evaluator[],
  options?: EvaluateOptions,
): Promise<Evaluation | Evaluations> {
  const encoder = checkEncoder(model)
  const { evaluators: checked, isList } = checkEvaluators(evaluators)
  const given = checkEvaluateOptions(options)
  const results = await runEvaluators(encoder, checked, given)
  return isList ? together(results, given) : results[0]!
}

/** Runs checked evaluators. Training checks its evaluators before any work, and runs them with the model it trains. */
export async function runEvaluators(
  encoder: Encoder,
  evaluators: readonly CheckedEvaluator[],
  options: CheckedOptions,
): Promise<Evaluation[]> {
  const work = async (stop: AbortController): Promise<Evaluation[]> => {
    const results: Evaluation[] = []
    for (const [i, evaluator] of evaluators.entries())
      results.push(await runEvaluator(encoder, evaluator, options, stop, { i, of: evaluators.length }))
    return results
  }
  return stoppable(options.signal, work, withOwnStack)
}

async function runEvaluator(
  encoder: Encoder,
  evaluator: CheckedEvaluator,
  options: CheckedOptions,
  stop: AbortController,
  place: { i: number; of: number },
): Promise<Evaluation> {
  const begin = performance.now()
  const { task, name } = evaluator
  const slices = new Slices(stop.signal)
  const report = ({ texts, tokens }: Counts): void => {
    const { total, share } = run.extent
    tell(options, {
      evaluator: place.i,
      evaluators: place.of,
      task,
      name,
      done: texts,
      total,
      tokens,
      share: total === null ? share() : total === 0 ? 1 : texts / total,
    })
  }
  const encoding = new Encoding(encoder, options.encode, stop, slices, report)
  const run: Run = {
    encoding,
    slices,
    signal: stop.signal,
    batchSize: options.batchSize,
    similarity: similarityOf(encoder),
    extent: { total: null, share: () => null },
  }
  const { metrics, primary, rows, documents, items } = await measure(evaluator, run)
  const prefix = name === '' ? '' : `${name}_`
  const details = await detailsOf(items, prefix, options.details, slices)
  const { texts, tokens } = encoding.counts
  return {
    task,
    name,
    primaryMetric: prefix + primary,
    score: metrics[primary]!,
    metrics: Object.fromEntries(Object.entries(metrics).map(([metric, value]) => [prefix + metric, value])),
    rows,
    documents,
    texts,
    tokens,
    seconds: secondsSince(begin),
    ...details,
  }
}

function measure(evaluator: CheckedEvaluator, run: Run): Promise<Measured> {
  switch (evaluator.task) {
    case 'sts':
      return evaluateSts(evaluator, run)
    case 'retrieval':
      return evaluateRetrieval(evaluator, run)
    case 'triplet':
      return evaluateTriplet(evaluator, run)
    case 'bitext':
      return evaluateBitext(evaluator, run)
    case 'bitext-matrix':
      return evaluateMatrix(evaluator, run)
    case 'pair-classification':
      return evaluatePairs(evaluator, run)
    case 'reranking':
      return evaluateReranking(evaluator, run)
    case 'clustering':
      return evaluateClustering(evaluator, run)
    case 'classification':
      return evaluateClassification(evaluator, run)
    case 'zero-shot':
      return evaluateZeroShot(evaluator, run)
    case 'token-classification':
      return evaluateTokens(evaluator, run)
    case 'geometry':
      return evaluateGeometry(evaluator, run)
  }
}

function tell(
  { onProgress }: CheckedOptions,
  progress: Parameters<NonNullable<CheckedOptions['onProgress']>>[0],
): void {
  try {
    onProgress?.(progress)
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `The call's onProgress threw: ${reason(error)}`, {
      cause: error,
    })
  }
}

function together(evaluations: readonly Evaluation[], { mainScoreFunction }: CheckedOptions): Evaluations {
  const sum = (field: 'texts' | 'tokens' | 'seconds'): number =>
    evaluations.reduce((total, evaluation) => total + evaluation[field], 0)
  const score = mainScore(evaluations, mainScoreFunction)
  const metrics: Record<string, number> = {}
  for (const evaluation of evaluations) Object.assign(metrics, evaluation.metrics)
  return {
    primaryMetric: 'sequential_score',
    score,
    metrics: { ...metrics, sequential_score: score },
    texts: sum('texts'),
    tokens: sum('tokens'),
    seconds: sum('seconds'),
    evaluations,
  }
}

function mainScore(evaluations: readonly Evaluation[], mainScoreFunction: CheckedOptions['mainScoreFunction']): number {
  let score: unknown
  try {
    score = mainScoreFunction(evaluations.map((evaluation) => evaluation.score))
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `The call's mainScoreFunction threw: ${reason(error)}`, {
      cause: error,
    })
  }
  if (typeof score === 'number') return score
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_OPTION',
    `Expected a number from mainScoreFunction but received ${show(score)}`,
  )
}

function secondsSince(begin: number): number {
  return Math.round((performance.now() - begin) * 1e3) / 1e6
}
