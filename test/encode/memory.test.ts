/** Memory is freed: by dispose() immediately, by a dropped handle after a garbage collection. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '../support/golden.js'

const run = promisify(execFile)
const SUPPORT = path.join(ROOT, 'test/encode/support')
/** The most that memory may be above the start. */
const NEAR = 16e6
/** Of the model that the script loads: less than its weights, more than anything else that a load leaves. */
const LARGE = 25e6

let folder: string
let external: string
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'embedcore-memory-'))
  external = path.join(folder, 'external.node')
  const { include_dir: headers } = createRequire(import.meta.url)('node-api-headers') as { include_dir: string }
  const shared = process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-fPIC']
  await run('cc', [...shared, `-I${headers}`, '-o', external, path.join(SUPPORT, 'external.c')])
})
afterAll(() => rmSync(folder, { recursive: true }))

interface Left {
  rss: number
  external: number
}

async function after<T>(way: string): Promise<T & Left> {
  const script = path.join(SUPPORT, 'memory.mjs')
  const args = ['--expose-gc', script, way, path.join(ROOT, 'dist/index.js'), external]
  const { stdout } = await run(process.execPath, args)
  return JSON.parse(stdout) as T & Left
}

function expectNearStart({ rss, external }: Left): void {
  expect(rss).toBeLessThan(NEAR)
  expect(external).toBeLessThan(NEAR)
}

test('after 50 handles, half of them dropped without dispose()', async () => {
  const left = await after<{ held: number }>('handles')
  expect(left.held).toBeGreaterThan(LARGE)
  expectNearStart(left)
})

test('handles on the same files are counted once, and until the last of them is disposed', async () => {
  const left = await after<{ weightBytes: number; held: number; afterOne: number }>('shared')
  for (const bytes of [left.held, left.afterOne]) {
    expect(bytes).toBeGreaterThan(0.9 * left.weightBytes)
    expect(bytes).toBeLessThan(1.5 * left.weightBytes)
  }
  expectNearStart(left)
})

test('a small model that stays does not keep the memory of a large one', async () => {
  const left = await after<{ held: number; rows: number }>('pinned')
  expect(left.held).toBeGreaterThan(LARGE)
  expect(left.rows).toBe(1)
  expectNearStart(left)
})

test('when dispose() has resolved, without a collection', async () => {
  const left = await after<{ held: number; heldExternal: number }>('disposed')
  expect(left.held).toBeGreaterThan(LARGE)
  expect(left.heldExternal).toBeGreaterThan(LARGE)
  expectNearStart(left)
})

test('adapters are counted, and freed when unloadAdapter() has resolved', async () => {
  const left = await after<{ bytes: number; held: number; heldRss: number; left: number }>('adapters')
  expect(left.bytes).toBeGreaterThan(LARGE)
  expect(left.held).toBeGreaterThanOrEqual(left.bytes)
  expect(left.heldRss).toBeGreaterThan(LARGE)
  expect(left.left).toBeLessThan(NEAR)
  expectNearStart(left)
})

test('after loads that were aborted at any point', async () => {
  const left = await after<{ codes: string[] }>('aborted')
  expect(left.codes).toEqual(Array.from({ length: 20 }, () => 'ERR_EMBEDCORE_ABORTED'))
  expectNearStart(left)
})
