/**
 * Packs the library's encodings into arrays for the native side. Reading an encoding creates a JavaScript array of its
 * ids, and one per token for its offsets; therefore large numbers of tokens are read over several turns of the event
 * loop.
 */
import { setImmediate } from 'node:timers/promises'
import type { Encoding } from 'tokenizers'
import { abortError } from '../core/abort.js'
import { EmbedCoreError } from '../core/errors.js'
import type { Side } from '../core/names.js'
import { clip, show } from '../core/show.js'
import { codePointMap, writeOffsets } from './offsets.js'
import type { UnknownTokens } from './unknown-tokens.js'

export interface TokenizedBatch {
  ids: Int32Array
  /** [texts + 1]: text i is ids[offsets[i]..offsets[i + 1]). */
  offsets: Int32Array
  /** Leading tokens of each text that belong to special tokens and prompt; 0 without a prompt. */
  promptTokens: Int32Array
  /** Tokens cut from each text. */
  omitted: Int32Array
  /** [tokens, 2] UTF-16 units in the text as given; special and prompt tokens have 0, 0. */
  charOffsets: Int32Array | null
}

/** The data of every text. */
export interface Cut {
  keep: number | null
  side: Side | false
  maxTokens: number | null
}

/** Tokens read in one turn of the event loop, which take some milliseconds: without and with their offsets. */
const IDS_PER_TURN = 1 << 15
const OFFSETS_PER_TURN = 1 << 12

/** The tokens of a call's texts, packed into typed arrays that grow. */
export class PackedEncodings {
  private ids: Int32Array
  private chars: Int32Array | null
  private readonly offsets: Int32Array
  private readonly promptTokens: Int32Array
  private readonly omitted: Int32Array
  private length = 0
  private readonly perTurn: number
  private readInTurn = 0

  constructor(
    count: number,
    private readonly before: readonly number[],
    private readonly after: readonly number[],
    private readonly promptUnits: number,
    private readonly promptLength: number,
    private readonly cut: Cut,
    wantOffsets: boolean,
    private readonly firstIndex = 0,
    private readonly unknownId: number | null = null,
    private readonly unknown?: UnknownTokens,
  ) {
    this.offsets = new Int32Array(count + 1)
    this.promptTokens = new Int32Array(count)
    this.omitted = new Int32Array(count)
    this.ids = new Int32Array(Math.max(16, count * 16))
    this.chars = wantOffsets ? new Int32Array(2 * this.ids.length) : null
    this.perTurn = wantOffsets ? OFFSETS_PER_TURN : IDS_PER_TURN
  }

  /**
   * Reads a text's tokens, as many as fit in a turn at a time. The texts of a call are read one after the other.
   * @throws ERR_EMBEDCORE_TEXT_TOO_LONG, _ABORTED
   */
  async add(index: number, input: string, encoding: Encoding, signal: AbortSignal | null): Promise<void> {
    const { before, after, cut, promptLength } = this
    const given = encoding.getLength()
    const own = given - before.length - after.length
    const kept = cut.keep === null ? own : Math.min(own, cut.keep)
    const omitted = own - kept
    if (omitted > 0 && cut.side === false) {
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_TEXT_TOO_LONG',
        `Expected at most ${cut.maxTokens} tokens for text ${this.firstIndex + index} (truncate is false) ` +
          `but received ${given}: ${show(clip(input, 40))}`,
      )
    }
    const first = before.length + (cut.side === 'left' ? omitted : 0)
    const start = this.length
    const total = before.length + kept + after.length
    this.reserve(total)
    this.ids.set(before, start)
    await this.read(encoding, first, first + kept, start + before.length, input, signal)
    this.ids.set(after, start + before.length + kept)
    this.length = start + total
    this.offsets[index + 1] = this.length
    this.omitted[index] = omitted
    // If the left end is cut, the prompt is cut first. (The reference counts as if the prompt were still there, and so
    // leaves out text.)
    const prompt = cut.side === 'left' ? Math.max(before.length, promptLength - omitted) : promptLength
    this.promptTokens[index] = promptLength === 0 ? 0 : Math.min(prompt, total)
    this.countUnknown(index, start + Math.max(before.length, this.promptTokens[index]!), this.length - after.length)
  }

  /** Writes tokens [from, to) of an encoding to `place` and after. */
  private async read(
    encoding: Encoding,
    from: number,
    to: number,
    place: number,
    input: string,
    signal: AbortSignal | null,
  ): Promise<void> {
    const map = this.chars === null ? null : codePointMap(input)
    let position = 0
    for (const part of await this.parts(encoding, signal)) {
      const count = part.getLength()
      const first = Math.max(from, position)
      const end = Math.min(to, position + count)
      if (first < end) {
        await this.takeTurn(count, signal)
        const ids = part.getIds()
        const at = place + first - from
        for (let i = first; i < end; i++) this.ids[at + i - first] = ids[i - position]!
        if (this.chars !== null)
          writeOffsets(part.getOffsets(), first - position, end - position, map, this.promptUnits, this.chars, at)
      }
      position += count
    }
  }

  /** The encoding in parts that fit in a turn. (The library takes tens of milliseconds for a list of all offsets.) */
  private async parts(encoding: Encoding, signal: AbortSignal | null): Promise<Encoding[]> {
    if (encoding.getLength() <= this.perTurn) return [encoding]
    await this.takeTurn(this.perTurn, signal)
    encoding.truncate(this.perTurn, 0, 'right')
    await this.takeTurn(this.perTurn, signal)
    return [encoding, ...encoding.getOverflowing()]
  }

  /** Waits for the next turn of the event loop if this one has no room for that many more tokens. */
  private async takeTurn(tokens: number, signal: AbortSignal | null): Promise<void> {
    if (this.readInTurn > 0 && this.readInTurn + tokens > this.perTurn) {
      await setImmediate()
      this.readInTurn = 0
      if (signal?.aborted === true) throw abortError(signal)
    }
    this.readInTurn += tokens
  }

  /** Counts in the text's own tokens that are kept: ids[from .. to). */
  private countUnknown(index: number, from: number, to: number): void {
    if (this.unknown === undefined || this.unknownId === null) return
    let count = 0
    for (let i = from; i < to; i++) if (this.ids[i] === this.unknownId) count++
    if (count > 0) this.unknown.add(this.firstIndex + index, count, count === to - from)
  }

  finish(): TokenizedBatch {
    const { offsets, promptTokens, omitted } = this
    return {
      ids: this.ids.slice(0, this.length),
      offsets,
      promptTokens,
      omitted,
      charOffsets: this.chars?.slice(0, 2 * this.length) ?? null,
    }
  }

  private reserve(more: number): void {
    const needed = this.length + more
    if (needed <= this.ids.length) return
    const size = Math.max(needed, 2 * this.ids.length)
    const { ids, chars } = this
    this.ids = new Int32Array(size)
    this.ids.set(ids.subarray(0, this.length))
    if (chars === null) return
    this.chars = new Int32Array(2 * size)
    this.chars.set(chars.subarray(0, 2 * this.length))
  }
}
