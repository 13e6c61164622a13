/**
 * Texts to token ids: the official `tokenizers` library on its own threads, with the truncation, prompts and special
 * tokens of the reference. Ids come back packed, ready for the native side. Truncation is done here and not by the
 * library, whose setting is shared by all calls and which does not say how much it cut; so calls can overlap.
 */
import type { Encoding } from 'tokenizers'
import { abortError } from '../core/abort.js'
import { EmbedCoreError } from '../core/errors.js'
import type { ModelKind, Side } from '../core/names.js'
import { reason, show } from '../core/show.js'
import { type SpecialsAround, specialsAround } from './specials.js'
import { type LoadedTokenizer, loadTokenizer } from './tokenizer-files.js'
import { type Cut, PackedEncodings, type TokenizedBatch } from './tokenizer-packing.js'
import type { UnknownTokens } from './unknown-tokens.js'

export interface TokenizerOptions {
  /**
   * Static models have no special tokens and obey the truncation stored in their tokenizer.json. Default
   * `'transformer'`.
   */
  kind?: ModelKind
  lowerCase: boolean | null
  /** Tokens a text is cut to when a call does not say; null = whole. */
  maxTokens: number | null
}

export interface TokenizeRequest {
  /** null = whole texts; absent = the tokenizer's own limit. */
  maxTokens?: number | null
  /** Which end is cut; false = refuse a text that is too long; absent = as the tokenizer's files say. */
  truncate?: Side | false
  prompt?: string
  /** Whether to add special tokens. Default: yes, but for static models. */
  specials?: boolean
  wantOffsets: boolean
  /** Number of the first text in the caller's list, for errors. Default 0. */
  firstIndex?: number
  /** Checked between pieces of a large call. */
  signal?: AbortSignal
  /** Counts the unknown tokens of all texts of the call; absent = they are not counted. */
  unknown?: UnknownTokens
}

/**
 * A large call is tokenised in pieces, so that the event loop and other calls get their turn and memory stays bounded.
 */
const PIECE_TEXTS = 4096
const PIECE_UNITS = 1 << 19
/** The number of cached prompts is limited, because a caller may use a different prompt in every call. */
const REMEMBERED_PROMPTS = 64

export class TextTokenizer {
  /** The vocabulary without added tokens. */
  readonly baseVocabSize: number
  readonly maxId: number
  /** Tokens a text is cut to when a call does not say. */
  readonly maxTokens: number | null
  readonly truncationSide: Side
  /** Ids the post-processor puts before and after every text. */
  private readonly before: number[]
  private readonly after: number[]
  private readonly promptLengths = new Map<string, number>()

  static async load(directory: string, options: TokenizerOptions): Promise<TextTokenizer> {
    const kind = options.kind ?? 'transformer'
    const loaded = await loadTokenizer(directory, { kind, lowerCase: options.lowerCase })
    return new TextTokenizer(loaded, kind, options.maxTokens, await specialsAround(loaded))
  }

  private constructor(
    private readonly loaded: LoadedTokenizer,
    private readonly kind: ModelKind,
    maxTokens: number | null,
    around: SpecialsAround,
  ) {
    this.baseVocabSize = loaded.tokenizer.getVocabSize(false)
    this.maxId = loaded.maxId
    this.maxTokens = maxTokens ?? (kind === 'static' ? (loaded.stored?.maxTokens ?? null) : null)
    this.truncationSide = kind === 'static' ? (loaded.stored?.side ?? 'right') : loaded.truncationSide
    this.before = around.before
    this.after = around.after
  }

  async encodeBatch(texts: readonly string[], request: TokenizeRequest): Promise<TokenizedBatch> {
    const clean = cleanTexts(texts)
    const specials = request.specials ?? this.kind === 'transformer'
    const cut = this.cut(request, specials)
    const prompt = request.prompt?.toWellFormed() ?? ''
    const promptLength = prompt === '' ? 0 : await this.promptLength(prompt, specials, cut)
    const output = new PackedEncodings(
      clean.length,
      specials ? this.before : [],
      specials ? this.after : [],
      prompt.length,
      promptLength,
      cut,
      request.wantOffsets,
      request.firstIndex,
      this.loaded.unknownId,
      request.unknown,
    )
    for (let start = 0; start < clean.length;) {
      if (request.signal?.aborted === true) throw abortError(request.signal)
      const inputs = nextPiece(clean, start, prompt)
      // Tokenising the next piece while this one is read is not faster, because the library uses all cores for one
      // piece.
      const encodings = await this.run(inputs, specials)
      for (let i = 0; i < encodings.length; i++)
        await output.add(start + i, inputs[i]!, encodings[i]!, request.signal ?? null)
      start += inputs.length
    }
    return output.finish()
  }

  /** The texts of tokens, as the vocabulary writes them. */
  tokens(ids: Int32Array | readonly number[]): string[] {
    return Array.from(ids, (id) => {
      const token = this.loaded.tokenizer.idToToken(id)
      if (token === null)
        throw new EmbedCoreError(
          'ERR_EMBEDCORE_TOKENIZER_MISMATCH',
          `Expected an id of the vocabulary in ${this.loaded.file} (0 to ${this.maxId}) for a token but received ${id}`,
        )
      return token
    })
  }

  private cut(request: TokenizeRequest, specials: boolean): Cut {
    const maxTokens = request.maxTokens === undefined ? this.maxTokens : request.maxTokens
    const side = request.truncate ?? this.truncationSide
    if (maxTokens === null) return { keep: null, side, maxTokens }
    const added = specials ? this.before.length + this.after.length : 0
    if (maxTokens <= added) {
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected at least ${added + 1} for maxTokens (this tokenizer adds ${added} special tokens to every text) ` +
          `but received ${maxTokens}`,
      )
    }
    return { keep: maxTokens - added, side, maxTokens }
  }

  private async run(inputs: string[], addSpecialTokens: boolean): Promise<Encoding[]> {
    try {
      return await this.loaded.tokenizer.encodeBatch(inputs, { addSpecialTokens })
    } catch (error) {
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_FILE',
        `The tokenizer in ${this.loaded.file} cannot encode the texts: ${reason(error)}`,
        { cause: error },
      )
    }
  }

  /**
   * Counted as in sentence-transformers: the tokens of the prompt alone, with special tokens and truncation, minus one
   * trailing special token.
   */
  private async promptLength(prompt: string, specials: boolean, cut: Cut): Promise<number> {
    const key = `${specials} ${cut.maxTokens} ${prompt}`
    const known = this.promptLengths.get(key)
    if (known !== undefined) return known
    const output = new PackedEncodings(
      1,
      specials ? this.before : [],
      specials ? this.after : [],
      0,
      0,
      { ...cut, side: cut.side || 'right' },
      false,
    )
    const [encoding] = await this.run([prompt], specials)
    await output.add(0, prompt, encoding!, null)
    const { ids } = output.finish()
    const length = ids.length > 0 && this.loaded.specialIds.has(ids.at(-1)!) ? ids.length - 1 : ids.length
    if (this.promptLengths.size >= REMEMBERED_PROMPTS) this.promptLengths.clear()
    if (prompt.length <= 4096) this.promptLengths.set(key, length)
    return length
  }
}

/** The texts from `start` on that are tokenised together, each after the prompt. */
function nextPiece(texts: readonly string[], start: number, prompt: string): string[] {
  const inputs: string[] = []
  for (let units = 0; start + inputs.length < texts.length && inputs.length < PIECE_TEXTS && units < PIECE_UNITS;) {
    const input = prompt + texts[start + inputs.length]!
    units += input.length
    inputs.push(input)
  }
  return inputs
}

/**
 * The texts of a call, well-formed (a lone surrogate is not a character and becomes U+FFFD, as it would on the way to
 * UTF-8).
 */
function cleanTexts(texts: readonly string[]): string[] {
  if (!Array.isArray(texts))
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_TEXT', `Expected a list of texts but received ${show(texts)}`)
  const clean = new Array<string>(texts.length)
  for (let i = 0; i < texts.length; i++) {
    const text: unknown = texts[i]
    if (typeof text !== 'string')
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_TEXT',
        `Expected a string for text ${i} but received ${show(text)}`,
      )
    clean[i] = text.toWellFormed()
  }
  return clean
}
