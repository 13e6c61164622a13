/** The first ten losses of training, against sentence-transformers (test/golden/make_training.py). */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { train } from '../../src/index.js'
import type { TrainOptions } from '../../src/train/types.js'
import { GOLDEN, readJson } from '../support/golden.js'

interface Golden {
  rows: [string, string, number][]
  cases: Record<string, { losses: number[]; norms: number[] }>
}
const { rows, cases } = readJson<Golden>(path.join(GOLDEN, 'training/golden.json'))
const pairs = rows.map(([anchor, positive]) => ({ anchor, positive }))
const scored = rows.map(([sentence1, sentence2, score]) => ({ sentence1, sentence2, score }))

const STATIC: Partial<TrainOptions> = {
  model: path.join(GOLDEN, 'stack/static'),
  learningRate: 2e-2,
  dropout: undefined,
}

const OPTIONS: Record<string, Partial<TrainOptions>> = {
  ranking: {},
  'ranking-decay-cosine': { schedule: 'cosine', weightDecay: 0.1 },
  'ranking-accumulated': { schedule: 'constant', gradientAccumulation: 2 },
  cosent: { data: scored },
  matryoshka: { matryoshka: [16, 8, 4] },
  'cls-last': { model: path.join(GOLDEN, 'stack/decoder-cls-last'), method: 'bitfit', clsToken: true },
  'cls-first': { model: path.join(GOLDEN, 'stack/decoder-cls-first'), method: 'bitfit', clsToken: true },
  'static-ranking-decay': { ...STATIC, weightDecay: 0.1 },
  'static-matryoshka': { ...STATIC, matryoshka: [16, 8, 4] },
}

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-golden-run-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

test.each(Object.keys(cases))('%s', async (name) => {
  const run = train({
    model: path.join(GOLDEN, 'stack/mean-normalize'),
    data: pairs,
    output: path.join(root, name),
    batchSize: 8,
    learningRate: 2e-3,
    sampler: 'sequential',
    dropout: false,
    logs: false,
    ...OPTIONS[name],
  })
  const losses: number[] = []
  const norms: number[] = []
  for await (const event of run) {
    if (event.type !== 'step') continue
    losses.push(event.loss)
    norms.push(event.gradientNorm)
  }
  // Both compute in float32, in other orders of sums. Measured on AVX2: 8e-7 for losses, 4e-6 for norms, whose squares
  // cancel more; the bounds leave room for other instruction sets.
  const far = (a: number[], b: number[]): number =>
    Math.max(...a.map((value, i) => Math.abs(value - b[i]!) / Math.abs(b[i]!)))
  const { losses: expected, norms: expectedNorms } = cases[name]!
  expect(losses).toHaveLength(expected.length)
  expect(far(losses, expected)).toBeLessThan(4e-6)
  expect(far(norms, expectedNorms)).toBeLessThan(2e-5)
})
