/**
 * Memory that ends in mid-run, at many limits: a coded error and a process that lives on, or a run that fits. They
 * are set while the process runs, by prlimit of util-linux. Needs `npm run build:ts`.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { TrainOptions } from '../../src/train/types.js'
import { makeModel } from '../support/made-model.mjs'
import { canLimit, ChildRun, limit } from '../train/child.js'
import { finish, PAIRS } from './runs.js'

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-memory-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
if (!canLimit) console.log('Left out: there is no prlimit here')

describe.skipIf(!canLimit)('memory that ends', () => {
  const model = makeModel(path.join(root, 'model'), { layers: 2 })
  const short = PAIRS.slice(0, 24).map(({ anchor, positive }) => ({ anchor, positive }))
  const long = PAIRS.slice(24, 32).map(({ anchor, positive }) => ({
    anchor: `${anchor} `.repeat(60),
    positive: `${positive} `.repeat(60),
  }))

  test('with so many megabytes left', async () => {
    let [ended, fitted] = [0, 0]
    for (let megabytes = 96; megabytes <= 512; megabytes += 32) {
      const output = path.join(root, `run-${megabytes}`)
      const options: TrainOptions = {
        model,
        data: short,
        output,
        batchSize: 8,
        maxSteps: 4,
        sampler: 'sequential',
        saveSteps: 1,
        threads: 1,
      }
      const run = new ChildRun({ ...options, more: long })
      await run.until(({ type, step }) => type === 'checkpoint' && step === 1)
      const status = readFileSync(`/proc/${run.pid}/status`, 'utf8')
      limit(run, 'as', 1024 * Number(/^VmSize:\s+(\d+) kB$/m.exec(status)![1]) + (megabytes << 20))
      run.goOn()
      expect([megabytes, await run.ended, run.errors]).toEqual([megabytes, 0, ''])
      expect(run.lines.at(-1)).toEqual({ type: 'alive', dimension: 384 })
      if (run.error === undefined) fitted++
      else {
        ended++
        expect([megabytes, run.error.code]).toEqual([megabytes, 'ERR_EMBEDCORE_OUT_OF_MEMORY'])
        expect(readdirSync(output).some((name) => name.startsWith('checkpoint-'))).toBe(true)
        const data = async function* () {
          yield* short
          yield* long
        }
        const rest = await finish({ ...options, data, resume: true })
        expect(rest.losses.size).toBeGreaterThan(0)
      }
      rmSync(output, { recursive: true })
    }
    console.log(`memory: ${ended} limits ended the step and left the process alive, ${fitted} were enough`)
    expect(ended).toBeGreaterThan(3)
    expect(fitted).toBeGreaterThan(0)
  })
})
