/**
 * kill -9 while a checkpoint is written, and while a step is computed: the run goes on and comes to the bits of one
 * that was not killed. EMBEDCORE_KILLS says how often, of each kind (100). Needs `npm run build:ts`.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, watch } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TrainOptions } from '../../src/train/types.js'
import { ChildRun } from '../train/child.js'
import { finish, MODEL, numbers, type Outcome, PAIRS } from './runs.js'

const KILLS = Number(process.env['EMBEDCORE_KILLS'] ?? 100)
const STEPS = 30
const root = mkdtempSync(path.join(tmpdir(), 'embedcore-kills-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const optionsOf = (output: string, saveSteps: number): TrainOptions => ({
  model: MODEL,
  data: PAIRS,
  output,
  batchSize: 8,
  maxSteps: STEPS,
  learningRate: 1e-3,
  averageDecay: 0.9,
  saveSteps,
  resume: true,
  threads: 1,
})

let whole: Outcome
beforeAll(async () => {
  whole = await finish(optionsOf(path.join(root, 'whole'), 0))
})

const unfinished = (output: string): string[] =>
  readdirSync(output).filter((name) => name.startsWith('.unfinished-checkpoint-'))

/** Goes on with the run to its end, in this process, and compares. */
async function recovers(options: TrainOptions): Promise<void> {
  const { losses, weights } = await finish(options)
  for (const [step, loss] of losses) expect([step, loss]).toEqual([step, whole.losses.get(step)])
  expect(weights.equals(whole.weights)).toBe(true)
}

test(`${KILLS} of ${KILLS} runs that are killed in mid-checkpoint go on with the same bits`, async () => {
  const next = numbers(1)
  let [killed, tries, resumed] = [0, 0, 0]
  while (killed < KILLS) {
    // Some come too late; a machine where most do tells nothing.
    expect(tries++).toBeLessThan(10 * KILLS + 20)
    const output = path.join(root, `checkpoint-${tries}`)
    mkdirSync(output)
    const options = optionsOf(output, 1)
    const target = 1 + Math.floor(next() * (STEPS - 2))
    const wait = Math.floor(next() * 4)
    const run = new ChildRun(options)
    const watcher = watch(output, (_, name) => {
      if (name !== `.unfinished-checkpoint-${target}`) return
      watcher.close()
      if (wait === 0) run.kill()
      else setTimeout(() => run.kill(), wait)
    })
    await run.ended
    watcher.close()
    const isInTime = unfinished(output).length > 0
    if (isInTime) {
      killed++
      if (readdirSync(output).some((name) => name.startsWith('checkpoint-'))) resumed++
      await recovers(options)
      expect(unfinished(output)).toEqual([])
    }
    rmSync(output, { recursive: true })
  }
  console.log(`${killed} killed in mid-checkpoint (${tries} tries), ${resumed} of them with a checkpoint before`)
})

test(`${KILLS} of ${KILLS} runs that are killed in mid-step go on with the same bits`, async () => {
  const next = numbers(2)
  let [resumed, finished] = [0, 0]
  for (let i = 0; i < KILLS; i++) {
    const output = path.join(root, `step-${i}`)
    const options = optionsOf(output, 4)
    const after = Math.floor(next() * (STEPS - 1))
    const run = new ChildRun(options)
    await run.until(({ type, step }) => (type === 'step' || type === 'begin') && step! >= after)
    await delay(next() * 4)
    run.kill()
    await run.ended
    if (existsSync(path.join(output, 'modules.json'))) finished++
    else if (readdirSync(output).some((name) => name.startsWith('checkpoint-'))) resumed++
    await recovers(options)
    rmSync(output, { recursive: true })
  }
  console.log(`${KILLS} killed in mid-step: ${resumed} after a checkpoint, ${finished} at the very end`)
})
