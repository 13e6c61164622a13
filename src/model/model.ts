/** A loaded model: the result of `load()`. */
import type { RawModel, RawPlan, RawPlanOptions } from '../core/binding.js'
import { EmbedCoreError, toEmbedCoreError } from '../core/errors.js'
import { allocate } from '../core/memory.js'
import { checkOptions } from '../core/options.js'
import { sentenceEmbeddings, tokenEmbeddings, tokenizedTexts } from '../core/results.js'
import { reason, show } from '../core/show.js'
import type { Precision } from '../core/names.js'
import type { SentenceEmbeddings, TokenEmbeddings, TokenizedTexts } from '../core/types.js'
import type { Similarities } from '../core/vectors.js'
import { Adapters } from './adapters.js'
import type { ModelDescription } from './directory.js'
import type { MeasurableModel } from './dtype-measure.js'
import { describe, type ModelFacts, type ModelInfo } from './info.js'
import type {
  AdapterInfo,
  AdapterOptions,
  EncodeOptions,
  SentenceOptions,
  StreamedEmbedding,
  StreamOptions,
  TokenizeOptions,
  TokenOptions,
} from './types.js'
import { quantize, similarity, type SimilarityOptions, type Vectors } from '../core/vectors.js'
import { type ResolvedEncode, resolveEncodeOptions, TOKENIZE_RULES } from './encode-options.js'
import { DOCUMENT_PROMPT, QUERY_PROMPT } from './prompts.js'
import { runTexts } from './run.js'
import { type EncodedBatch, encodeStream } from './stream.js'
import type { TextTokenizer } from './tokenizer.js'
import { UnknownTokens } from './unknown-tokens.js'

/** The number of cached plans is limited, because a caller may use different options in every call. */
const REMEMBERED_PLANS = 64

export interface ModelParts extends ModelFacts {
  raw: RawModel
  tokenizer: TextTokenizer
}

/** Only `createModel` creates models, also for callers without TypeScript. */
const KEY = Symbol('Model')
let create: (parts: ModelParts) => Model
export const createModel = (parts: ModelParts): Model => create(parts)

type Encode = (
  model: Model,
  texts: readonly string[],
  options: SentenceOptions<'float32'> | undefined,
  prompt: typeof QUERY_PROMPT | typeof DOCUMENT_PROMPT | null,
  seen: (unknown: UnknownTokens) => unknown,
) => Promise<SentenceEmbeddings>
let encode: Encode
/** `encode`, or with a prompt `encodeQuery` or `encodeDocument`; unknown texts are told to `seen`, not warned of. */
export const encodeQuietly: Encode = (...call) => encode(...call)

let description: (model: Model) => ModelDescription
/** What the files of a model say. @throws ERR_EMBEDCORE_DISPOSED */
export const descriptionOf = (model: Model): ModelDescription => description(model)

/** The model for measuring: it gives no warnings of unknown texts, because its texts are not the caller's. */
export const measurable = (model: Model): MeasurableModel => ({
  encode: (texts, options) => encodeQuietly(model, texts, options, null, () => undefined),
  dispose: () => model.dispose(),
})

/**
 * A model in memory. Calls may overlap, from any number of places: their texts are packed together. A vector depends
 * only on its text and the options, to the last bit. It does not depend on the other texts of the call, on other calls,
 * or on the number of threads.
 */
export class Model implements AsyncDisposable, Disposable {
  /** What the model is and how it runs. */
  readonly info: ModelInfo
  private parts: ModelParts | null
  private readonly plans = new Map<string, RawPlan>()
  private readonly beside = new Adapters()

  /** For `using`: frees the model at the end of the block. */
  declare readonly [Symbol.dispose]: () => void
  /** For `await using`: as `dispose`. */
  declare readonly [Symbol.asyncDispose]: () => Promise<void>

  static {
    create = (parts) => new Model(parts, KEY)
    description = (model) => model.alive().description
    encode = (model, texts, options, prompt, seen) =>
      model.run(texts, options, prompt, seen) as Promise<SentenceEmbeddings>
    // Only where the symbols exist: on Node 20 and 22 the vm contexts of test runners have none, and a method named by
    // an absent symbol would be called "undefined".
    const define = (name: symbol | undefined, value: (this: Model) => unknown): void => {
      if (typeof name === 'symbol') Object.defineProperty(this.prototype, name, { value, configurable: true })
    }
    define(Symbol.dispose, function () {
      this.release()
    })
    define(Symbol.asyncDispose, function () {
      return this.dispose()
    })
  }

  private constructor(parts: ModelParts, key: symbol) {
    if (key !== KEY)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        'Expected load() for a new model but received new Model()',
      )
    this.parts = parts
    this.info = describe(
      parts,
      this.plan(parts, resolveEncodeOptions(undefined, parts.description, parts.rawInfo.layers).plan).dimension,
    )
  }

  /**
   * Vectors of one text or many, [texts, dimensions]; with `output: 'token'`, the vectors of their tokens. Runs off the
   * event loop.
   *
   * An empty list gives no rows. Lone surrogates count as U+FFFD. A text longer than the limit is cut, and
   * `omittedTokens` says by how much. A text without any token that the tokenizer knows causes a process warning with
   * the code EMBEDCORE_UNKNOWN_TEXT, once per call; `unknownTokens` counts such tokens.
   * @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION, _INVALID_TEXT for a wrong call; _TEXT_TOO_LONG with
   *   `truncate: false`; _NO_RANGES for int8 and uint8 of a single text; _QUEUE_FULL when more tokens wait than
   *   `maxQueueTokens`; _ABORTED; _DISPOSED; _NON_FINITE when the weights give no number; _OUT_OF_MEMORY.
   * @example
   * const { data, shape } = await model.encode(['one text', 'another'])
   * const bits = await model.encode(texts, { precision: 'ubinary', dimensions: 256 })
   */
  encode<P extends Precision = 'float32'>(
    texts: string | readonly string[],
    options?: SentenceOptions<P>,
  ): Promise<SentenceEmbeddings<P>>
  encode(texts: string | readonly string[], options: TokenOptions): Promise<TokenEmbeddings>
  encode(
    texts: string | readonly string[],
    options?: EncodeOptions,
  ): Promise<SentenceEmbeddings<Precision> | TokenEmbeddings>
  async encode(
    texts: string | readonly string[],
    options?: EncodeOptions,
  ): Promise<SentenceEmbeddings<Precision> | TokenEmbeddings> {
    return this.run(texts, options, null)
  }

  /**
   * `encode` with the model's prompt `query`, unless the call names another.
   * @example
   * const query = await model.encodeQuery('how do I reset my password?')
   */
  encodeQuery<P extends Precision = 'float32'>(
    texts: string | readonly string[],
    options?: SentenceOptions<P>,
  ): Promise<SentenceEmbeddings<P>> {
    return this.run(texts, options, QUERY_PROMPT) as Promise<SentenceEmbeddings<P>>
  }

  /**
   * `encode` with the model's prompt `document`, unless the call names another.
   * @example
   * const documents = await model.encodeDocument(paragraphs)
   */
  encodeDocument<P extends Precision = 'float32'>(
    texts: string | readonly string[],
    options?: SentenceOptions<P>,
  ): Promise<SentenceEmbeddings<P>> {
    return this.run(texts, options, DOCUMENT_PROMPT) as Promise<SentenceEmbeddings<P>>
  }

  /**
   * Vectors of a stream of texts, in its order, with bounded memory: at most three batches are held. While the source
   * is slow, the texts that it has given are encoded. Leaving the loop early aborts the calls in progress and closes
   * the source.
   * @throws As `encode`, in the loop; ERR_EMBEDCORE_NO_RANGES for int8 and uint8 without `ranges`. Errors of the source
   *   are passed on as they are.
   * @example
   * for await (const { text, vector } of model.encodeStream(readLines())) await index.add(text, vector)
   */
  encodeStream<P extends Precision = 'float32'>(
    texts: AsyncIterable<string> | Iterable<string>,
    options?: StreamOptions<P>,
  ): AsyncGenerator<StreamedEmbedding<P>, void, undefined> {
    this.alive()
    const encode = async (batch: string[], given: SentenceOptions<P>): Promise<EncodedBatch<P>> => {
      let unknown!: UnknownTokens
      const result = await this.run(batch, given, null, (tokens) => (unknown = tokens))
      return { vectors: result as SentenceEmbeddings<P>, unknown }
    }
    return encodeStream<P>(this.info.name, encode, texts, options)
  }

  /**
   * The tokens of one text or many as `encode` sees them, without computing vectors: ids, places in the text, counts.
   * For limits, billing and cutting long texts.
   * @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION, _INVALID_TEXT, _TEXT_TOO_LONG, _ABORTED, _DISPOSED,
   *   _OUT_OF_MEMORY.
   * @example
   * const { tokenCounts, omittedTokens } = await model.tokenize(texts)
   * const { tokens, offsets } = (await model.tokenize('New York')).text(0)
   */
  async tokenize(texts: string | readonly string[], options?: TokenizeOptions): Promise<TokenizedTexts> {
    const parts = this.alive()
    const list = listOfTexts(texts)
    const { tokenize } = this.resolve(parts, checkOptions(options, TOKENIZE_RULES), list.length, null)
    const unknown = new UnknownTokens(list.length)
    try {
      const { ids, offsets, omitted, charOffsets } = await parts.tokenizer.encodeBatch(list, {
        ...tokenize,
        maxTokens: tokenize.maxTokens ?? parts.maxTokens,
        wantOffsets: true,
        unknown,
      })
      const tokenCounts = allocate(list.length, Int32Array)
      for (let i = 0; i < list.length; i++) tokenCounts[i] = offsets[i + 1]! - offsets[i]!
      const counts = { tokenCounts, omittedTokens: omitted, unknownTokens: unknown.counts }
      return tokenizedTexts(ids, charOffsets!, counts, (some) => parts.tokenizer.tokens(some))
    } catch (error) {
      throw toEmbedCoreError(error)
    }
  }

  /**
   * [rows of a, rows of b] similarities of vectors of this model, by `info.similarity` unless `metric` names another.
   * @throws ERR_EMBEDCORE_SHAPE_MISMATCH, _INVALID_OPTION, _UNKNOWN_OPTION, _ABORTED, _OUT_OF_MEMORY.
   * @example
   * const scores = (await model.similarity(query, documents)).row(0)
   */
  async similarity(a: Vectors, b: Vectors, options?: SimilarityOptions): Promise<Similarities> {
    return similarity(a, b, options, { metric: this.info.similarity, dimension: this.info.dimension })
  }

  /** The adapters that are loaded, in the order in which they were asked for. */
  get adapters(): readonly AdapterInfo[] {
    return this.beside.list
  }

  /**
   * Loads a LoRA adapter that PEFT or `train` saved, beside the model. Calls of encode that name it get the vectors of
   * the model with the adapter, others those of the model alone; both may run at once. Any number may be loaded.
   *
   * The update is computed next to the weights, which stay as they are: in float32 as PEFT computes it before merging,
   * in bfloat16 and float16 with factors rounded like the weights, and with int8 weights in float32. To add an adapter
   * to the weights, which costs nothing per call, load the model with the option `adapter`.
   * @throws ERR_EMBEDCORE_NOT_FOUND, _INVALID_FILE, _INVALID_CONFIG, _MISSING_TENSOR, _SHAPE_MISMATCH, _NON_FINITE when
   *   the files are wrong or of another model; _UNSUPPORTED_MODEL naming what is not supported (DoRA, biases, whole
   *   modules); _INVALID_OPTION, _UNKNOWN_OPTION; _DISPOSED; _OUT_OF_MEMORY; _ABORTED.
   * @example
   * await model.loadAdapter('adapters/shop', { name: 'shop' })
   * const { data } = await model.encode(texts, { adapter: 'shop' })
   */
  async loadAdapter(directory: string, options?: AdapterOptions): Promise<AdapterInfo> {
    return this.beside.load(this.alive(), directory, options)
  }

  /**
   * Frees an adapter; resolves when its memory is free. Running calls that use it are rejected with
   * ERR_EMBEDCORE_DISPOSED, unless they end before.
   * @throws ERR_EMBEDCORE_INVALID_OPTION when there is none of this name; _DISPOSED.
   * @example
   * await model.unloadAdapter('shop')
   */
  async unloadAdapter(name: string): Promise<void> {
    this.alive()
    await this.beside.unload(name)
  }

  /**
   * Frees the model and its adapters, off the event loop; resolves when its memory is free. Running calls are rejected
   * with ERR_EMBEDCORE_DISPOSED; a second dispose does nothing. Weights are freed with the last model that uses them:
   * models loaded from the same files share them.
   * @example
   * await using model = await load('path/of/a/model') // disposed at the end of the block
   */
  async dispose(): Promise<void> {
    const raw = this.parts?.raw
    this.parts = null
    this.plans.clear()
    try {
      const model = raw === undefined ? null : new Promise<void>((resolve) => raw.dispose(() => resolve()))
      await Promise.all([model, this.beside.dispose()])
    } catch (error) {
      throw toEmbedCoreError(error) // no memory to tell when the model is freed
    }
  }

  private release(): void {
    this.parts?.raw.dispose()
    for (const adapter of this.beside.release()) adapter.dispose()
    this.parts = null
    this.plans.clear()
  }

  /**
   * `fallback`: the prompt by name when the call names none. `warn` sees the unknown tokens of a call that succeeds.
   */
  private async run(
    texts: unknown,
    options: EncodeOptions | undefined,
    fallback: string | null,
    warn: (unknown: UnknownTokens) => unknown = (unknown) => unknown.warn(this.info.name),
  ): Promise<SentenceEmbeddings<Precision> | TokenEmbeddings> {
    const parts = this.alive()
    const list = listOfTexts(texts)
    const call = this.resolve(parts, options, list.length, fallback)
    const plan = this.plan(parts, call.plan)
    const unknown = new UnknownTokens(list.length)
    call.tokenize.unknown = unknown
    try {
      const { rows, tokenCounts, omittedTokens, tokens } = await runTexts(list, {
        raw: parts.raw,
        plan,
        adapter: this.beside.get(call.adapter),
        tokenizer: parts.tokenizer,
        call,
        maxTokens: parts.maxTokens,
      })
      const counts = { tokenCounts, omittedTokens, unknownTokens: unknown.counts }
      warn(unknown)
      if (tokens !== null)
        return tokenEmbeddings(rows, plan.dimension, tokens, counts, (ids) => parts.tokenizer.tokens(ids))
      if (call.precision === 'float32') return sentenceEmbeddings('float32', rows, plan.dimension, counts)
      const { data, columns, ranges } = await quantize(rows, plan.dimension, call.precision, call.ranges)
      return sentenceEmbeddings(call.precision, data, columns, counts, ranges)
    } catch (error) {
      throw toEmbedCoreError(error)
    }
  }

  private alive(): ModelParts {
    if (this.parts === null)
      throw new EmbedCoreError('ERR_EMBEDCORE_DISPOSED', `The model ${show(this.info.name)} was disposed`)
    return this.parts
  }

  private resolve(
    parts: ModelParts,
    options: EncodeOptions | undefined,
    texts: number,
    fallbackPrompt: string | null,
  ): ResolvedEncode {
    const positions = parts.rawInfo.maxPositions
    return resolveEncodeOptions(options, parts.description, parts.rawInfo.layers, {
      texts,
      fallbackPrompt,
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
  const list = new Array<string>(texts.length)
  for (let i = 0; i < list.length; i++) list[i] = textAt(texts, i)
  return list
}

function textAt(texts: readonly unknown[], i: number): string {
  let text
  try {
    text = texts[i]
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_TEXT', `Reading text ${i} failed: ${reason(error)}`, {
      cause: error,
    })
  }
  if (typeof text !== 'string')
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_TEXT', `Expected a string for text ${i} but received ${show(text)}`)
  return text
}
