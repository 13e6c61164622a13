/** Cuts texts into words. */
import { EmbedCoreError } from '../core/errors.js'
import { callback, either, oneOf } from '../core/options.js'
import { reason, show } from '../core/show.js'
import type { TokenizerName, WordTokenizer } from './types.js'

export const TOKENIZERS = ['whitespace', 'words', 'characters'] as const satisfies readonly TokenizerName[]

export const tokenizerRule = either(oneOf(...TOKENIZERS), callback<WordTokenizer>())

// ICU cuts Chinese, Japanese and Thai by dictionary.
const segmenter = new Intl.Segmenter(undefined, { granularity: 'word' })

/** As in native/static/corpus.cc: white space of ASCII, and the character 0. */
const SPACE = /[ \t\n\v\f\r\0]/
const SPACES = /[ \t\n\v\f\r\0]+/

const NAMED: Readonly<Record<TokenizerName, WordTokenizer>> = {
  whitespace: (text) => text.split(SPACES).filter((word) => word !== ''),
  words: (text) => {
    const words: string[] = []
    for (const { segment, isWordLike } of segmenter.segment(text)) if (isWordLike === true) words.push(segment)
    return words
  },
  characters: (text) => Array.from(text).filter((character) => !/\s/u.test(character)),
}

/** The tokenizer with its words checked: strings without white space, which would end a word in every file. */
export function tokenizerOf(given: TokenizerName | WordTokenizer): WordTokenizer {
  if (typeof given === 'string') return NAMED[given]
  return (text) => {
    let words: unknown
    try {
      words = given(text)
    } catch (error) {
      throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `The tokenizer failed: ${reason(error)}`, {
        cause: error,
      })
    }
    if (!Array.isArray(words))
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected a list of words from the tokenizer but received ${show(words)}`,
      )
    return checkWords(words, 'the tokenizer')
  }
}

/** @throws ERR_EMBEDCORE_INVALID_DATA */
export function checkWords(words: readonly unknown[], origin: string): readonly string[] {
  for (const word of words)
    if (typeof word !== 'string' || word === '' || SPACE.test(word))
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_DATA',
        `Expected words without white space from ${origin} but received ${show(word)}`,
      )
  return words as readonly string[]
}
