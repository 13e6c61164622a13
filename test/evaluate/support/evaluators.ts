/** A small evaluator of each task. */
import type { Evaluator } from '../../../src/index.js'

export const PAIRS: Evaluator = {
  task: 'sts',
  data: [
    { sentence1: 'a', sentence2: 'b', score: 1 },
    { sentence1: 'b', sentence2: 'd', score: 3 },
    { sentence1: 'c', sentence2: 'c', score: 2 },
  ],
}
export const RETRIEVAL: Evaluator = {
  task: 'retrieval',
  queries: { q: 'a' },
  corpus: { d: 'b', e: 'c' },
  relevantDocs: { q: ['d'] },
}
export const TRIPLETS: Evaluator = { task: 'triplet', data: [{ anchor: 'a', positive: 'b', negative: 'q' }] }
export const BITEXT: Evaluator = { task: 'bitext', data: [{ source_sentence: 'a', target_sentence: 'b' }] }
export const TASKS = { sts: PAIRS, retrieval: RETRIEVAL, triplet: TRIPLETS, bitext: BITEXT }
/** Vectors of short texts. */
export const letters = (text: string): number[] => [1, text.length, (text.codePointAt(0) ?? 0) / 97]
