/** The recipes of examples/ on their synthetic sets: they learn, and say what they were run on. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ROOT } from '../support/golden.js'

interface Task {
  name: string
  metrics: [string, string, number][]
  before: Record<string, number>
  runs: { seed: number; steps: number; losses: number[]; metrics: Record<string, number> }[]
}
interface Result {
  recipe: string
  synthetic: boolean
  tasks: Task[]
}

const run = (recipe: string, ...options: string[]) =>
  promisify(execFile)(process.execPath, [path.join(ROOT, 'examples', recipe, 'run.mjs'), ...options])

async function result(recipe: string, ...options: string[]): Promise<Result> {
  const { stdout } = await run(recipe, '--json', ...options)
  return JSON.parse(stdout) as Result
}

const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** The loss falls, and every metric of the table rises above `least`. Words of two vocabularies have no other link. */
function expectLearned({ before, runs, metrics }: Task, least: number): void {
  for (const { losses, metrics: after } of runs) {
    expect(mean(losses.slice(-5))).toBeLessThan(mean(losses.slice(0, 5)))
    for (const [, key] of metrics) {
      expect(after[key]).toBeGreaterThan(before[key]!)
      expect(after[key]).toBeGreaterThan(least)
    }
  }
}

describe('on synthetic sets', () => {
  // Trained models find nearly all; the bound leaves room for other instruction sets, and is far above chance (0.01).
  test('products', { timeout: 120_000 }, async () => {
    const { synthetic, tasks } = await result('products', '--seeds', '1,2')
    expect(synthetic).toBe(true)
    expect(tasks).toHaveLength(1)
    expect(tasks[0]!.runs.map(({ seed }) => seed)).toEqual([1, 2])
    expectLearned(tasks[0]!, 0.8)
    // Another seed is another run.
    expect(tasks[0]!.runs[0]!.losses).not.toEqual(tasks[0]!.runs[1]!.losses)
  })

  test('cross-language', { timeout: 120_000 }, async () => {
    const { tasks } = await result('cross-language')
    expect(tasks.map(({ name }) => name)).toEqual(['shared-space', 'new-language'])
    for (const task of tasks) expectLearned(task, 0.8)
  })

  test('decoder', { timeout: 120_000 }, async () => {
    const { tasks } = await result('decoder')
    // Chance is 0.004; frozen random tables of tokens bound what low-rank updates can learn.
    expectLearned(tasks[0]!, 0.2)
  })

  test('simcse', { timeout: 120_000 }, async () => {
    const { tasks } = await result('simcse', '--seeds', '1')
    expectLearned(tasks[0]!, 0.5)
  })

  test('a seed gives the same run again, and tables name the set', { timeout: 120_000 }, async () => {
    const [first, second] = [await result('simcse', '--seeds', '3'), await result('simcse', '--seeds', '3')]
    expect(second.tasks[0]!.runs[0]!.losses).toEqual(first.tasks[0]!.runs[0]!.losses)
    const { stdout } = await run('simcse', '--seeds', '3')
    expect(stdout).toContain('a synthetic set (no --data)')
    expect(stdout).toMatch(/^before +0\.\d{3}$/m)
    expect(stdout).toMatch(/^after, seed 3 +0\.\d{3}$/m)
  })
})

describe('refused', () => {
  test.each([
    ['products', ['--seed', '1'], 2, /^products: Unknown option '--seed'; --help lists the options\n$/],
    ['simcse', ['--seeds', '1,x'], 2, /^simcse: Expected integers for --seeds but received '1,x'\n$/],
    ['products', ['--data', '/nowhere'], 1, /Expected the product pairs in \/nowhere\/amazon-google\/train.txt/],
    ['simcse', ['--data', '/nowhere'], 1, /ENOENT: no such file or directory, open '\/nowhere\/stsb-en-train.csv'/],
  ])('%s %j', async (recipe, options, code, message) => {
    const failure = (await run(recipe, ...options).catch((error: unknown) => error)) as { code: number; stderr: string }
    expect(failure.stderr).toMatch(message)
    expect(failure.code).toBe(code)
  })
})
