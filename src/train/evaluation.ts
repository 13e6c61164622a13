/** Evaluation during training: the model as it is, as an encoder of evaluate. */
import { abortError } from '../core/abort.js'
import { EmbedCoreError } from '../core/errors.js'
import { invalidOption } from '../core/options.js'
import { show } from '../core/show.js'
import { runEvaluators } from '../evaluate/evaluate.js'
import { checkEvaluateOptions } from '../evaluate/options.js'
import type { EncodedTexts, Encoder, EncoderOptions, Evaluation } from '../evaluate/types.js'
import { DOCUMENT_PROMPT, QUERY_PROMPT, resolvePrompt } from '../model/prompts.js'
import type { Prepared } from './prepare.js'
import type { Trainer } from './trainer.js'

/** Texts that are encoded by one call of the trainer. */
const TEXTS_AT_ONCE = 64

/** The model in training, with the weights that the trainer has at the moment of a call. */
export function trainingEncoder(prepared: Prepared, trainer: Trainer): Encoder {
  const { description, tokenizer, stack, options } = prepared
  const limit = tokenizer.maxTokens ?? trainer.maxTokens
  async function encode(
    texts: readonly string[],
    given: EncoderOptions = {},
    fallback: string | null,
  ): Promise<EncodedTexts> {
    const byName = given.prompt === undefined && given.promptName === undefined && fallback !== null
    const prompt = resolvePrompt(description, byName ? { promptName: fallback } : given)
    if (given.normalize === false && stack.normalized)
      throw invalidOption('normalize', 'true or nothing for a model whose vectors have length 1', false)
    const tokens = await tokenizer.encodeBatch(texts, {
      prompt,
      maxTokens: given.maxTokens ?? limit,
      truncate: given.truncate === true ? undefined : given.truncate,
      wantOffsets: false,
      signal: given.signal,
    })
    const width = Math.min(given.dimensions ?? description.dimensions ?? trainer.dimension, trainer.dimension)
    if (given.dimensions !== undefined && given.dimensions > trainer.dimension)
      throw invalidOption('dimensions', `an integer from 1 to ${trainer.dimension}`, given.dimensions)
    const data = new Float32Array(texts.length * width)
    for (let first = 0; first < texts.length; first += TEXTS_AT_ONCE) {
      if (given.signal?.aborted === true) throw abortError(given.signal)
      const end = Math.min(texts.length, first + TEXTS_AT_ONCE)
      const [from, to] = [tokens.offsets[first]!, tokens.offsets[end]!]
      const rows = await trainer.encode({
        tokens: {
          ids: tokens.ids.slice(from, to),
          offsets: tokens.offsets.slice(first, end + 1).map((offset) => offset - from),
        },
        skip: stack.includePrompt ? null : tokens.promptTokens.slice(first, end),
        prefix: null,
      })
      const normalize = given.normalize ?? (stack.normalized && width < trainer.dimension)
      copyRows(rows, trainer.dimension, data.subarray(first * width, end * width), width, normalize)
    }
    const tokenCounts = Int32Array.from(texts, (_, i) => tokens.offsets[i + 1]! - tokens.offsets[i]!)
    return { data, shape: [texts.length, width], tokenCounts }
  }
  return {
    info: { name: options.model, similarity: description.similarity },
    encode: (texts, given) => encode(texts, given, null),
    encodeQuery: (texts, given) => encode(texts, given, QUERY_PROMPT),
    encodeDocument: (texts, given) => encode(texts, given, DOCUMENT_PROMPT),
  }
}

/** The first `width` numbers of each row. */
function copyRows(from: Float32Array, stride: number, to: Float32Array, width: number, normalize: boolean): void {
  for (let row = 0; row * width < to.length; row++) {
    const values = from.subarray(row * stride, row * stride + width)
    let squares = 0
    if (normalize) for (const value of values) squares += value * value
    const factor = normalize ? 1 / Math.max(Math.sqrt(squares), 1e-12) : 1
    for (let i = 0; i < width; i++) to[row * width + i] = factor * values[i]!
  }
}

export interface Judgement {
  /** That of the last evaluator. */
  score: number
  metrics: Record<string, number>
  evaluations: Evaluation[]
  seconds: number
}

/** Judges the weights that would be saved: the last ones, or their moving average if the run keeps one. */
export async function judge(prepared: Prepared, trainer: Trainer, signal: AbortSignal): Promise<Judgement> {
  const begin = performance.now()
  const { averageDecay, evaluators } = prepared.options
  const run = () => runEvaluators(trainingEncoder(prepared, trainer), evaluators, checkEvaluateOptions({ signal }))
  const evaluations = await (averageDecay > 0 ? trainer.withAverage(run) : run())
  const metrics: Record<string, number> = {}
  for (const evaluation of evaluations) Object.assign(metrics, evaluation.metrics)
  const { score } = evaluations.at(-1)!
  return { score, metrics, evaluations, seconds: (performance.now() - begin) / 1000 }
}

/** The value that decides which evaluation is the best: the score, or a metric by name. */
export function valueOf({ score, metrics }: Judgement, metric: string | null): number {
  if (metric === null) return score
  if (!Object.hasOwn(metrics, metric))
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected a metric of the evaluators (${Object.keys(metrics).join(', ')}) but received ${show(metric)}`,
    )
  return metrics[metric]!
}

export interface Best {
  step: number
  score: number
  /** Evaluations after it that were not better. */
  worse: number
  metrics: Record<string, number>
}

/** The best evaluation so far. A value that is not a number is never better. */
export class Tracker {
  constructor(
    readonly metric: string | null,
    private readonly threshold: number,
    public best: Best | null = null,
  ) {}

  /** Whether it is the best so far. */
  add(step: number, judgement: Judgement): boolean {
    const score = valueOf(judgement, this.metric)
    if (this.best === null ? Number.isFinite(score) : score > this.best.score + this.threshold) {
      this.best = { step, score, worse: 0, metrics: judgement.metrics }
      return true
    }
    if (this.best !== null) this.best.worse++
    return false
  }
}
