/**
 * The path of one call's texts. They are cut into pieces of growing size; each is tokenised and queued while the one
 * before it is computed. Only a few pieces are queued at a time, so that a call of a million texts neither fills the
 * queue nor holds all its ids in memory. For token output all texts are tokenised first, because workers write into the
 * result, whose number of rows must be known before.
 */
import type { RawAdapter, RawBatch, RawCall, RawModel, RawPlan } from '../core/binding.js'
import { abortError } from '../core/abort.js'
import { EmbedCoreError, toEmbedCoreError, withOwnStack } from '../core/errors.js'
import { allocate } from '../core/memory.js'
import { reason } from '../core/show.js'
import type { ResolvedEncode } from './encode-options.js'
import type { TextTokenizer } from './tokenizer.js'
import type { TokenizedBatch } from './tokenizer-packing.js'

/**
 * The first piece is small, so that computing starts early; later ones are larger, so that the cost per piece does not
 * matter.
 */
const FIRST_PIECE = { texts: 32, units: 1024 }
const LARGEST_PIECE = { texts: 512, units: 1 << 18 }
const PIECES_UNDER_WAY = 4

export interface Run {
  raw: RawModel
  plan: RawPlan
  adapter: RawAdapter | null
  tokenizer: TextTokenizer
  call: ResolvedEncode
  /** The longest sequence when the call does not name one; null = whole texts. */
  maxTokens: number | null
}

export interface RunResult {
  /** [texts, dimension], or [tokens, dimension] for token output. */
  rows: Float32Array
  tokenCounts: Int32Array
  omittedTokens: Int32Array
  /** For token output, of all texts. */
  tokens: { ids: Int32Array; charOffsets: Int32Array } | null
}

export async function runTexts(texts: readonly string[], run: Run): Promise<RunResult> {
  return new TextRun(texts, run).finish()
}

/** Some texts of the call, tokenised. */
interface Piece {
  first: number
  batch: TokenizedBatch
}

class TextRun {
  private readonly tokenCounts: Int32Array
  private readonly omittedTokens: Int32Array
  private readonly underWay = new Set<Promise<void>>()
  private rawCall: RawCall | null = null
  private failure: EmbedCoreError | null = null
  private doneTexts = 0
  private doneTokens = 0

  constructor(
    private readonly texts: readonly string[],
    private readonly run: Run,
  ) {
    this.tokenCounts = allocate(texts.length, Int32Array)
    this.omittedTokens = allocate(texts.length, Int32Array)
  }

  async finish(): Promise<RunResult> {
    const { signal, output } = this.run.call
    const abort = (): void => this.fail(abortError(signal))
    if (signal?.aborted === true) throw abortError(signal)
    signal?.addEventListener('abort', abort, { once: true })
    let result: Pick<RunResult, 'rows' | 'tokens'> | null = null
    try {
      result = output === 'token' ? await this.runTokens() : await this.runSentences()
    } catch (error) {
      this.fail(toEmbedCoreError(error))
    } finally {
      // Also after a failure, so that nothing of this call runs after its promise has settled.
      await Promise.all(this.underWay)
      signal?.removeEventListener('abort', abort)
    }
    // A new error is created here, in the caller's chain of awaits, so that its stack leads to the call and not to a
    // callback.
    if (this.failure !== null) throw withOwnStack(this.failure)
    const { tokenCounts, omittedTokens } = this
    return { ...result!, tokenCounts, omittedTokens }
  }

  private async runSentences(): Promise<Pick<RunResult, 'rows' | 'tokens'>> {
    const rows = this.open(this.texts.length)
    for await (const { first, batch } of this.tokenized()) await this.submit(first, batch, first)
    return { rows, tokens: null }
  }

  private async runTokens(): Promise<Pick<RunResult, 'rows' | 'tokens'>> {
    const pieces: Piece[] = []
    for await (const piece of this.tokenized()) pieces.push(piece)
    const count = pieces.reduce((sum, { batch }) => sum + batch.ids.length, 0)
    const ids = allocate(count, Int32Array)
    const charOffsets = allocate(2 * count, Int32Array)
    const rows = this.open(count)
    let token = 0
    for (const { first, batch } of pieces) {
      ids.set(batch.ids, token)
      charOffsets.set(batch.charOffsets!, 2 * token)
      await this.submit(first, batch, token)
      token += batch.ids.length
    }
    return { rows, tokens: { ids, charOffsets } }
  }

  /** Starts the native call with memory for this number of rows. */
  private open(rows: number): Float32Array {
    const { raw, plan, adapter } = this.run
    const out = allocate(rows * plan.dimension)
    this.rawCall = raw.call(plan, out, adapter)
    return out
  }

  /** The texts in pieces; ends early when the call has failed. */
  private async *tokenized(): AsyncGenerator<Piece> {
    const { tokenizer, call, maxTokens } = this.run
    let most = FIRST_PIECE
    for (let first = 0; first < this.texts.length && this.failure === null;) {
      const piece = pieceFrom(this.texts, first, most)
      const batch = await tokenizer.encodeBatch(piece, {
        ...call.tokenize,
        maxTokens: call.tokenize.maxTokens ?? maxTokens,
        firstIndex: first,
      })
      const texts = batch.omitted.length
      for (let i = 0; i < texts; i++) this.tokenCounts[first + i] = batch.offsets[i + 1]! - batch.offsets[i]!
      this.omittedTokens.set(batch.omitted, first)
      yield { first, batch }
      first += texts
      most = {
        texts: Math.min(2 * most.texts, LARGEST_PIECE.texts),
        units: Math.min(4 * most.units, LARGEST_PIECE.units),
      }
    }
  }

  /** Queues a piece natively, once fewer than the allowed number are queued. */
  private async submit(first: number, batch: TokenizedBatch, firstRow: number): Promise<void> {
    while (this.underWay.size >= PIECES_UNDER_WAY) await Promise.race(this.underWay)
    if (this.failure !== null) return
    const raw = this.toRaw(first, batch)
    // Reported after an await, and so in the caller's async context (AsyncLocalStorage), not in the addon's callback.
    const computed = new Promise<unknown>((resolve) => {
      try {
        this.rawCall!.submit(raw, firstRow, resolve)
      } catch (error) {
        resolve(error)
      }
    })
    const piece = computed.then((error) => {
      this.underWay.delete(piece)
      if (error) this.fail(toEmbedCoreError(error))
      else this.report(batch.omitted.length, batch.ids.length)
    })
    this.underWay.add(piece)
  }

  private toRaw(first: number, { ids, offsets, promptTokens }: TokenizedBatch): RawBatch {
    const { prefixTokens, skipPrompt } = this.run.call
    let prefix = promptTokens
    if (typeof prefixTokens === 'number') prefix = new Int32Array(promptTokens.length).fill(prefixTokens)
    else if (prefixTokens !== null) prefix = Int32Array.from(prefixTokens.slice(first, first + promptTokens.length))
    return { ids, offsets, skip: skipPrompt ? promptTokens : null, prefix, first }
  }

  /** The first failure counts; the rest of the call is aborted. */
  private fail(error: EmbedCoreError): void {
    if (this.failure !== null) return
    this.failure = error
    this.rawCall?.abort()
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

function pieceFrom(texts: readonly string[], first: number, most: { texts: number; units: number }): string[] {
  let end = first
  for (let units = 0; end < texts.length && end - first < most.texts && units < most.units; end++)
    units += texts[end]!.length
  return texts.slice(first, end)
}
