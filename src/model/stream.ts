/**
 * encodeStream: the vectors of an iterable of texts, in its order and in bounded memory. Texts are encoded while a slow
 * source produces the next ones.
 */
import { setImmediate } from 'node:timers/promises'
import { EmbedCoreError } from '../core/errors.js'
import { checkOptions, integer, invalidOption } from '../core/options.js'
import { reason, show } from '../core/show.js'
import type { Precision } from '../core/names.js'
import type { SentenceEmbeddings, VectorData } from '../core/types.js'
import { ENCODE_RULES } from './encode-options.js'
import type { SentenceOptions, StreamedEmbedding, StreamOptions } from './types.js'
import type { UnknownTokens } from './unknown-tokens.js'

const BATCH_SIZE = 128
const BATCHES_UNDER_WAY = 2

export interface EncodedBatch<P extends Precision> {
  vectors: SentenceEmbeddings<P>
  unknown: UnknownTokens
}

type Encode<P extends Precision> = (texts: string[], options: SentenceOptions<P>) => Promise<EncodedBatch<P>>

interface Batch<P extends Precision> {
  first: number
  texts: string[]
  result: Promise<EncodedBatch<P>>
}

export async function* encodeStream<P extends Precision>(
  /** Name of the model, for the warning of unknown texts. */
  model: string,
  encode: Encode<P>,
  source: AsyncIterable<string> | Iterable<string>,
  options?: StreamOptions<P>,
): AsyncGenerator<StreamedEmbedding<P>, void, undefined> {
  const { batchSize, call } = checkStreamOptions<P>(options)
  const iterator = open(source)
  const stop = new AbortController()
  const abort = (): void => stop.abort(call.signal?.reason)
  if (call.signal?.aborted === true) abort()
  call.signal?.addEventListener('abort', abort, { once: true })
  const underWay: Batch<P>[] = []
  const reader = new Reader(iterator, batchSize)
  let warned = false
  try {
    for (;;) {
      while (!reader.ended && underWay.length < BATCHES_UNDER_WAY) {
        // Wait for the source only if no batch is being encoded; otherwise take the texts that are ready.
        const texts = await reader.next(underWay.length === 0)
        if (texts.length === 0) break
        const result = encode(texts, { ...call, signal: stop.signal })
        result.catch(() => {}) // It is awaited below, after the batches before it.
        underWay.push({ first: reader.read - texts.length, texts, result })
      }
      const batch = underWay.shift()
      if (batch === undefined) return
      const { vectors, unknown } = await batch.result
      // In the order of the stream, so that the warning names its first such text.
      if (!warned) warned = unknown.warn(model, batch.first)
      const { row, tokenCounts, omittedTokens, unknownTokens } = vectors
      for (let i = 0; i < batch.texts.length; i++) {
        yield {
          index: batch.first + i,
          text: batch.texts[i]!,
          vector: row(i).slice() as VectorData<P>,
          tokenCount: tokenCounts[i]!,
          omittedTokens: omittedTokens[i]!,
          unknownTokens: unknownTokens[i]!,
        }
      }
    }
  } finally {
    call.signal?.removeEventListener('abort', abort)
    stop.abort()
    await Promise.allSettled(underWay.map(({ result }) => result))
    await reader.close()
  }
}

/** Options of encode that a stream does not have. */
const NOT_STREAMED = ['output', 'onProgress'] as const

const STREAM_RULES = { ...ENCODE_RULES, prefixTokens: integer(0), batchSize: integer(1, 65536) }

function checkStreamOptions<P extends Precision>(options: unknown): { batchSize: number; call: SentenceOptions<P> } {
  const { batchSize = BATCH_SIZE, ...call } = checkOptions(options, STREAM_RULES)
  for (const name of NOT_STREAMED)
    if (call[name] !== undefined) throw invalidOption(name, 'nothing (encodeStream has no such option)', call[name])
  if ((call.precision === 'int8' || call.precision === 'uint8') && call.ranges === undefined) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_NO_RANGES',
      `Expected ranges beside precision '${call.precision}' for a stream but received none; ` +
        'take them from embedCore.quantizationRanges(), so that all batches have the same',
    )
  }
  return { batchSize, call: call as SentenceOptions<P> }
}

function open(source: unknown): AsyncIterator<unknown> | Iterator<unknown> {
  let iterator: unknown
  try {
    const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } = Object(source) as Partial<
      AsyncIterable<unknown> & Iterable<unknown>
    >
    // A string is an iterable of its characters, but nobody wants those encoded.
    if (typeof source !== 'string') iterator = asynchronous?.call(source) ?? synchronous?.call(source)
  } catch (error) {
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_TEXT', `Reading the texts failed: ${reason(error)}`, {
      cause: error,
    })
  }
  if (typeof (iterator as Partial<Iterator<unknown>> | undefined)?.next === 'function')
    return iterator as AsyncIterator<unknown> | Iterator<unknown>
  throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_TEXT', `Expected an iterable of texts but received ${show(source)}`)
}

/** Reads a source in batches: at least one text, then as many as it has ready. */
class Reader {
  ended = false
  /** Texts handed out. */
  read = 0
  private waiting: Promise<IteratorResult<unknown>> | null = null

  constructor(
    private readonly iterator: AsyncIterator<unknown> | Iterator<unknown>,
    private readonly most: number,
  ) {}

  /** Empty when the source has ended or, unless `wait`, has nothing ready. */
  async next(wait: boolean): Promise<string[]> {
    const texts: string[] = []
    while (texts.length < this.most) {
      this.waiting ??= Promise.resolve(this.iterator.next())
      const patient = wait && texts.length === 0
      const result = patient ? await this.waiting : await Promise.race([this.waiting, setImmediate(null)])
      if (result === null) break
      this.waiting = null
      if (result.done === true) {
        this.ended = true
        break
      }
      if (typeof result.value !== 'string')
        throw new EmbedCoreError(
          'ERR_EMBEDCORE_INVALID_TEXT',
          `Expected a string for text ${this.read + texts.length} but received ${show(result.value)}`,
        )
      texts.push(result.value)
    }
    this.read += texts.length
    return texts
  }

  /**
   * Closes the source as leaving a for-await loop does. A generator that is waiting handles the return once its wait
   * ends.
   */
  async close(): Promise<void> {
    if (this.ended) return
    this.ended = true
    this.waiting?.catch(() => {})
    const closed = Promise.resolve(this.iterator.return?.()).catch(() => {})
    if (this.waiting === null) await closed
  }
}
