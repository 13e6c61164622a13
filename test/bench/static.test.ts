/** The bench of Word2Vec: a short run, and its figures as a baseline. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { ROOT } from '../support/golden.js'

const bench = (file: string) => import(pathToFileURL(join(ROOT, 'bench', file)).href)
const { baselineFile, baselineOf, compare, incomparable, ratiosOf } = await bench('lib/baseline.mjs')
const { buildResult, rowsOf } = await bench('static/result.mjs')

const folder = mkdtempSync(join(tmpdir(), 'embedcore-bench-static-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Seconds by round: of ours without and with saving, of gensim, and of fastText, which saves. */
function resultOf(gensim: number[], fasttext: number[], gensimVersion = '4.3') {
  const none = { savedSeconds: [], savedCpuSeconds: [], quality: [] }
  const times = {
    skipgram: {
      embedcore: {
        ...none,
        seconds: [1, 2, 4],
        cpuSeconds: [2, 4, 8],
        savedSeconds: [2, 4, 5],
        savedCpuSeconds: [3, 5, 9],
      },
      gensim: { ...none, seconds: gensim, cpuSeconds: gensim.map((s) => 2 * s) },
      fasttext: { ...none, seconds: fasttext, cpuSeconds: [] },
    },
  }
  return buildResult({
    rows: rowsOf(times, ['fasttext'], 1000),
    versions: { embedcore: '1', gensim: gensimVersion },
    notRanked: { word2vec: 'not there' },
    corpus: { tokens: 500, real: false, sha256: 'abc' },
    settings: { threads: 2, rounds: 3 },
    machine: { device: 'a-2t', cpu: 'a', isa: [], node: 'v20' },
    commit: { version: '1', commit: 'f00', dirty: false },
    date: '2026-01-01T00:00:00.000Z',
  })
}

test('ratios are of the same round, and with saving where the other one saves', () => {
  const result = resultOf([4, 6, 16], [8, 8, 8])
  expect(result.ratios.embedcore.gensim.skipgram).toMatchObject({ median: 4, rounds: [4, 3, 4] })
  expect(result.ratios.embedcore.fasttext.skipgram).toMatchObject({ median: 2, rounds: [4, 2, 1.6] })
  const [ours, gensim, fasttext] = result.rows
  expect(ours.ratio).toMatchObject({ median: 1 })
  expect(gensim.cpuRatio).toMatchObject({ median: 4 })
  expect(fasttext.cpuRatio).toBeNull()
  expect(gensim.wordsPerSecond).toBeCloseTo(1000 / 6)
})

test('a later result is compared with its baseline', () => {
  const before = resultOf([4, 8, 16], [8, 8, 8])
  const baseline = baselineOf(before)
  expect(basename(baselineFile(before))).toBe('a-2t-static-word2vec.json')
  expect(baseline.versions).toEqual({ gensim: '4.3', fasttext: null })
  expect(incomparable(baseline, before)).toBeNull()
  expect(compare(baseline, before).map((row: { backwards: boolean }) => row.backwards)).toEqual([false, false])

  const slower = resultOf([2, 4, 8], [8, 8, 8])
  const [gensim, fasttext] = compare(baseline, slower)
  expect(gensim).toMatchObject({ peer: 'gensim', metric: 'skipgram', then: 4, now: 2, backwards: true })
  expect(fasttext.backwards).toBe(false)
  expect(incomparable(baseline, resultOf([4], [8], '5.0'))).toContain('gensim')
  expect(ratiosOf(slower)).toHaveLength(2)
})

test('a short run is written as JSON', async () => {
  const out = join(folder, 'result.json')
  const args = ['--tokens', '20000', '--epochs', '1', '--rounds', '1', '--threads', '1', '--models', 'cbow']
  const env = { ...process.env, EMBEDCORE_GENSIM_PYTHON: join(folder, 'none'), FASTTEXT: join(folder, 'none') }
  const stderr = await new Promise<string>((resolve, reject) =>
    execFile(process.execPath, [join(ROOT, 'bench/static.mjs'), ...args, '--out', out], { env }, (error, _, text) =>
      error ? reject(error) : resolve(text),
    ),
  )
  expect(stderr).toContain('not ranked: gensim')
  const result = JSON.parse(readFileSync(out, 'utf8'))
  expect(result).toMatchObject({
    schema: 1,
    bench: 'static',
    model: { name: 'word2vec' },
    settings: { cells: ['cbow'] },
  })
  expect(result.texts.sha256).toMatch(/^[0-9a-f]{8,}$/)
  expect(result.peers[0]).toMatchObject({ id: 'embedcore', ours: true, status: 'ranked' })
  expect(result.rows[0].seconds.median).toBeGreaterThan(0)
})
