/**
 * encodeStream: any iterable of texts to vectors in its order, with bounded memory and without waiting for a slow
 * source.
 */
import { setImmediate } from 'node:timers/promises'
import { EmbedCoreError } from '../core/errors.js'
import { integer, invalidOption } from '../core/options.js'
import { show } from '../core/show.js'
import type { Precision } from '../core/names.js'
import type { SentenceEmbeddings } from '../core/types.js'
import type { EncodeOptions, SentenceOptions, StreamedEmbedding, StreamOptions } from './types.js'

const BATCH_SIZE = 128
const BATCHES_UNDER_WAY = 2

type Encode<P extends Precision> = (texts: string[], options: SentenceOptions<P>) => Promise<SentenceEmbeddings<P>>

interface Batch<P extends Precision> {
  first: number
  texts: string[]
  vectors: Promise<SentenceEmbeddings<P>>
}

export async function* encodeStream<P extends Precision>(
  encode: Encode<P>,
  source: AsyncIterable<string> | Iterable<string>,
  options: StreamOptions<P> = {},
): AsyncGenerator<StreamedEmbedding<P>, void, undefined> {
  const { batchSize, call } = checkStreamOptions(options)
  const iterator = open(source)
  const stop = new AbortController()
  const signal = call.signal ? AbortSignal.any([call.signal, stop.signal]) : stop.signal
  const underWay: Batch<P>[] = []
  const reader = new Reader(iterator, batchSize)
  try {
    for (;;) {
      while (!reader.ended && underWay.length < BATCHES_UNDER_WAY) {
        // With nothing to encode there is only the source to wait for; with something, only what it gives at once is
        // taken.
        const texts = await reader.next(underWay.length === 0)
        if (texts.length === 0) break
        const vectors = encode(texts, { ...call, signal } as SentenceOptions<P>)
        vectors.catch(() => {}) // It is awaited below, after the batches before it.
        underWay.push({ first: reader.read - texts.length, texts, vectors })
      }
      const batch = underWay.shift()
      if (batch === undefined) return
      const { row, tokenCounts, omittedTokens } = await batch.vectors
      for (let i = 0; i < batch.texts.length; i++) {
        yield {
          index: batch.first + i,
          text: batch.texts[i]!,
          vector: row(i).slice() as StreamedEmbedding<P>['vector'],
          tokenCount: tokenCounts[i]!,
          omittedTokens: omittedTokens[i]!,
        }
      }
    }
  } finally {
    stop.abort()
    await Promise.allSettled(underWay.map(({ vectors }) => vectors))
    await reader.close()
  }
}

function checkStreamOptions<P extends Precision>(
  options: StreamOptions<P>,
): { batchSize: number; call: EncodeOptions } {
  if (typeof options !== 'object' || options === null)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected an object of options but received ${show(options)}`,
    )
  const { batchSize = BATCH_SIZE, ...call } = options
  const rule = integer(1, 65536)
  if (rule.read(batchSize) !== batchSize) throw invalidOption('batchSize', rule.expected, batchSize)
  for (const name of ['output', 'onProgress'] as const) {
    if ((call as EncodeOptions)[name] !== undefined)
      throw invalidOption(name, 'nothing (encodeStream has none)', (call as EncodeOptions)[name])
  }
  if ((call.precision === 'int8' || call.precision === 'uint8') && call.ranges === undefined) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_NO_RANGES',
      `Expected ranges beside precision '${call.precision}': each batch of a stream would get its own. Take them from embedCore.quantizationRanges()`,
    )
  }
  return { batchSize, call }
}

function open(source: AsyncIterable<string> | Iterable<string>): AsyncIterator<unknown> | Iterator<unknown> {
  if (typeof source === 'object' && source !== null) {
    if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]()
    if (Symbol.iterator in source) return source[Symbol.iterator]()
  }
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
   * As leaving a for-await loop does. A generator that waits for something itself takes the return when it comes back.
   */
  async close(): Promise<void> {
    if (this.ended) return
    this.ended = true
    this.waiting?.catch(() => {})
    const closed = Promise.resolve(this.iterator.return?.()).catch(() => {})
    if (this.waiting === null) await closed
  }
}
