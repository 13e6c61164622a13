/**
 * The texts of one evaluator on their way through the encoder: batches, a few of them under way, with progress and
 * counts. What the encoder returns is checked, because it may be anybody's.
 */
import { types } from 'node:util'
import { EmbedCoreError } from '../core/errors.js'
import { allocate } from '../core/memory.js'
import { reason, show } from '../core/show.js'
import type { Rows } from './pairs.js'
import { eachInSlices, type Slices } from './slices.js'
import type { EncodedTexts, EncodedTokens, Encoder, EncoderOptions } from './types.js'

/** One batch is computed, the next is tokenised, the vectors of the one before are compared. */
const UNDER_WAY = 3

/** Which method of the encoder texts go to. */
export type TextKind = 'text' | 'query' | 'document' | 'token'

/** How the texts are encoded. */
export interface EncodeSettings extends Pick<EncoderOptions, 'dimensions' | 'normalize' | 'prompt' | 'promptName'> {
  kind?: TextKind
}

export interface Counts {
  texts: number
  tokens: number
}

export class Encoding {
  private finished: Counts = { texts: 0, tokens: 0 }
  private readonly parts = new Set<Counts>()
  private width: number | null = null
  /** What the caller's onProgress threw. */
  private failure: unknown = null

  /** `stop` is aborted when a batch that was begun is not needed any more. */
  constructor(
    private readonly encoder: Encoder,
    private readonly options: EncoderOptions,
    private readonly stop: AbortController,
    private readonly slices: Slices,
    private readonly report: (counts: Counts) => void,
  ) {}

  /** Texts and tokens that are encoded, those of unfinished batches included. */
  get counts(): Counts {
    const { texts, tokens } = this.finished
    const sum = { texts, tokens }
    for (const part of this.parts) {
      sum.texts += part.texts
      sum.tokens += part.tokens
    }
    return sum
  }

  /** The vectors of one batch. */
  async rows(texts: readonly string[], settings: EncodeSettings): Promise<Rows> {
    const part: Counts = { texts: 0, tokens: 0 }
    this.parts.add(part)
    const result = await this.call(texts, settings, part)
    const { data, width } = await this.checked(result, texts.length)
    part.texts = texts.length
    if (result.tokenCounts !== undefined) part.tokens = result.tokenCounts.reduce((sum, count) => sum + count, 0)
    this.parts.delete(part)
    this.finished = { texts: this.finished.texts + part.texts, tokens: this.finished.tokens + part.tokens }
    this.report(this.counts)
    return { data, width }
  }

  /** The vectors of many texts, in batches. */
  async all(texts: readonly string[], batchSize: number, settings: EncodeSettings): Promise<Rows> {
    let data: Float32Array = new Float32Array(0)
    let [width, done] = [0, 0]
    for await (const { result } of this.overlapping(batches(texts, batchSize), (some) => this.rows(some, settings))) {
      if (done === 0) {
        width = result.width
        data = allocate(texts.length * width)
      }
      data.set(result.data, done)
      done += result.data.length
    }
    return { data, width }
  }

  /** The vectors of the tokens of one batch. */
  async tokens(texts: readonly string[]): Promise<EncodedTokens> {
    const part: Counts = { texts: 0, tokens: 0 }
    this.parts.add(part)
    const { encoder } = this
    if (encoder.encodeTokens === undefined)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        'Expected an encoder with encodeTokens for token-classification but received one without',
      )
    const result = await this.call(texts, { kind: 'token' }, part)
    const checked = checkedTokens(result, texts)
    await this.checkFinite(checked.data, checked.shape[1])
    this.parts.delete(part)
    this.finished = {
      texts: this.finished.texts + texts.length,
      tokens: this.finished.tokens + checked.shape[0],
    }
    this.report(this.counts)
    return checked
  }

  /**
   * Begins work on an item before the work on the one before it has ended; results in order. After a failure, and when
   * the loop is left, nothing that was begun is still running.
   */
  async *overlapping<T, R>(
    items: AsyncIterable<T>,
    begin: (item: T) => Promise<R>,
  ): AsyncGenerator<{ item: T; result: R }> {
    const underWay: { item: T; result: Promise<R> }[] = []
    const oldest = async (): Promise<{ item: T; result: R }> => {
      const { item, result } = underWay[0]!
      const done = await result
      underWay.shift()
      return { item, result: done }
    }
    try {
      for await (const item of items) {
        const result = begin(item)
        result.catch(() => undefined) // It is awaited in its turn.
        underWay.push({ item, result })
        if (underWay.length >= UNDER_WAY) yield await oldest()
      }
      while (underWay.length > 0) yield await oldest()
    } finally {
      if (underWay.length > 0) this.stop.abort()
      await Promise.allSettled(underWay.map(({ result }) => result))
    }
  }

  private async call(
    texts: readonly string[],
    settings: EncodeSettings,
    part: Counts,
  ): Promise<EncodedTexts | EncodedTokens> {
    const { kind, prompt, promptName, dimensions, normalize } = settings
    const options: EncoderOptions = { ...this.options, signal: this.stop.signal }
    if (dimensions !== undefined) options.dimensions = dimensions
    if (normalize !== undefined) options.normalize = normalize
    if (prompt !== undefined || promptName !== undefined) {
      delete options.prompt
      delete options.promptName
      Object.assign(options, prompt === undefined ? { promptName } : { prompt })
    }
    options.onProgress = ({ done, tokens }) => {
      part.texts = done
      part.tokens = tokens
      try {
        this.report(this.counts)
      } catch (error) {
        this.failure = error
        throw error
      }
    }
    const { encoder } = this
    try {
      if (kind === 'token') return await encoder.encodeTokens!(texts, options)
      if (kind === 'query' && encoder.encodeQuery !== undefined) return await encoder.encodeQuery(texts, options)
      if (kind === 'document' && encoder.encodeDocument !== undefined)
        return await encoder.encodeDocument(texts, options)
      return await encoder.encode(texts, options)
    } catch (error) {
      if (this.failure !== null) throw this.failure
      if (error instanceof EmbedCoreError) throw error
      throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `The encoder threw: ${reason(error)}`, { cause: error })
    }
  }

  private async checked(result: unknown, texts: number): Promise<Rows> {
    const { data, shape } = fieldsOf(result)
    const width = shape?.[1]
    if (!types.isFloat32Array(data) || shape?.[0] !== texts || data.length !== texts * Number(width))
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_SHAPE_MISMATCH',
        `Expected ${texts} float32 vectors from the encoder but received ${show(data)} with the shape ` +
          `[${String(shape?.[0])}, ${String(width)}]`,
      )
    this.width ??= width as number
    if (width !== this.width)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_SHAPE_MISMATCH',
        `Expected vectors of ${this.width} numbers from the encoder but received vectors of ${String(width)}`,
      )
    await this.checkFinite(data, this.width, `text {} of a batch of ${texts}`)
    return { data, width: this.width }
  }

  /** `what`: whose vector it is, with {} in the place of its number. */
  private async checkFinite(data: Float32Array, width: number, what = 'token {} of a batch'): Promise<void> {
    await eachInSlices(data.length, this.slices, (i) => {
      if (!Number.isFinite(data[i]))
        throw new EmbedCoreError(
          'ERR_EMBEDCORE_NON_FINITE',
          `Expected finite numbers from the encoder but received ${data[i]} in the vector of ` +
            what.replace('{}', String(Math.floor(i / width))),
        )
    })
  }
}

function checkedTokens(result: unknown, texts: readonly string[]): EncodedTokens {
  const { data, shape } = fieldsOf(result)
  const { tokenCounts, charOffsets } = (result ?? {}) as Partial<EncodedTokens>
  const [tokens, width] = [Number(shape?.[0]), Number(shape?.[1])]
  const right =
    types.isFloat32Array(data) &&
    data.length === tokens * width &&
    tokenCounts?.length === texts.length &&
    tokenCounts.reduce((sum, count) => sum + count, 0) === tokens &&
    charOffsets?.length === 2 * tokens
  if (right) return { data, shape: [tokens, width], tokenCounts, charOffsets }
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_SHAPE_MISMATCH',
    `Expected vectors, counts and offsets of the tokens of ${texts.length} texts from the encoder but received ` +
      `${show(data)} with the shape [${String(shape?.[0])}, ${String(shape?.[1])}]`,
  )
}

function fieldsOf(result: unknown): { data?: unknown; shape?: readonly unknown[] } {
  if (typeof result !== 'object' || result === null) return {}
  try {
    const { data, shape } = result as { data?: unknown; shape?: unknown }
    return { data, ...(Array.isArray(shape) ? { shape: shape as unknown[] } : {}) }
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_SHAPE_MISMATCH', `Reading the encoder's result failed: ${reason(error)}`, {
      cause: error,
    })
  }
}

async function* batches<T>(items: readonly T[], size: number): AsyncGenerator<readonly T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size)
}

/** Groups of any size in batches of one size. Groups in memory follow each other without a wait, hence `slices`. */
export async function* regrouped<T>(
  groups: AsyncIterable<readonly T[]>,
  size: number,
  slices: Slices,
): AsyncGenerator<T[]> {
  let held: T[] = []
  for await (const group of groups) {
    if (slices.over) await slices.next()
    for (const item of group) {
      held.push(item)
      if (held.length < size) continue
      yield held
      held = []
    }
  }
  if (held.length > 0) yield held
}
