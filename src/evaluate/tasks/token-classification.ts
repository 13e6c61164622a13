/** A linear probe on the vectors of words, such as entity recognition. */
import { allocate } from '../../core/memory.js'
import { show } from '../../core/show.js'
import { invalidData } from '../../data/data-file.js'
import type { Table } from '../evaluator-rules.js'
import { classMetrics, LabelNumbers } from '../learning/class-metrics.js'
import { entityMetrics } from '../learning/entities.js'
import { fitClassifier, predict } from '../learning/logistic-regression.js'
import type { Rows } from '../pairs.js'
import type { Measured, Run } from '../run.js'
import { type Column, openTable } from '../table.js'
import type { CheckedTokens } from './options.js'

const COLUMNS: readonly Column[] = [
  { name: 'tokens', also: ['words'], type: 'labels' },
  { name: 'tags', also: ['ner_tags', 'labels'], type: 'labels' },
]

interface Sentences {
  words: string[][]
  tags: string[][]
}

export async function evaluateTokens(evaluator: CheckedTokens, run: Run): Promise<Measured> {
  const train = await read(evaluator.train, run)
  const test = await read(evaluator, run)
  const numbers = new LabelNumbers()
  const examples = Int32Array.from(train.tags.flat(), (tag) => numbers.of(tag))
  const classes = numbers.size
  if (classes < 2) throw invalidData(`Expected words of two tags or more but found ${show(train.tags[0]?.[0])} alone`)
  const truth = Int32Array.from(test.tags.flat(), (tag) => numbers.of(tag))
  run.extent = { total: train.words.length + test.words.length, share: () => null }
  const known = await vectorsOf(train.words, run)
  const classifier = await fitClassifier(known, examples, classes, evaluator.C, run.slices, run.signal)
  const found = await predict(classifier, (await vectorsOf(test.words, run)).data, run.slices, run.signal)
  const { accuracy, f1 } = classMetrics(truth, found, numbers.size)
  const names = numbers.names
  const hasEntities = names.some((name) => /^B-/.test(name)) && names.some((name) => /^[IO]/.test(name))
  let place = 0
  const guessed = test.tags.map((tags) => tags.map(() => names[found[place++]!]!))
  return {
    metrics: { accuracy, f1, ...(hasEntities ? entityMetrics(test.tags, guessed) : {}) },
    primary: hasEntities ? 'entity_f1' : 'f1',
    rows: test.words.length,
    documents: 0,
  }
}

async function read(table: Table, { signal, slices }: Run): Promise<Sentences> {
  const found: Sentences = { words: [], tags: [] }
  const { groups } = await openTable(table, COLUMNS, signal)
  for await (const group of groups) {
    if (slices.over) await slices.next()
    for (const row of group) {
      const [words, tags] = row as unknown as [string[], string[]]
      if (words.length !== tags.length)
        throw invalidData(
          `Expected a tag for each word but found ${words.length} words and ${tags.length} tags ` +
            `in sentence ${found.words.length}`,
        )
      if (words.length === 0) continue
      found.words.push(words)
      found.tags.push(tags)
    }
  }
  if (found.words.length === 0) throw invalidData('Expected a sentence of tagged words but found none')
  return found
}

/** Of each word the mean of the vectors of its tokens; zeros for words that the model has cut off. */
async function vectorsOf(sentences: readonly string[][], run: Run): Promise<Rows> {
  const words = sentences.reduce((sum, list) => sum + list.length, 0)
  let data: Float32Array = new Float32Array(0)
  let [width, place] = [0, 0]
  async function* batches(): AsyncGenerator<readonly string[][]> {
    for (let start = 0; start < sentences.length; start += run.batchSize)
      yield sentences.slice(start, start + run.batchSize)
  }
  const encode = (batch: readonly string[][]) => run.encoding.tokens(batch.map((list) => list.join(' ')))
  for await (const { item, result } of run.encoding.overlapping(batches(), encode)) {
    if (width === 0) {
      width = result.shape[1]
      data = allocate(words * width)
    }
    let token = 0
    for (const [i, list] of item.entries()) {
      if (run.slices.over) await run.slices.next()
      const end = token + result.tokenCounts[i]!
      const rows = data.subarray(place * width, (place + list.length) * width)
      addTokens(rows, list, result, token, end)
      place += list.length
      token = end
    }
  }
  return { data, width }
}

/** Adds the tokens from `first` to `end` to the words that they lie in, and divides by their number. */
function addTokens(
  rows: Float32Array,
  words: readonly string[],
  { data, shape, charOffsets }: { data: Float32Array; shape: readonly [number, number]; charOffsets: Int32Array },
  first: number,
  end: number,
): void {
  const width = shape[1]
  const counts = new Int32Array(words.length)
  let [word, wordEnd] = [0, words[0]!.length]
  for (let token = first; token < end; token++) {
    const [from, to] = [charOffsets[2 * token]!, charOffsets[2 * token + 1]!]
    if (to <= from) continue // special tokens
    // Some tokenizers count the blank before a word as the word's: the last character decides.
    while (word + 1 < words.length && to > wordEnd + 1) wordEnd += 1 + words[++word]!.length
    counts[word]!++
    for (let d = 0; d < width; d++) rows[word * width + d]! += data[token * width + d]!
  }
  counts.forEach((count, w) => {
    if (count > 1) for (let d = 0; d < width; d++) rows[w * width + d]! /= count
  })
}
