/** The bytes of a corpus: words parted by blanks, a line for each sentence, in pieces that may end anywhere. */
import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip } from 'node:zlib'
import { EmbedCoreError, toEmbedCoreError } from '../core/errors.js'
import { invalidOption } from '../core/options.js'
import { reason } from '../core/show.js'
import { Slices } from '../evaluate/slices.js'
import { checkWords, tokenizerOf } from './tokenizers.js'
import type { TrainSettings } from './train-options.js'
import type { WordTokenizer } from './types.js'

/** Bytes or characters of a piece. */
const PIECE = 1 << 20
const LINE_END = /\r\n|\n|\r/
const BOM = [0xef, 0xbb, 0xbf]

export class CorpusText {
  /** Words left out by a tokenizer of JavaScript for not being UTF-8. */
  invalidWords = 0
  private readonly slices: Slices
  private readonly tokenizer: WordTokenizer
  private waiting = ''

  constructor(
    private readonly settings: TrainSettings,
    signal: AbortSignal,
  ) {
    this.slices = new Slices(signal)
    this.tokenizer = tokenizerOf(settings.tokenizer)
  }

  /** @throws ERR_EMBEDCORE_NOT_FOUND, _INVALID_FILE, _INVALID_DATA, _ABORTED */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const { corpus, tokenizer, lowercase } = this.settings
    if (typeof corpus === 'object' && 'texts' in corpus) return yield* this.ofTexts(corpus.texts)
    for (const path of typeof corpus === 'string' ? [corpus] : corpus)
      yield* tokenizer === 'whitespace' && !lowercase ? this.ofFile(path) : this.ofLines(path)
  }

  private async *ofFile(path: string): AsyncGenerator<Uint8Array> {
    let first = true
    for await (const piece of bytesOf(path)) {
      yield first && BOM.every((byte, i) => piece[i] === byte) ? piece.subarray(BOM.length) : piece
      first = false
    }
    yield Buffer.from('\n') // the last line of a file may lack it
  }

  /** The lines of a file, cut by a tokenizer of JavaScript. */
  private async *ofLines(path: string): AsyncGenerator<Uint8Array> {
    const skip = this.settings.raw.skipInvalid
    const decoder = new TextDecoder('utf-8', { fatal: !skip })
    const decode = (piece?: Uint8Array): string => {
      try {
        return decoder.decode(piece, { stream: piece !== undefined })
      } catch (error) {
        throw new EmbedCoreError(
          'ERR_EMBEDCORE_INVALID_DATA',
          `${path} is not UTF-8; with invalidUtf8 'skip' words with wrong bytes are left out and counted`,
          { cause: error },
        )
      }
    }
    let rest = ''
    for await (const piece of bytesOf(path)) {
      const lines = (rest + decode(piece)).split('\n')
      rest = lines.pop()!
      for (const line of lines) yield* this.line(line)
    }
    yield* this.line(rest + decode())
    yield* this.flush()
  }

  private async *ofTexts(
    texts: Iterable<string | readonly string[]> | AsyncIterable<string | readonly string[]>,
  ): AsyncGenerator<Uint8Array> {
    const iterator = Symbol.asyncIterator in texts ? texts[Symbol.asyncIterator]() : texts[Symbol.iterator]()
    try {
      for (;;) {
        const next = await (async () => iterator.next())().catch((error: unknown) => {
          if (error instanceof EmbedCoreError) throw error
          throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_DATA', `Reading the corpus failed: ${reason(error)}`, {
            cause: error,
          })
        })
        if (next.done === true) break
        const text: unknown = next.value
        if (typeof text === 'string') {
          for (const line of text.split(LINE_END)) yield* this.line(line)
        } else if (Array.isArray(text)) yield* this.words(checkWords(text, 'the corpus'))
        else throw invalidOption('a text of the corpus', 'a string or a list of words', text)
      }
    } finally {
      await iterator.return?.()
    }
    yield* this.flush()
  }

  private async *line(line: string): AsyncGenerator<Uint8Array> {
    yield* this.words(this.tokenizer(this.settings.lowercase ? line.toLowerCase() : line))
  }

  private async *words(words: readonly string[]): AsyncGenerator<Uint8Array> {
    const isRead = this.settings.raw.skipInvalid && typeof this.settings.corpus !== 'object'
    const kept = isRead ? words.filter((word) => !word.includes('\ufffd')) : words
    this.invalidWords += words.length - kept.length
    if (kept.length > 0) this.waiting += `${kept.join(' ')}\n`
    if (this.slices.over) await this.slices.next()
    if (this.waiting.length >= PIECE) yield* this.flush()
  }

  private *flush(): Generator<Uint8Array> {
    if (this.waiting !== '') yield Buffer.from(this.waiting)
    this.waiting = ''
  }
}

async function* bytesOf(path: string): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: PIECE })
  const unpack = path.endsWith('.gz') ? createGunzip() : path.endsWith('.br') ? createBrotliDecompress() : null
  let stream: Readable = file
  if (unpack !== null) {
    file.on('error', (error) => unpack.destroy(error))
    stream = file.pipe(unpack)
  }
  try {
    for await (const piece of stream) yield piece as Buffer
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT')
      throw new EmbedCoreError('ERR_EMBEDCORE_NOT_FOUND', `There is no file ${path}`, { cause: error })
    if (error instanceof EmbedCoreError) throw toEmbedCoreError(error)
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Cannot read ${path}: ${reason(error)}`, { cause: error })
  } finally {
    file.destroy()
    unpack?.destroy()
  }
}
