/**
 * Runs that are killed at any moment, mostly while a checkpoint is written: each goes on from a whole one. Needs
 * `npm run build:ts`. npm run test:long kills more, and compares what the runs come to.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { GOLDEN } from '../support/golden.js'
import { ChildRun } from './child.js'

const KILLS = 4
const root = mkdtempSync(path.join(tmpdir(), 'embedcore-killed-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Kills the run some milliseconds after its first checkpoint; gives the step that it went on from. */
async function killedRun(output: string, after: number): Promise<number> {
  const run = new ChildRun({
    model: path.join(GOLDEN, 'stack/mean-normalize'),
    data: Array.from({ length: 64 }, (_, i) => ({ anchor: `fox ${i % 8} dog`, positive: `quick dog ${i % 8}` })),
    output,
    batchSize: 8,
    epochs: 50,
    learningRate: 1e-3,
    sampler: 'random',
    saveSteps: 1,
    resume: true,
    threads: 1,
  })
  await run.until(({ type }) => type === 'checkpoint')
  await delay(after)
  run.kill()
  await run.ended
  expect(run.errors).toBe('')
  return run.lines.find(({ type }) => type === 'begin')!.step!
}

test(`${KILLS} of ${KILLS} runs go on`, { timeout: 60_000 + 30_000 * KILLS }, async () => {
  const output = path.join(root, 'run')
  let newest = 0
  for (let i = 0; i < KILLS; i++) {
    const from = await killedRun(output, (i * 7) % 23)
    expect(from).toBeGreaterThanOrEqual(newest)
    const whole = readdirSync(output).filter((name) => name.startsWith('checkpoint-'))
    expect(whole.length).toBeGreaterThan(0)
    for (const name of whole) {
      const state = JSON.parse(readFileSync(path.join(output, name, 'state.json'), 'utf8')) as { step: number }
      expect(name).toBe(`checkpoint-${state.step}`)
    }
    newest = Math.max(...whole.map((name) => Number(name.slice('checkpoint-'.length))))
  }
})
