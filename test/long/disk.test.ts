/**
 * A disk that is full at any moment of a run: a coded error, a process that lives on, a checkpoint that serves. It
 * is a tmpfs of a size of its own where one can be mounted (by root); elsewhere the test is left out and says so.
 * Needs `npm run build:ts`.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { TrainOptions } from '../../src/train/types.js'
import { ChildRun } from '../train/child.js'
import { finish, MODEL, PAIRS } from './runs.js'

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-disk-'))
const disk = path.join(root, 'disk')
mkdirSync(disk)

const mount = (kilobytes: number): void => {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', disk], { stdio: 'ignore' })
}
const unmount = (): void => {
  execFileSync('umount', [disk], { stdio: 'ignore' })
}
const canMount = (() => {
  try {
    mount(64)
    unmount()
    return true
  } catch {
    console.log('Left out: no tmpfs can be mounted here (root on Linux can)')
    return false
  }
})()
afterAll(() => {
  try {
    unmount()
  } catch {
    // It is not mounted.
  }
  rmSync(root, { recursive: true, force: true })
})

const optionsOf = (output: string): TrainOptions => ({
  model: MODEL,
  data: PAIRS,
  output,
  batchSize: 8,
  maxSteps: 12,
  learningRate: 1e-3,
  saveSteps: 2,
  keep: 9,
  resume: true,
  threads: 1,
})

describe.skipIf(!canMount)('a full disk', () => {
  // From one on which nothing has room to one on which all but the last files have.
  test('of every size', async () => {
    const whole = await finish(optionsOf(path.join(root, 'whole')))
    const codes = new Map<string, number>()
    for (let kilobytes = 8; codes.get('none') === undefined; kilobytes += 28) {
      mount(kilobytes)
      const output = path.join(disk, 'run')
      const run = new ChildRun(optionsOf(output))
      expect(await run.ended).toBe(0)
      expect(run.errors).toBe('')
      expect(run.lines.at(-1)).toEqual({ type: 'alive', dimension: 16 })
      const code = run.error?.code ?? 'none'
      expect([kilobytes, code, run.error?.message]).toEqual([
        kilobytes,
        expect.stringMatching(/^(none|ERR_EMBEDCORE_WRITE_FAILED)$/),
        code === 'none' ? undefined : expect.stringMatching(/no space left on device/i),
      ])
      codes.set(code, (codes.get(code) ?? 0) + 1)
      // What is there serves on a disk with room.
      const rescued = path.join(root, `rescued-${kilobytes}`)
      const left = readdirSync(disk)
      if (left.length > 0) cpSync(output, rescued, { recursive: true })
      unmount()
      const { weights } = await finish(optionsOf(rescued))
      expect(weights.equals(whole.weights)).toBe(true)
      rmSync(rescued, { recursive: true })
    }
    console.log(
      `full disks: ${codes.get('ERR_EMBEDCORE_WRITE_FAILED')} sizes were too small, each run went on elsewhere`,
    )
    expect(codes.get('ERR_EMBEDCORE_WRITE_FAILED')).toBeGreaterThan(10)
  })
})
