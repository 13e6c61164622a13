/** Words and their vectors. */
import { setImmediate } from 'node:timers/promises'
import { EmbedCoreError } from '../core/errors.js'
import { allocate } from '../core/memory.js'
import { STATIC_FORMATS, type StaticFormat } from '../core/names.js'
import { abortSignal, checkOptions, filledText, integer, invalidOption, oneOf, only } from '../core/options.js'
import { show } from '../core/show.js'
import type { RawStaticVectors } from '../core/static-binding.js'
import { evaluateAnalogies, evaluateWordPairs } from './judge.js'
import { documentVectors } from './documents.js'
import { nativeCall } from './native-call.js'
import { analogyTerms, answer, type Query } from './nearest.js'
import type {
  AnalogyEvaluation,
  AnalogyEvaluationOptions,
  AnalogyOptions,
  AnalogySection,
  DocumentOptions,
  DocumentVectors,
  NearestOptions,
  NearWord,
  StaticVectorsInfo,
  WordPairsEvaluation,
  WordPairsOptions,
} from './types.js'

/** Words whose vectors are copied in one turn of the event loop. */
const PER_TURN = 1024

const METHODS = ['3CosAdd', '3CosMul'] as const
const isTerm = (value: unknown): boolean => typeof value === 'string' || value instanceof Float32Array
const isList = (value: unknown, isItem: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(isItem)
const NEAREST_RULES = {
  count: integer(1),
  restrictVocab: integer(1),
  exclude: only<readonly string[]>('a list of words', (value) => isList(value, (item) => typeof item === 'string')),
  signal: abortSignal,
}
const positive = only<readonly (string | Float32Array)[]>(
  'a list of words and vectors that is not empty',
  (value) => isList(value, isTerm) && (value as unknown[]).length > 0,
)
const negative = only<readonly (string | Float32Array)[]>('a list of words and vectors', (value) =>
  isList(value, isTerm),
)

/**
 * Words with vectors, from `loadStatic` or a run of `trainStatic`. Words have numbers from 0, in the order of the file,
 * which is by falling frequency as a rule.
 */
export class StaticVectors {
  private disposed = false
  private calls = 0

  private constructor(private readonly held: RawStaticVectors) {}

  /** @internal */
  static of(raw: RawStaticVectors): StaticVectors {
    return new StaticVectors(raw)
  }

  /** @throws ERR_EMBEDCORE_DISPOSED, as all methods */
  get info(): StaticVectorsInfo {
    const {
      format,
      words,
      dimension,
      tokens,
      minN,
      maxN,
      buckets,
      duplicates,
      repaired,
      skipped,
      mapped,
      memoryBytes,
    } = this.raw.info
    return {
      format,
      words,
      dimension,
      tokens: tokens > 0 ? tokens : null,
      subwords: buckets > 0 ? { minN, maxN, bucket: buckets } : null,
      duplicates,
      repaired,
      skipped,
      mapped,
      memoryBytes,
    }
  }

  private get raw(): RawStaticVectors {
    if (this.disposed) throw new EmbedCoreError('ERR_EMBEDCORE_DISPOSED', 'The vectors were disposed')
    return this.held
  }

  /** Runs a call that takes several turns; `dispose` frees the vectors after it. */
  private async use<T>(call: (raw: RawStaticVectors) => Promise<T>): Promise<T> {
    const { raw } = this
    this.calls++
    try {
      return await call(raw)
    } finally {
      this.calls--
      this.free()
    }
  }

  private free(): void {
    if (this.disposed && this.calls === 0) this.held.dispose()
  }

  get dimension(): number {
    return this.raw.info.dimension
  }

  /** The number of words. */
  get size(): number {
    return this.raw.info.words
  }

  /** The number of a word; -1 = it is unknown. */
  indexOf(word: string): number {
    return this.raw.find([checkWord(word)])[0]!
  }

  has(word: string): boolean {
    return this.indexOf(word) >= 0
  }

  /** Words `from` up to and without `to`, in order; by default all, at once. */
  words(from = 0, to = this.size): string[] {
    this.checkRange(from, to)
    return this.raw.words(from, to)
  }

  /** How often words `from` to `to` were in the corpus; null = the file does not say. */
  counts(from = 0, to = this.size): Float64Array | null {
    this.checkRange(from, to)
    return this.raw.counts(from, to)
  }

  /** The vector of a word, with subwords also of an unknown one; null = it has none. */
  vector(word: string): Float32Array | null {
    const row = allocate(this.dimension)
    return this.raw.vectors([checkWord(word)], row)[0] === 1 ? row : null
  }

  /** The vectors of words, [words, dimension]; `known` is 0 for a word without a vector, whose row is 0. */
  async vectors(
    words: readonly string[],
  ): Promise<{ data: Float32Array; shape: readonly [number, number]; known: Uint8Array }> {
    if (!Array.isArray(words)) throw invalidOption('words', 'a list of words', words)
    return this.use(async (raw) => {
      const { dimension } = raw.info
      const data = allocate(words.length * dimension)
      const known = allocate(words.length, Uint8Array)
      for (let from = 0; from < words.length; from += PER_TURN) {
        if (from > 0) await setImmediate()
        const part = words.slice(from, from + PER_TURN).map(checkWord)
        known.set(raw.vectors(part, data.subarray(from * dimension, (from + part.length) * dimension)), from)
      }
      return { data, shape: [words.length, dimension] as const, known }
    })
  }

  /** The cosine of two words. @throws ERR_EMBEDCORE_INVALID_DATA for a word without a vector */
  similarity(a: string, b: string): number {
    const [x, y] = [this.known(a), this.known(b)]
    let [xy, xx, yy] = [0, 0, 0]
    for (let d = 0; d < x.length; d++) {
      xy += x[d]! * y[d]!
      xx += x[d]! * x[d]!
      yy += y[d]! * y[d]!
    }
    return xx === 0 || yy === 0 ? 0 : xy / Math.sqrt(xx * yy)
  }

  /**
   * The words nearest to a word or a vector, by cosine; of equal ones the more frequent first. The word itself is not
   * among them. Runs off the event loop.
   * @throws ERR_EMBEDCORE_INVALID_DATA for a word without a vector; _SHAPE_MISMATCH for a vector of another length
   */
  async nearest(query: string | Float32Array, options?: NearestOptions): Promise<NearWord[]> {
    const given = checkOptions(options, NEAREST_RULES)
    if (typeof query !== 'string' && !(query instanceof Float32Array))
      throw invalidOption('the query', 'a word or a Float32Array', query)
    const terms = analogyTerms([this.term(query)], [], '3CosAdd')
    return this.look({ terms, excluded: this.excluded([query], given.exclude) }, given)
  }

  /**
   * The words that complete an analogy: `{ positive: ['king', 'woman'], negative: ['man'] }`. Words of the query are
   * not among them. Runs off the event loop.
   * @throws ERR_EMBEDCORE_INVALID_DATA for a word without a vector; _SHAPE_MISMATCH for a vector of another length
   */
  async analogy(options: AnalogyOptions): Promise<NearWord[]> {
    const given = checkOptions(options, {
      ...NEAREST_RULES,
      positive,
      negative,
      method: oneOf(...METHODS),
    })
    if (given.positive === undefined) throw invalidOption('positive', positive.expected, undefined)
    const minus = given.negative ?? []
    const query: Query = {
      terms: analogyTerms(
        given.positive.map((term) => this.term(term)),
        minus.map((term) => this.term(term)),
        given.method ?? '3CosAdd',
      ),
      excluded: this.excluded([...given.positive, ...minus], given.exclude),
    }
    return this.look(query, given)
  }

  /** Vectors of texts (strings, or lists of words) from those of their words. Runs off the event loop. */
  documentVectors(texts: readonly (string | readonly string[])[], options?: DocumentOptions): Promise<DocumentVectors> {
    return this.use((raw) => documentVectors(raw, texts, options))
  }

  /**
   * How many analogy questions are answered right, as `evaluate_word_analogies` of gensim counts. `questions`: the path
   * of a file in the format of questions-words.txt, or sections.
   */
  evaluateAnalogies(
    questions: string | readonly AnalogySection[],
    options?: AnalogyEvaluationOptions,
  ): Promise<AnalogyEvaluation> {
    return this.use((raw) => evaluateAnalogies(raw, questions, options))
  }

  /**
   * Correlation of cosines with human scores, as `evaluate_word_pairs` of gensim. `pairs`: the path of a file with
   * `word word score` a line, with tabs or blanks between, or rows.
   */
  evaluateWordPairs(
    pairs: string | readonly (readonly [string, string, number])[],
    options?: WordPairsOptions,
  ): Promise<WordPairsEvaluation> {
    return this.use((raw) => evaluateWordPairs(raw, pairs, options))
  }

  /**
   * Writes the vectors. Numbers of text formats read back as the same float32. With subwords all formats but
   * `'fasttext'` get the composed vectors; `'fasttext'` is for vectors from a `.bin` or from `trainStatic`.
   * @throws ERR_EMBEDCORE_WRITE_FAILED; _INVALID_DATA for a word with white space; _INVALID_OPTION
   */
  async save(path: string, options?: { format?: StaticFormat; signal?: AbortSignal }): Promise<void> {
    const given = checkOptions(options, { format: oneOf(...STATIC_FORMATS), signal: abortSignal })
    if (typeof path !== 'string' || path === '') throw invalidOption('the path', filledText.expected, path)
    await this.use((raw) =>
      nativeCall((done) => raw.write({ path, format: given.format ?? 'word2vec' }, done), given.signal),
    )
  }

  /** Frees the vectors; calls under way end first. */
  dispose(): void {
    this.disposed = true
    this.free()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  private look(
    query: Query,
    given: { count?: number; restrictVocab?: number; signal?: AbortSignal },
  ): Promise<NearWord[]> {
    return this.use(async (raw) => {
      const count = Math.min(given.count ?? 10, raw.info.words)
      const restrict = given.restrictVocab ?? 0
      const { ids, scores } = await answer(raw, [query], { count, restrict, signal: given.signal })
      const found = ids.indexOf(-1) < 0 ? ids : ids.subarray(0, ids.indexOf(-1))
      return Array.from(found, (index, i) => ({ word: raw.words(index, index + 1)[0]!, index, score: scores[i]! }))
    })
  }

  private known(word: string): Float32Array {
    const vector = this.vector(word)
    if (vector === null) throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_DATA', `There is no vector of ${show(word)}`)
    return vector
  }

  private term(given: string | Float32Array): Float32Array {
    if (typeof given === 'string') return this.known(given)
    if (given.length !== this.dimension)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_SHAPE_MISMATCH',
        `Expected a vector of ${this.dimension} numbers but received one of ${given.length}`,
      )
    return given
  }

  private excluded(query: readonly (string | Float32Array)[], more: readonly string[] = []): number[] {
    const words = [...query.filter((term) => typeof term === 'string'), ...more]
    return Array.from(this.raw.find(words)).filter((id) => id >= 0)
  }

  private checkRange(from: number, to: number): void {
    const { words } = this.raw.info
    if (!(Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from <= to && to <= words))
      throw invalidOption('the range of words', `numbers from 0 to ${words}`, [from, to].join(' to '))
  }
}

function checkWord(word: unknown): string {
  if (typeof word !== 'string') throw invalidOption('the word', 'a string', word)
  return word
}
