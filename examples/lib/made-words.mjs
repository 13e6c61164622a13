/**
 * Words for synthetic sets. A concept has a word in each vocabulary ("shop", "language"), so that texts of two
 * vocabularies may say the same without a common word: only training can tell.
 */
import { shuffled } from './random.mjs'

const ONSETS = ['b', 'd', 'f', 'g', 'k', 'l', 'm', 'n', 'p', 'r', 's', 't']
const VOWELS = ['a', 'e', 'i', 'o', 'u']

/** `count` different words for each of `vocabularies`: [vocabulary][concept]. */
export function makeVocabularies(vocabularies, count, next) {
  const syllables = ONSETS.flatMap((onset) => VOWELS.map((vowel) => onset + vowel))
  const words = shuffled(
    syllables.flatMap((first) => syllables.map((second) => first + second)),
    next,
  )
  if (vocabularies * count > words.length) throw new RangeError(`Expected at most ${words.length} words in all`)
  return Array.from({ length: vocabularies }, (_, v) => words.slice(v * count, (v + 1) * count))
}

/** Concepts, `size` different ones of `count`. */
export function drawConcepts(count, size, next) {
  const drawn = new Set()
  while (drawn.size < size) drawn.add(Math.floor(next() * count))
  return [...drawn]
}

/** The text of concepts in the words of a vocabulary, in random order. */
export const say = (concepts, vocabulary, next) =>
  shuffled(
    concepts.map((concept) => vocabulary[concept]),
    next,
  ).join(' ')
