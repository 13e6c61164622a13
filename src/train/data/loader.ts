/**
 * Batches ready for a step: rows read, texts tokenised. The next batches are made while a step runs, as many as `ahead`
 * says; then the loader waits until one is taken. A failure comes in the place of its batch, after those before it.
 */
import { abortError } from '../../core/abort.js'
import { type EmbedCoreError, toEmbedCoreError, withOwnStack } from '../../core/errors.js'
import type { Side } from '../../core/names.js'
import type { TokenizedBatch } from '../../model/tokenizer-packing.js'
import { type BatchSampler, type SampledBatch, type SamplerState } from '../samplers/sampler.js'
import { type Shard, shardOf, WHOLE } from '../samplers/shard.js'
import { assemble } from './assemble.js'
import type { TrainingData } from './open.js'
import type { DataKind } from './rows.js'
import { type ColumnTokenizer, tokenizeColumn } from './tokenize-column.js'

/** A batch of training data, tokenised. */
export interface TrainingBatch {
  readonly epoch: number
  /** Within the epoch, from 0. */
  readonly index: number
  /** Name of the source. */
  readonly source: string
  readonly kind: DataKind
  /** Numbers of the rows in their source. */
  readonly rows: Uint32Array
  /** Rows of the batch of all processes, and the place of the first row of this one in it. */
  readonly globalRows: number
  readonly firstRow: number
  /** The text columns in order, anchor first. */
  readonly columns: readonly {
    readonly name: string
    readonly texts: readonly string[]
    readonly tokens: TokenizedBatch
  }[]
  /** [rows, scoresPerRow]: score or label of texts, teacher scores, or the vector of a text; null = none. */
  readonly scores: Float32Array | null
  readonly scoresPerRow: number
  /** Numbers of classes or groups, one a row; equal numbers are equal names in all of the data. */
  readonly labels: Int32Array | null
  readonly categories: Int32Array | null
  readonly languages: Int32Array | null
  /** 32-bit hashes of ids. */
  readonly ids: Int32Array | null
  /** State of the sampler after this batch, for a checkpoint. */
  readonly state: SamplerState
  /** Where row i of the batch is, for messages: `pairs.jsonl:17`. */
  place(i: number): string
}

export interface LoaderOptions {
  tokenizer: ColumnTokenizer
  /** Null = whole texts; absent = the tokenizer's own limit. */
  maxTokens?: number | null
  /** Which end of a long text is cut; false = refuse it; absent = as the tokenizer's files say. */
  truncate?: Side | false
  /** How many batches are tokenised in advance. Default 2. */
  ahead?: number
  shard?: Shard
  signal?: AbortSignal | null
}

type Made = { batch: TrainingBatch } | { error: EmbedCoreError } | { end: true }

export class BatchLoader implements AsyncIterable<TrainingBatch> {
  private readonly made: Made[] = []
  private readonly stop = new AbortController()
  private readonly ahead: number
  private readonly shard: Shard
  private producing: Promise<void> | null = null
  /** Called when something was made, taken or stopped. */
  private changed: () => void = () => undefined
  private readonly onAbort = (): void => this.end(this.options.signal?.reason)

  constructor(
    private readonly data: TrainingData,
    private readonly sampler: BatchSampler,
    private readonly options: LoaderOptions,
  ) {
    this.ahead = options.ahead ?? 2
    this.shard = options.shard ?? WHOLE
    if (options.signal?.aborted === true) this.onAbort()
    options.signal?.addEventListener('abort', this.onAbort, { once: true })
  }

  /**
   * The next batch; null after the last epoch.
   * @throws What reading or tokenising its rows threw, coded; ERR_EMBEDCORE_ABORTED as soon as the signal is aborted.
   */
  async next(): Promise<TrainingBatch | null> {
    this.producing ??= this.produce()
    while (this.made.length === 0) {
      if (this.stop.signal.aborted) throw abortError(this.stop.signal)
      await this.change()
    }
    if (this.stop.signal.aborted) throw abortError(this.stop.signal)
    const first = this.made[0]!
    if ('end' in first) return null
    // The error stays: a loader that failed has no further batches.
    if ('error' in first) throw withOwnStack(first.error)
    this.made.shift()
    this.changed()
    return first.batch
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TrainingBatch, void, undefined> {
    try {
      for (let batch = await this.next(); batch !== null; batch = await this.next()) yield batch
    } finally {
      await this.close()
    }
  }

  /** Ends what is under way and waits for it. The data stay open. */
  async close(): Promise<void> {
    this.options.signal?.removeEventListener('abort', this.onAbort)
    this.end(undefined)
    await this.producing
  }

  private end(reason: unknown): void {
    this.stop.abort(reason)
    this.made.length = 0
    this.changed()
  }

  private async produce(): Promise<void> {
    const { signal } = this.stop
    try {
      while (!signal.aborted) {
        if (this.made.length >= this.ahead) {
          await this.change()
          continue
        }
        const sampled = await this.sampler.next()
        this.put(sampled === null ? { end: true } : { batch: await this.make(sampled) })
        if (sampled === null) return
      }
    } catch (error) {
      this.put({ error: toEmbedCoreError(error) })
    }
  }

  private put(made: Made): void {
    if (this.stop.signal.aborted) return
    this.made.push(made)
    this.changed()
  }

  /** Settles at the next change. Producer and consumer never wait at once: one waits for room, one for a batch. */
  private change(): Promise<void> {
    return new Promise((resolve) => {
      const before = this.changed
      this.changed = () => {
        this.changed = () => undefined
        before()
        resolve()
      }
    })
  }

  private async make(sampled: SampledBatch): Promise<TrainingBatch> {
    const source = this.data.sources[sampled.source]!
    const { from, to } = shardOf(sampled.rows.length, this.shard)
    const numbers = sampled.rows.subarray(from, to)
    const rows = sampled.read?.slice(from, to) ?? (await source.rows!.read(numbers))
    const { columns, rowPrompts, ...numbersOfRows } = assemble(
      source,
      rows,
      numbers,
      sampled.sourceEpoch,
      this.data.dictionaries,
    )
    const place = (i: number): string => (source.rows ?? source.stream)!.place(numbers[i]!)
    const { tokenizer, maxTokens, truncate } = this.options
    const settings = { tokenizer, maxTokens, truncate, signal: this.stop.signal }
    const tokenized: { name: string; texts: readonly string[]; tokens: TokenizedBatch }[] = []
    for (const [c, texts] of columns.entries()) {
      const prompt = source.prompts[c]!
      const prompts = c === 0 && rowPrompts !== null ? rowPrompts.map((own) => own ?? prompt) : prompt
      const tokens = await tokenizeColumn(texts, prompts, settings, place)
      tokenized.push({ name: source.format.columns[c]!, texts, tokens })
    }
    return {
      epoch: sampled.epoch,
      index: sampled.index,
      source: source.name,
      kind: source.format.kind,
      rows: numbers,
      globalRows: sampled.rows.length,
      firstRow: from,
      columns: tokenized,
      ...numbersOfRows,
      state: sampled.state,
      place,
    }
  }
}
