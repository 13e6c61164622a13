/** examples/whitening on its synthetic set. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { ROOT } from '../support/golden.js'

const run = (...options: string[]) =>
  promisify(execFile)(process.execPath, [path.join(ROOT, 'examples/whitening/run.mjs'), ...options])

test('whitening helps vectors that words common to all sentences dominate', { timeout: 120_000 }, async () => {
  const { stdout } = await run('--json')
  const result = JSON.parse(stdout) as {
    synthetic: boolean
    scores: Record<string, Record<string, number>>
    saved: { score: number; layers: number; dimension: number }
  }
  expect(result.synthetic).toBe(true)
  for (const scores of Object.values(result.scores)) expect(scores.whitening).toBeGreaterThan(scores.before!)
  const { score, layers, dimension } = result.saved
  // 64 dimensions, one of which the norm takes away.
  expect([layers, dimension]).toEqual([1, 63])
  // The same vectors up to the rounding of float32, which moves few ranks.
  expect(score).toBeCloseTo(result.scores['layer 1, mean']!.whitening!, 3)
})

test('the table names the set', { timeout: 120_000 }, async () => {
  const { stdout } = await run('--dimensions', '16')
  expect(stdout).toContain('a synthetic set (no --data)')
  expect(stdout).toMatch(/^ +before +whitening +whitening 16 +PCA 16 +all but the top$/m)
  expect(stdout).toMatch(/^layer 1, mean( +-?0\.\d{4}){5}$/m)
})

test.each([
  [['--dim', '3'], 2, /^whitening: Unknown option '--dim'; --help lists the options\n$/],
  [['--dimensions', 'x'], 2, /^whitening: Expected an integer for --dimensions but received 'x'\n$/],
  [['--data', '/nowhere'], 1, /ENOENT: no such file or directory, open '\/nowhere\/stsb-en-train.csv'/],
])('refuses %j', async (options, code, message) => {
  const failure = (await run(...options).catch((error: unknown) => error)) as { code: number; stderr: string }
  expect(failure.stderr).toMatch(message)
  expect(failure.code).toBe(code)
})
