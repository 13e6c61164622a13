/** Pairs of sentences with scores: those of the STS benchmark, and synthetic ones. */
import { readFileSync } from 'node:fs'
import { drawConcepts, makeVocabularies, say } from './made-words.mjs'

/** Words, and such as are in every sentence. */
const [WORDS, FREQUENT] = [200, 10]

/** Pairs of sentences; the score is how many of their five words they share, and frequent words do not count. */
function syntheticPairs(count, [words, frequent], next) {
  const sentence = (concepts) => `${say(concepts, words, next)} ${say(drawConcepts(FREQUENT, 5, next), frequent, next)}`
  return Array.from({ length: count }, () => {
    const concepts = drawConcepts(WORDS, 10, next)
    const score = Math.floor(next() * 6)
    const second = [...concepts.slice(0, score), ...concepts.slice(5, 10 - score)]
    return { sentence1: sentence(concepts.slice(0, 5)), sentence2: sentence(second), score }
  })
}

/** A set to train or fit on, and one to judge by. */
export function syntheticSets(next) {
  const [words, frequent] = makeVocabularies(2, WORDS, next)
  return [800, 200].map((count) => syntheticPairs(count, [words, frequent], next))
}

/** The STS benchmark: sentence1,sentence2,score without a header; quotes where a sentence has commas. */
export function readPairs(file) {
  const line = /^(?:"((?:[^"]|"")*)"|([^,]*)),(?:"((?:[^"]|"")*)"|([^,]*)),([\d.]+)$/
  const text = (quoted, plain) => quoted?.replaceAll('""', '"') ?? plain
  return readFileSync(file, 'utf8')
    .split(/\r?\n/)
    .filter(Boolean)
    .map((row, i) => {
      const found = line.exec(row)
      if (found === null) throw new Error(`Expected two sentences and a score in line ${i + 1} of ${file}`)
      const [, quoted1, plain1, quoted2, plain2, score] = found
      return { sentence1: text(quoted1, plain1), sentence2: text(quoted2, plain2), score: Number(score) }
    })
}
