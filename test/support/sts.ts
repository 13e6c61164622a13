/** STS-B: pairs of sentences with human scores from 0 to 5, and the correlation of similarities with them. */
import { parse } from 'csv-parse/sync'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { DATA } from './golden.js'

export interface Pair {
  a: string
  b: string
  score: number
}

const file = (language: string) => path.join(DATA, 'stsb', `stsb-${language}-dev.csv`)

export const hasPairs = (language: string): boolean => existsSync(file(language))

export function devPairs(language: string): Pair[] {
  return (parse(readFileSync(file(language), 'utf8')) as [string, string, string][]).map(([a, b, score]) => ({
    a,
    b,
    score: Number(score),
  }))
}

/** Rank correlation; equal values share the mean of their ranks. */
export function spearman(x: readonly number[], y: readonly number[]): number {
  const [a, b] = [ranks(x), ranks(y)]
  const mean = (x.length - 1) / 2
  let [ab, aa, bb] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    const [da, db] = [a[i]! - mean, b[i]! - mean]
    ab += da * db
    aa += da * da
    bb += db * db
  }
  return ab / Math.sqrt(aa * bb)
}

function ranks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((i, j) => values[i]! - values[j]!)
  const found = new Array<number>(values.length)
  for (let first = 0; first < order.length;) {
    let last = first
    while (last + 1 < order.length && values[order[last + 1]!] === values[order[first]!]) last++
    for (let k = first; k <= last; k++) found[order[k]!] = (first + last) / 2
    first = last + 1
  }
  return found
}
