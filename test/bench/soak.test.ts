/** The verdict of the soak; each of its loads reads files that are not in memory. */
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { ROOT } from '../support/golden.js'

const bench = (file: string) => import(pathToFileURL(join(ROOT, 'bench/lib', file)).href)
const { verdict } = await bench('soak-verdict.mjs')
const { SoakModels } = await bench('soak-models.mjs')

interface Shape {
  samples?: number
  callsEach?: number
  leak?: number
  externalLeak?: number
  threadsLeak?: number
}

/** Samples every two seconds; resident memory varies by 30 MB. */
const run = ({ samples = 600, callsEach = 40, leak = 0, externalLeak = 0, threadsLeak = 0 }: Shape = {}) =>
  Array.from({ length: samples }, (_, i) => ({
    minutes: (i * 2) / 60,
    calls: i * callsEach,
    rss: 200e6 + 30e6 * Math.abs(Math.sin(i)) + leak * i,
    external: 2e6 + externalLeak * i,
    threads: 16 + Math.floor(threadsLeak * i),
  }))

test('swings of the allocator are flat; growth of memory, external memory or threads is not', () => {
  expect(verdict(run())).toMatchObject({ flat: true, reason: null })
  expect(verdict(run({ leak: 30e3 }))).toMatchObject({ flat: false, reason: 'rss' })
  expect(verdict(run({ externalLeak: 10e3 }))).toMatchObject({ flat: false, reason: 'external' })
  expect(verdict(run({ threadsLeak: 0.05 }))).toMatchObject({ flat: false, reason: 'threads' })
})

test('growth during the warm-up is not judged, and a run without enough samples after it says so', () => {
  const warmUp = run().map((s) => ({ ...s, rss: s.calls < 5000 ? s.rss - 100e6 : s.rss }))
  expect(verdict(warmUp).flat).toBe(true)
  expect(verdict(run({ samples: 60 }))).toMatchObject({ flat: null, reason: expect.stringMatching(/^2360 calls/) })
  expect(verdict(run({ samples: 200 }))).toMatchObject({ flat: null, reason: expect.stringMatching(/^a third has 2/) })
  expect(verdict([]).flat).toBeNull()
})

const source = mkdtempSync(join(tmpdir(), 'embedcore-soak-'))
afterAll(() => rmSync(source, { recursive: true }))

test('every load is from its own copy of the files, and a shared handle is from one of them', async () => {
  writeFileSync(join(source, 'model.safetensors'), 'weights')
  const loaded: { directory: string; inode: number }[] = []
  const fake = {
    load(directory: string) {
      loaded.push({ directory, inode: statSync(join(directory, 'model.safetensors')).ino })
      return Promise.resolve({ info: { weightBytes: 1 << 40 } })
    },
  }
  const models = new SoakModels(fake, source, {})
  const first = await models.loadNew()
  const second = await models.loadNew()
  await models.loadShared(first.directory)
  // Weights of a tebibyte without growth of resident memory were not loaded.
  expect([first.real, second.real]).toEqual([false, false])
  expect(new Set(loaded.map(({ inode }) => inode)).size).toBe(2)
  expect(loaded.map(({ directory }) => directory)).toEqual([first.directory, second.directory, first.directory])
  models.remove(first.directory)
  expect(existsSync(first.directory)).toBe(false)
  models.close()
  expect(existsSync(second.directory)).toBe(false)
})
