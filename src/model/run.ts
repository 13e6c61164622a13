/**
 * The way of one call's texts: cut into pieces that grow, each tokenised and handed to the native queue while the one
 * before it computes.
 * A few pieces are under way at a time, so that a call of a million texts neither fills the queue nor holds all its ids
 * at once.
 */
import type { RawBatch, RawJob, RawModel, RawPlan } from '../core/binding.js'
import { abortError } from '../core/abort.js'
import { EmbedCoreError, toEmbedCoreError } from '../core/errors.js'
import { allocate } from '../core/memory.js'
import type { TokenChunk } from '../core/results.js'
import { reason } from '../core/show.js'
import type { ResolvedEncode } from './encode-options.js'
import type { TextTokenizer, TokenizedBatch } from './tokenizer.js'

/**
 * The first piece is small, so that computing starts at once; later ones are larger, so that their number does not
 * matter.
 */
const FIRST_PIECE = { texts: 32, units: 1024 }
const LARGEST_PIECE = { texts: 512, units: 1 << 18 }
const PIECES_UNDER_WAY = 4

export interface Run {
  raw: RawModel
  plan: RawPlan
  tokenizer: TextTokenizer
  call: ResolvedEncode
  /** The longest sequence when the call does not name one; null = whole texts. */
  maxTokens: number | null
}

export interface RunResult {
  /** [texts, dimension]; empty for token output. */
  rows: Float32Array
  tokenCounts: Int32Array
  omittedTokens: Int32Array
  /** For token output, in the order of the texts. */
  chunks: TokenChunk[]
}

export async function runTexts(texts: readonly string[], run: Run): Promise<RunResult> {
  return new TextRun(texts, run).finish()
}

class TextRun {
  private readonly result: RunResult
  private readonly jobs = new Set<RawJob>()
  private readonly underWay = new Set<Promise<void>>()
  private failure: EmbedCoreError | null = null
  private doneTexts = 0
  private doneTokens = 0

  constructor(
    private readonly texts: readonly string[],
    private readonly run: Run,
  ) {
    const { call, plan } = run
    this.result = {
      rows: allocate(call.output === 'sentence' ? texts.length * plan.dimension : 0),
      tokenCounts: new Int32Array(texts.length),
      omittedTokens: new Int32Array(texts.length),
      chunks: [],
    }
  }

  async finish(): Promise<RunResult> {
    const { signal } = this.run.call
    const abort = (): void => this.fail(abortError(signal))
    if (signal?.aborted === true) throw abortError(signal)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      await this.submitAll()
    } catch (error) {
      this.fail(toEmbedCoreError(error))
    } finally {
      // Also after a failure: nothing of this call is under way once it has settled.
      await Promise.all(this.underWay)
      signal?.removeEventListener('abort', abort)
    }
    // Made anew here, in the caller's own chain of awaits, so that the stack leads to the call and not to a callback.
    if (this.failure !== null)
      throw new EmbedCoreError(this.failure.code, this.failure.message, { cause: this.failure.cause ?? this.failure })
    return this.result
  }

  private async submitAll(): Promise<void> {
    const { tokenizer, call, maxTokens } = this.run
    let most = FIRST_PIECE
    for (let first = 0; first < this.texts.length && this.failure === null;) {
      const piece = pieceFrom(this.texts, first, most)
      const batch = await tokenizer.encodeBatch(piece, {
        ...call.tokenize,
        maxTokens: call.tokenize.maxTokens ?? maxTokens,
        firstIndex: first,
      })
      while (this.underWay.size >= PIECES_UNDER_WAY) await Promise.race(this.underWay)
      if (this.failure !== null) return
      this.submit(first, batch)
      first += piece.length
      most = {
        texts: Math.min(2 * most.texts, LARGEST_PIECE.texts),
        units: Math.min(4 * most.units, LARGEST_PIECE.units),
      }
    }
  }

  private submit(first: number, batch: TokenizedBatch): void {
    const { call, plan, raw } = this.run
    const texts = batch.omitted.length
    const out =
      call.output === 'token'
        ? allocate(batch.ids.length * plan.dimension)
        : this.result.rows.subarray(first * plan.dimension, (first + texts) * plan.dimension)
    for (let i = 0; i < texts; i++) this.result.tokenCounts[first + i] = batch.offsets[i + 1]! - batch.offsets[i]!
    this.result.omittedTokens.set(batch.omitted, first)
    if (call.output === 'token') {
      this.result.chunks.push({
        data: out,
        ids: batch.ids,
        offsets: batch.offsets,
        omitted: batch.omitted,
        charOffsets: batch.charOffsets!,
      })
    }
    const { promise, settle } = pending()
    const job = raw.encode(plan, this.toRaw(first, batch), out, (error) => {
      this.jobs.delete(job)
      if (error) this.fail(toEmbedCoreError(error))
      else this.report(texts, batch.ids.length)
      this.underWay.delete(promise)
      settle()
    })
    this.jobs.add(job)
    this.underWay.add(promise)
  }

  private toRaw(first: number, { ids, offsets, promptTokens }: TokenizedBatch): RawBatch {
    const { prefixTokens, skipPrompt } = this.run.call
    let prefix = promptTokens
    if (typeof prefixTokens === 'number') prefix = new Int32Array(promptTokens.length).fill(prefixTokens)
    else if (prefixTokens !== null) prefix = Int32Array.from(prefixTokens.slice(first, first + promptTokens.length))
    return { ids, offsets, skip: skipPrompt ? promptTokens : null, prefix, first }
  }

  /** The first failure counts; the rest of the call is called off. */
  private fail(error: EmbedCoreError): void {
    if (this.failure !== null) return
    this.failure = error
    for (const job of this.jobs) job.abort()
  }

  private report(texts: number, tokens: number): void {
    this.doneTexts += texts
    this.doneTokens += tokens
    try {
      if (this.failure === null)
        this.run.call.onProgress?.({ done: this.doneTexts, total: this.texts.length, tokens: this.doneTokens })
    } catch (error) {
      this.fail(
        new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `The call's onProgress threw: ${reason(error)}`, {
          cause: error,
        }),
      )
    }
  }
}

function pending(): { promise: Promise<void>; settle: () => void } {
  let settle!: () => void
  const promise = new Promise<void>((resolve) => (settle = resolve))
  return { promise, settle }
}

function pieceFrom(texts: readonly string[], first: number, most: { texts: number; units: number }): string[] {
  let end = first
  for (let units = 0; end < texts.length && end - first < most.texts && units < most.units; end++)
    units += texts[end]!.length
  return texts.slice(first, end)
}
