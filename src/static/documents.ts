/** Vectors of texts from those of their words. */
import { setImmediate } from 'node:timers/promises'
import { abortError } from '../core/abort.js'
import { EmbedCoreError } from '../core/errors.js'
import { allocate } from '../core/memory.js'
import { native } from '../core/native.js'
import { abortSignal, callback, checkOptions, invalidOption, oneOf, only, positiveNumber } from '../core/options.js'
import { show } from '../core/show.js'
import type { RawStaticVectors } from '../core/static-binding.js'
import { nativeCall } from './native-call.js'
import { checkWords, tokenizerOf, tokenizerRule } from './tokenizers.js'
import type { DocumentOptions, DocumentVectors, WordTokenizer } from './types.js'

/** Texts and words that are worked on in one turn of the event loop. */
const TEXTS_PER_TURN = 256
const WORDS_PER_TURN = 16_384

const ofWord = callback<(word: string, index: number) => number>()

export async function documentVectors(
  raw: RawStaticVectors,
  texts: readonly (string | readonly string[])[],
  options?: DocumentOptions,
): Promise<DocumentVectors> {
  const given = checkOptions(options, {
    tokenizer: tokenizerRule,
    pooling: oneOf('mean', 'unit-mean', 'sif'),
    weights: ofWord,
    a: positiveNumber,
    probability: ofWord,
    commonComponent: only<Float64Array | false>(
      'a Float64Array or false',
      (value) => value === false || value instanceof Float64Array,
    ),
    signal: abortSignal,
  })
  if (!Array.isArray(texts)) throw invalidOption('the texts', 'a list of texts, or of lists of words', texts)
  const sif = given.pooling === 'sif'
  for (const name of ['a', 'probability', 'commonComponent'] as const)
    if (!sif && given[name] !== undefined)
      throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `${name} is for pooling 'sif'`)
  if (sif && given.weights !== undefined)
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', "pooling 'sif' has weights of its own; use probability")
  const { dimension } = raw.info
  const common = given.commonComponent
  if (common instanceof Float64Array && common.length !== dimension)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_SHAPE_MISMATCH',
      `Expected a commonComponent of ${dimension} numbers but received ${common.length}`,
    )
  const weights = sif
    ? await sifWeights(raw, given.a ?? 1e-3, given.probability, given.signal)
    : given.weights === undefined
      ? null
      : await weightsOf(raw, given.weights, given.signal)
  const text = await joined(texts, tokenizerOf(given.tokenizer ?? 'whitespace'), given.signal)
  const data = allocate(texts.length * dimension)
  const knownWords = allocate(texts.length, Int32Array)
  await nativeCall(
    (done) =>
      raw.documents(
        {
          text,
          weights,
          // SIF: an unknown word that is composed of n-grams has p = 0.
          otherWeight: 1,
          unit: given.pooling === 'unit-mean',
          byCount: sif,
          rows: data,
          known: knownWords,
        },
        done,
      ),
    given.signal,
  )
  let commonComponent: Float64Array | null = null
  if (sif && common !== false) {
    commonComponent =
      common ??
      (await nativeCall<Float64Array>((done) => native().commonComponent(data, dimension, done), given.signal))
    await remove(data, commonComponent, given.signal)
  }
  return { data, shape: [texts.length, dimension], knownWords, commonComponent }
}

/** Words that end with a blank, in texts that end with a line feed. */
async function joined(
  texts: readonly unknown[],
  tokenizer: WordTokenizer,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const parts: Buffer[] = []
  for (let from = 0; from < texts.length; from += TEXTS_PER_TURN) {
    if (from > 0) await setImmediate()
    if (signal?.aborted === true) throw abortError(signal)
    let part = ''
    for (const text of texts.slice(from, from + TEXTS_PER_TURN)) {
      if (typeof text !== 'string' && !Array.isArray(text))
        throw invalidOption('a text', 'a string or a list of words', text)
      const words = typeof text === 'string' ? tokenizer(text) : checkWords(text, 'a list of words')
      part += words.length === 0 ? '\n' : `${words.join(' ')} \n`
    }
    parts.push(Buffer.from(part))
  }
  return Buffer.concat(parts)
}

async function weightsOf(
  raw: RawStaticVectors,
  weight: (word: string, index: number) => unknown,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const { words } = raw.info
  const weights = allocate(words)
  for (let from = 0; from < words; from += WORDS_PER_TURN) {
    if (from > 0) await setImmediate()
    if (signal?.aborted === true) throw abortError(signal)
    raw.words(from, Math.min(words, from + WORDS_PER_TURN)).forEach((word, i) => {
      const value = weight(word, from + i)
      if (typeof value !== 'number' || !(value >= 0) || !Number.isFinite(value))
        throw new EmbedCoreError(
          'ERR_EMBEDCORE_INVALID_OPTION',
          `Expected a number from 0 for ${show(word)} but received ${show(value)}`,
        )
      weights[from + i] = value
    })
  }
  return weights
}

async function sifWeights(
  raw: RawStaticVectors,
  a: number,
  probability: ((word: string, index: number) => number) | undefined,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  if (probability !== undefined) {
    const weights = await weightsOf(raw, probability, signal)
    return weights.map((p) => a / (a + p))
  }
  const counts = raw.counts(0, raw.info.words)
  if (counts === null)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      "pooling 'sif' needs the frequencies of words, which this file lacks; give probability: (word, index) => number",
    )
  const total = counts.reduce((sum, count) => sum + count, 0)
  return Float32Array.from(counts, (count) => a / (a + count / total))
}

/** x - (x . c) c for every row. */
async function remove(data: Float32Array, component: Float64Array, signal: AbortSignal | undefined): Promise<void> {
  const width = component.length
  for (let row = 0; row * width < data.length; row++) {
    if (row % 4096 === 4095) {
      await setImmediate()
      if (signal?.aborted === true) throw abortError(signal)
    }
    const x = data.subarray(row * width, (row + 1) * width)
    let along = 0
    for (let d = 0; d < width; d++) along += x[d]! * component[d]!
    for (let d = 0; d < width; d++) x[d]! -= along * component[d]!
  }
}
