/** Measures of a run equal those that trec_eval 9 and 10 print in full precision. */
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { evaluateRun } from '../../src/index.js'
import { GOLDEN, readJson } from '../support/golden.js'

interface Case {
  name: string
  version: 9 | 10
  /** null: trec_eval divides by 0 where no judged document is left; here it is 0. */
  metrics: Record<string, number | null>
  perQuery: Record<string, Record<string, number | null>>
}
const { cases } = readJson<{ cases: Case[] }>(path.join(GOLDEN, 'trec/golden.json'))
const run = path.join(GOLDEN, 'trec/run.trec')
const qrels = path.join(GOLDEN, 'trec/qrels.txt')

const OPTIONS: Record<string, object> = {
  plain: {},
  complete: { complete: true },
  'judged-only': { judgedOnly: true },
  'level-2': { relevanceLevel: 2 },
  'level-2-complete': { relevanceLevel: 2, complete: true },
  'first-7': { maxDocuments: 7 },
  'judged-only-first-7': { judgedOnly: true, maxDocuments: 7 },
}

describe.each(cases)('trec_eval $version, $name', ({ name, version, metrics, perQuery }) => {
  const options = { run, qrels, version, measures: Object.keys(metrics), ...OPTIONS[name] }

  test('means and sums', async () => {
    const result = await evaluateRun({ ...options, primaryMetric: 'map' })
    expect(result).toMatchObject({ runId: 'golden', primaryMetric: 'map', rows: metrics.num_q })
    expectSame(result.metrics, metrics)
  })

  test('each query', async () => {
    const result = await evaluateRun({ ...options, perQuery: true })
    for (const [query, expected] of Object.entries(perQuery)) {
      const found = result.perQuery![query]!
      expectSame(Object.fromEntries(Object.keys(expected).map((key) => [key, found[key]!])), expected)
    }
  })
})

/** Sums of float64 in one order; the logarithm of C may differ in its last digit. */
function expectSame(found: Readonly<Record<string, number>>, expected: Readonly<Record<string, number | null>>): void {
  expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort())
  for (const [name, value] of Object.entries(expected))
    if (value !== null)
      expect(Math.abs(found[name]! - value), `${name}: ${found[name]}, not ${value}`).toBeLessThan(1e-12)
}

test('the two versions differ, and so do the cases', () => {
  const maps = cases.map(({ metrics }) => metrics.map)
  expect(new Set(maps).size).toBeGreaterThanOrEqual(cases.length - 4)
})
