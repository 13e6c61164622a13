/** Tokens of one column of a batch, each text after its prompt. */
import { EmbedCoreError } from '../../core/errors.js'
import type { Side } from '../../core/names.js'
import type { TokenizedBatch } from '../../model/tokenizer-packing.js'
import type { TextTokenizer } from '../../model/tokenizer.js'

/** The part of the tokenizer that is used here. */
export type ColumnTokenizer = Pick<TextTokenizer, 'encodeBatch'>

export interface ColumnSettings {
  tokenizer: ColumnTokenizer
  /** Null = whole texts; absent = the tokenizer's own limit. */
  maxTokens?: number | null
  /** Absent = as the tokenizer's files say. */
  truncate?: Side | false
  signal?: AbortSignal
}

/** `prompts`: one for all texts, or one per text. `place`: where a text comes from, for messages. */
export async function tokenizeColumn(
  texts: readonly string[],
  prompts: string | readonly string[],
  { tokenizer, ...settings }: ColumnSettings,
  place: (text: number) => string,
): Promise<TokenizedBatch> {
  const encode = async (some: readonly string[], prompt: string, placeOf: (i: number) => string) => {
    try {
      return await tokenizer.encodeBatch(some, { ...settings, prompt, wantOffsets: false })
    } catch (error) {
      throw withPlace(error, placeOf)
    }
  }
  if (typeof prompts === 'string') return encode(texts, prompts, place)
  const groups = new Map<string, number[]>()
  prompts.forEach((prompt, i) => {
    const group = groups.get(prompt)
    if (group === undefined) groups.set(prompt, [i])
    else group.push(i)
  })
  const parts: { batch: TokenizedBatch; members: number[] }[] = []
  for (const [prompt, members] of groups) {
    const some = members.map((i) => texts[i]!)
    parts.push({ batch: await encode(some, prompt, (i) => place(members[i]!)), members })
  }
  return join(parts, texts.length)
}

/** The texts of several batches as one, in the order of `members`. */
function join(parts: readonly { batch: TokenizedBatch; members: number[] }[], count: number): TokenizedBatch {
  const offsets = new Int32Array(count + 1)
  const promptTokens = new Int32Array(count)
  const omitted = new Int32Array(count)
  for (const { batch, members } of parts)
    members.forEach((text, i) => {
      offsets[text + 1] = batch.offsets[i + 1]! - batch.offsets[i]!
      promptTokens[text] = batch.promptTokens[i]!
      omitted[text] = batch.omitted[i]!
    })
  for (let i = 0; i < count; i++) offsets[i + 1]! += offsets[i]!
  const ids = new Int32Array(offsets[count]!)
  for (const { batch, members } of parts)
    members.forEach((text, i) => ids.set(batch.ids.subarray(batch.offsets[i], batch.offsets[i + 1]), offsets[text]))
  return { ids, offsets, promptTokens, omitted, charOffsets: null }
}

/** The tokenizer counts texts from 0; the message says which row that is. */
function withPlace(error: unknown, place: (text: number) => string): unknown {
  if (!(error instanceof EmbedCoreError)) return error
  const text = /\btext (\d+)\b/.exec(error.message)?.[1]
  if (text === undefined) return error
  return new EmbedCoreError(error.code, `${place(Number(text))}: ${error.message}`, { cause: error })
}
