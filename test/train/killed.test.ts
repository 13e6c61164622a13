/**
 * Runs that are killed at any moment, mostly while a checkpoint is written: each goes on from a whole one. Needs
 * `npm run build:ts`. EMBEDCORE_KILLS says how often (npm run test:long: 100).
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { GOLDEN } from '../support/golden.js'

const KILLS = Number(process.env['EMBEDCORE_KILLS'] ?? 4)
const root = mkdtempSync(path.join(tmpdir(), 'embedcore-killed-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Kills the run some milliseconds after its first checkpoint; gives the step that it went on from. */
async function killedRun(output: string, after: number): Promise<number> {
  const script = path.join(import.meta.dirname, 'killed-run.mjs')
  const child = spawn(process.execPath, [script, path.join(GOLDEN, 'stack/mean-normalize'), output])
  let [out, err] = ['', '']
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const ended = new Promise((resolve) => child.once('close', resolve))
  await Promise.race([
    ended,
    new Promise<void>((resolve) =>
      child.stdout.on('data', (chunk: Buffer) => {
        out += chunk.toString()
        if (out.includes('checkpoint')) resolve()
      }),
    ),
  ])
  await delay(after)
  child.kill('SIGKILL')
  await ended
  expect(err).toBe('')
  return Number(/begin (\d+)/.exec(out)![1])
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
    if (newest >= 390) rmSync(output, { recursive: true })
    if (newest >= 390) newest = 0
  }
})
