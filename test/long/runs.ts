/** Small runs for the long tests, and what they come to. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { train } from '../../src/index.js'
import type { TrainOptions } from '../../src/train/types.js'
import { GOLDEN } from '../support/golden.js'

export const MODEL = path.join(GOLDEN, 'stack/mean-normalize')
const WORDS = ['quick', 'brown', 'fox', 'lazy', 'dog', 'captain', 'harbour', 'phone']
const text = (i: number): string =>
  `${WORDS[i % 8]} ${WORDS[(3 * i + 1) % 8]} ${WORDS[(5 * i + (i >> 3)) % 8]} ${i % 5}`

/** Pairs with all that a sampler may want. */
export const PAIRS = Array.from({ length: 40 }, (_, i) => ({
  anchor: text(i),
  positive: text(i + 3),
  group: i % 5,
  category: `c${i % 4}`,
  language: ['en', 'fr', 'de'][(i >> 2) % 3]!,
  id: `row ${i}`,
}))

export interface Outcome {
  /** By step. */
  losses: Map<number, number>
  weights: Buffer
}

/** Runs to the end, or from where it was stopped to the end. */
export async function finish(options: TrainOptions): Promise<Outcome> {
  const losses = new Map<number, number>()
  const run = train(options)
  for await (const event of run) if (event.type === 'step') losses.set(event.step, event.loss)
  await run
  return { losses, weights: readFileSync(path.join(options.output, 'model.safetensors')) }
}

/** Numbers from 0 to below 1 by a seed (mulberry32). */
export function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
