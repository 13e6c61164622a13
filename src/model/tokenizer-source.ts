/**
 * From tokenizer.json to the library's tokenizer, with short turns of the event loop. The library builds a tokenizer
 * from a whole file in one synchronous call, which takes about a millisecond for a thousand pieces. It reads only the
 * models of type WordPiece and BPE on another thread; so the addon takes the file apart, the library reads such a model
 * from the vocabulary alone, and the rest, which is small, is built around it. JavaScript never parses a vocabulary.
 */
import { setImmediate } from 'node:timers/promises'
import { AddedToken, BPE, type Model as LibraryModel, Tokenizer, WordPiece } from 'tokenizers'
import type { RawTokenizerFile } from '../core/binding.js'
import { EmbedCoreError } from '../core/errors.js'
import { Fields, type JsonValue, parseJson, readText } from '../core/json-file.js'
import { native } from '../core/native.js'
import { reason } from '../core/show.js'

export interface TokenizerSource {
  tokenizer: Tokenizer
  /** The file; its model has an empty `vocab` and no `merges`. */
  json: Fields
  /** The largest id of the vocabulary; -1 = it is empty. */
  largestId: number
}

/** Vocabularies of 250,000 pieces take 20 MB; no tokenizer is nearly as large as this. */
export const LONGEST_TOKENIZER = 256 * 1024 * 1024

/** The tokenizer of a tokenizer.json; null = there is no such file. */
export async function openTokenizer(file: string): Promise<TokenizerSource | null> {
  const parts = await takeApart(file)
  if (parts !== null) {
    try {
      const json = Fields.of(parseJson(parts.outline, file), file)
      const tokenizer = (await fromModelFiles(parts, json)) ?? Tokenizer.fromFile(file)
      return { tokenizer, json, largestId: parts.largestId }
    } catch {
      // Reading the file as a whole gives the error its usual words.
    } finally {
      parts.release()
    }
  }
  const text = await readText(file, LONGEST_TOKENIZER)
  return text === null ? null : fromWhole(parseJson(text, file), text, file)
}

/** A tokenizer of the JSON of a tokenizer.json, which is `text` where that is known. */
export async function fromWhole(value: JsonValue, text: string | null, file: string): Promise<TokenizerSource> {
  const json = Fields.of(value, file)
  const largestId = largestOf(json.raw('model'))
  await setImmediate()
  const whole = text ?? JSON.stringify(value)
  await setImmediate()
  return { tokenizer: build(whole, file), json, largestId }
}

function build(text: string, file: string): Tokenizer {
  try {
    return Tokenizer.fromString(text)
  } catch (error) {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_FILE',
      `${file} is not a tokenizer the tokenizers library can read: ${reason(error)}`,
      { cause: error },
    )
  }
}

function largestOf(model: JsonValue | undefined): number {
  const vocabulary = typeof model === 'object' && model !== null && !Array.isArray(model) ? model['vocab'] : undefined
  if (Array.isArray(vocabulary)) return vocabulary.length - 1
  let largest = -1
  if (typeof vocabulary === 'object' && vocabulary !== null)
    for (const id of Object.values(vocabulary)) if (typeof id === 'number' && id > largest) largest = id
  return largest
}

function takeApart(file: string): Promise<RawTokenizerFile | null> {
  return new Promise((resolve, reject) => {
    native().tokenizerFile(file, (error, parts) => {
      if (error !== null) reject(error)
      else resolve(parts ?? null)
    })
  })
}

/** null = the library must read the file as a whole. */
async function fromModelFiles(parts: RawTokenizerFile, json: Fields): Promise<Tokenizer | null> {
  const added = addedTokens(json.raw('added_tokens'))
  const model = json.fields('model')
  if (parts.vocab === null || parts.merges === null || added === null || model === null) return null
  const reading = readModel(parts.vocab, parts.merges, model)
  if (reading === null) return null
  const [read] = await Promise.allSettled([reading])
  // Without its tokens, whose ids depend on the vocabulary. Everything else in the file is checked here.
  const tokenizer = Tokenizer.fromString(JSON.stringify({ ...json.all, added_tokens: [] }))
  if (read.status === 'rejected') return null
  tokenizer.setModel(read.value)
  tokenizer.addAddedTokens(added)
  return tokenizer
}

function readModel(vocab: string, merges: string, model: Fields): Promise<LibraryModel> | null {
  const unkToken = model.text('unk_token', null) ?? undefined
  const continuingSubwordPrefix = model.text('continuing_subword_prefix', null) ?? undefined
  if (model.raw('type') === 'WordPiece') {
    const maxInputCharsPerWord = model.integer('max_input_chars_per_word', null, 0) ?? undefined
    return WordPiece.fromFile(vocab, { unkToken, continuingSubwordPrefix, maxInputCharsPerWord })
  }
  // The library has no option for these two.
  if (model.has('dropout') || model.flag('ignore_merges', false)) return null
  const endOfWordSuffix = model.text('end_of_word_suffix', null) ?? undefined
  const fuseUnk = model.flag('fuse_unk', false)
  const byteFallback = model.flag('byte_fallback', false)
  const options = { unkToken, continuingSubwordPrefix, endOfWordSuffix, fuseUnk, byteFallback }
  return BPE.fromFile(vocab, merges, options)
}

/** `added_tokens`, or null where an entry lacks one of the fields that the library asks for. */
function addedTokens(value: JsonValue | undefined): AddedToken[] | null {
  if (value === undefined) return []
  if (!Array.isArray(value)) return null
  const tokens = value.map((entry) => {
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return null
    const { id, content, special, normalized, single_word: singleWord, lstrip: leftStrip, rstrip: rightStrip } = entry
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || typeof content !== 'string') return null
    const flags = { normalized, singleWord, leftStrip, rightStrip }
    return typeof special === 'boolean' && areFlags(flags) ? new AddedToken(content, special, flags) : null
  })
  return tokens.includes(null) ? null : (tokens as AddedToken[])
}

function areFlags<Name extends string>(flags: Record<Name, unknown>): flags is Record<Name, boolean> {
  return Object.values(flags).every((flag) => typeof flag === 'boolean')
}
