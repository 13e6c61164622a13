/** A loaded model: what `embedCore.load()` returns. */
import type { RawModel, RawPlan, RawPlanOptions } from '../core/binding.js'
import { EmbedCoreError, toEmbedCoreError } from '../core/errors.js'
import { sentenceEmbeddings, tokenEmbeddings } from '../core/results.js'
import { show } from '../core/show.js'
import type { Precision } from '../core/names.js'
import type { SentenceEmbeddings, TokenEmbeddings } from '../core/types.js'
import type { Similarities } from '../core/vectors.js'
import { describe, type ModelFacts, type ModelInfo } from './info.js'
import type { EncodeOptions, SentenceOptions, StreamedEmbedding, StreamOptions, TokenOptions } from './types.js'
import { quantize, similarity, type SimilarityOptions, type Vectors } from '../core/vectors.js'
import { resolveEncodeOptions, type ResolvedEncode } from './encode-options.js'
import { DOCUMENT_PROMPT, QUERY_PROMPT } from './prompts.js'
import { runTexts } from './run.js'
import { encodeStream } from './stream.js'
import type { TextTokenizer } from './tokenizer.js'

/** Plans are few; a caller who makes up options per call must not fill the memory. */
const REMEMBERED_PLANS = 64

export interface ModelParts extends ModelFacts {
  raw: RawModel
  tokenizer: TextTokenizer
}

/**
 * A model in memory. Calls may overlap, from any number of places: their texts are packed together. A vector depends on
 * its text and the options alone, to the last bit: not on the other texts of the call, other calls, or the number of
 * threads.
 */
export class Model implements AsyncDisposable, Disposable {
  /** What the model is and how it runs. */
  readonly info: ModelInfo
  private parts: ModelParts | null
  private readonly plans = new Map<string, RawPlan>()

  /** @internal Use `embedCore.load()`. */
  constructor(parts: ModelParts) {
    this.parts = parts
    this.info = describe(
      parts,
      this.plan(parts, resolveEncodeOptions(undefined, parts.description, parts.rawInfo.layers).plan).dimension,
    )
  }

  /**
   * Vectors of one text or many, [texts, dimensions]; with `output: 'token'` those of their tokens. Runs off the event
   * loop.
   *
   * An empty list gives no rows. Lone surrogates count as U+FFFD. A text longer than the limit is cut, and
   * `omittedTokens` says by how much.
   * @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION, _INVALID_TEXT for what was asked; _TEXT_TOO_LONG with
   *   `truncate: false`; _QUEUE_FULL when more tokens wait than `maxQueueTokens`; _ABORTED; _DISPOSED; _NON_FINITE when
   *   the weights give no number; _OUT_OF_MEMORY.
   */
  encode<P extends Precision = 'float32'>(
    texts: string | readonly string[],
    options?: SentenceOptions<P>,
  ): Promise<SentenceEmbeddings<P>>
  encode(texts: string | readonly string[], options: TokenOptions): Promise<TokenEmbeddings>
  encode(texts: string | readonly string[], options?: EncodeOptions): Promise<SentenceEmbeddings | TokenEmbeddings>
  async encode(
    texts: string | readonly string[],
    options?: EncodeOptions,
  ): Promise<SentenceEmbeddings | TokenEmbeddings> {
    const parts = this.alive()
    const list = listOfTexts(texts)
    const call = this.resolve(parts, options, list.length)
    const plan = this.plan(parts, call.plan)
    const { rows, tokenCounts, omittedTokens, chunks } = await runTexts(list, {
      raw: parts.raw,
      plan,
      tokenizer: parts.tokenizer,
      call,
      maxTokens: parts.maxTokens,
    })
    if (call.output === 'token') return tokenEmbeddings(chunks, plan.dimension, (ids) => parts.tokenizer.tokens(ids))
    if (call.precision === 'float32')
      return sentenceEmbeddings('float32', rows, plan.dimension, tokenCounts, omittedTokens)
    const { data, columns, ranges } = await quantize(rows, plan.dimension, call.precision, call.ranges)
    return sentenceEmbeddings(call.precision, data, columns, tokenCounts, omittedTokens, ranges)
  }

  /** `encode` with the model's prompt `query`, unless the call names another. */
  encodeQuery<P extends Precision = 'float32'>(
    texts: string | readonly string[],
    options?: SentenceOptions<P>,
  ): Promise<SentenceEmbeddings<P>> {
    return this.encode<P>(texts, withPrompt(options, QUERY_PROMPT))
  }

  /** `encode` with the model's prompt `document`, unless the call names another. */
  encodeDocument<P extends Precision = 'float32'>(
    texts: string | readonly string[],
    options?: SentenceOptions<P>,
  ): Promise<SentenceEmbeddings<P>> {
    return this.encode<P>(texts, withPrompt(options, DOCUMENT_PROMPT))
  }

  /**
   * Vectors of a stream of texts, in its order, with bounded memory: at most three batches are held. A source that is
   * slow is not waited for: what has come is encoded. Leaving the loop early calls off what is under way and closes the
   * source.
   */
  encodeStream<P extends Precision = 'float32'>(
    texts: AsyncIterable<string> | Iterable<string>,
    options?: StreamOptions<P>,
  ): AsyncGenerator<StreamedEmbedding<P>, void, undefined> {
    this.alive()
    return encodeStream<P>((batch, given) => this.encode<P>(batch, given), texts, options)
  }

  /** [rows of a, rows of b] similarities of vectors of this model, by its own measure unless `metric` names another. */
  async similarity(a: Vectors, b: Vectors, options?: SimilarityOptions): Promise<Similarities> {
    return similarity(a, b, options, { metric: this.info.similarity, dimension: this.info.dimension })
  }

  /**
   * Frees the model. Calls under way are rejected with ERR_EMBEDCORE_DISPOSED; a second dispose does nothing. The
   * weights go when the last handle on them goes: models loaded from the same files share them.
   */
  async dispose(): Promise<void> {
    this[Symbol.dispose]()
  }

  [Symbol.dispose](): void {
    this.parts?.raw.dispose()
    this.parts = null
    this.plans.clear()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }

  private alive(): ModelParts {
    if (this.parts === null)
      throw new EmbedCoreError('ERR_EMBEDCORE_DISPOSED', `The model ${show(this.info.name)} was disposed`)
    return this.parts
  }

  private resolve(parts: ModelParts, options: EncodeOptions | undefined, texts: number): ResolvedEncode {
    const positions = parts.rawInfo.maxPositions
    return resolveEncodeOptions(options, parts.description, parts.rawInfo.layers, {
      texts,
      tokenLimit: positions > 0 ? positions : null,
    })
  }

  private plan(parts: ModelParts, options: RawPlanOptions): RawPlan {
    const key = JSON.stringify(options)
    let plan = this.plans.get(key)
    if (plan === undefined) {
      try {
        plan = parts.raw.plan(options)
      } catch (error) {
        throw toEmbedCoreError(error)
      }
      if (this.plans.size >= REMEMBERED_PLANS) this.plans.clear()
      this.plans.set(key, plan)
    }
    return plan
  }
}

/** The texts of a call, copied, so that what the caller does with the list later changes nothing. */
function listOfTexts(texts: unknown): string[] {
  if (typeof texts === 'string') return [texts]
  if (!Array.isArray(texts))
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_TEXT',
      `Expected a text or a list of texts but received ${show(texts)}`,
    )
  return Array.from(texts, (text: unknown, i) => {
    if (typeof text !== 'string')
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_TEXT',
        `Expected a string for text ${i} but received ${show(text)}`,
      )
    return text
  })
}

function withPrompt<O extends EncodeOptions>(options: O | undefined, promptName: string): O {
  if (typeof options !== 'object' || options === null) return (options === undefined ? { promptName } : options) as O
  return options.prompt !== undefined || options.promptName !== undefined ? options : { ...options, promptName }
}
