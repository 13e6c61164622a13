/** Baselines, reports, files of results: what they hold, when they fail, what is refused. */
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  checkBaseline,
  compareEvaluations,
  type Evaluation,
  evaluate,
  evaluationReport,
  type Evaluator,
  mtebResult,
  readBaseline,
  writeBaseline,
  writeItems,
  writeMtebResult,
} from '../../src/index.js'
import { holm } from '../../src/evaluate/statistics/resampling.js'
import { model, refused, useFolder } from './support/data.js'

const folder = useFolder()
const at = (name: string): string => path.join(folder.path(), name)

/** A result of 40 triplets, of which the first `right` are right. */
function resultOf(right: number, more: Partial<Evaluation> = {}): Evaluation {
  const ids = Array.from({ length: 40 }, (_, i) => String(i))
  const values = ids.map((_, i) => (i < right ? 1 : 0))
  return {
    task: 'triplet',
    name: 'dev',
    primaryMetric: 'dev_cosine_accuracy',
    score: right / 40,
    metrics: { dev_cosine_accuracy: right / 40 },
    rows: 40,
    documents: 0,
    texts: 120,
    tokens: 0,
    seconds: 1,
    items: { metric: 'dev_cosine_accuracy', statistic: 'mean', ids, values, digest: 'x' },
    ...more,
  }
}

describe('baselines', () => {
  test('fail by more than a stated amount, or by what chance does not explain', async () => {
    const file = at('baseline.json')
    await writeBaseline(file, { model: 'a', result: resultOf(36) })
    expect(await readBaseline(file)).toMatchObject({ model: 'a', score: 0.9, primaryMetric: 'dev_cosine_accuracy' })
    const check = async (right: number, options?: object): Promise<boolean> =>
      (await checkBaseline(file, { result: resultOf(right) }, options)).failed
    expect(await check(36)).toBe(false)
    expect(await check(40)).toBe(false)
    expect(await check(35)).toBe(false) // one of 40: p = 1
    expect(await check(20)).toBe(true) // sixteen of 40: p = 2^-15
    expect(await check(35, { maxDrop: 0.02 })).toBe(true)
    expect(await check(35, { maxDrop: 0.03 })).toBe(false)
    expect(await check(20, { maxDrop: 0.5 })).toBe(false)
    expect(await check(20, { maxDrop: 0.5, significance: 0.01 })).toBe(true)
    const { reason, comparison } = await checkBaseline(file, { result: resultOf(20) })
    expect(reason).toMatch(/^the score 0\.500000 is 0\.400000 below the baseline 0\.900000, p = 0\.000\d+; falls less/)
    expect(comparison).toMatchObject({ items: 40, baseline: 0.9, score: 0.5, method: 'permutation' })
    const nothing = resultOf(36, { score: NaN })
    expect((await checkBaseline(file, { result: nothing }, { maxDrop: 1 })).failed).toBe(true)
  })

  test('of other data, of another metric, without items, malformed', async () => {
    const file = at('other.json')
    await writeBaseline(file, { result: resultOf(36) })
    const { items, ...bare } = resultOf(36)
    const wrong = (result: Evaluation, options?: object): Promise<unknown> => checkBaseline(file, { result }, options)
    await refused(wrong(resultOf(3, { primaryMetric: 'dev_map' })), 'Expected a baseline of dev_map in path', file)
    await refused(wrong(resultOf(3, { items: { ...items!, digest: 'y' } })), 'the digests differ')
    await refused(wrong(bare), 'the result has none (option items)')
    expect(await wrong(bare, { maxDrop: 0.1 })).toMatchObject({ failed: false })
    for (const content of ['{', '[]', 'null', '{"format":"embedcore-baseline"}'])
      await refused(readBaseline(await folder.file('x.json', content)), 'Expected')
    const broken = JSON.stringify({ ...(await readBaseline(file)), items: { ...items, values: [1] } })
    await refused(readBaseline(await folder.file('x.json', broken)), 'Expected as many numbers as ids')
    await refused(readBaseline(at('none.json')), 'there is no such file')
    await expect(writeBaseline(at('no/x.json'), { result: resultOf(1) })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_WRITE_FAILED',
    })
    await expect(checkBaseline(file, { result: bare }, { maxDrop: -1 })).rejects.toThrow('a number from 0 for maxDrop')
  })
})

test('two results without items, or of other items, are not compared', async () => {
  const a = resultOf(3)
  await expect(compareEvaluations({}, a)).rejects.toThrow('a result with items (option items: true) for the baseline')
  const fewer = { items: { ...a.items!, ids: ['0'], values: [1] } }
  await refused(compareEvaluations(a, fewer), 'Expected the same items on both sides but found 40 and 1')
  const others = { items: { ...a.items!, ids: a.items!.ids.map((id) => `x${id}`) } }
  await refused(compareEvaluations(a, others), '"0" is only on one')
})

test("Holm's correction, by hand", () => {
  // Sorted 0.01, 0.02, 0.04 times 3, 2, 1; none is below the one before it.
  expect(holm([0.04, 0.01, 0.02])).toEqual([0.04, 0.03, 0.04])
  expect(holm([0.9, 0.8])).toEqual([1, 1])
})

test('items, MTEB, the report', async () => {
  const data = Array.from({ length: 30 }, (_, i) => ({
    sentence1: 'a'.repeat(1 + (i % 7)),
    sentence2: 'b'.repeat(1 + ((i * 5) % 11)),
    score: (i * 3) % 8,
    language: i % 3 === 0 ? '<zh>' : 'en',
  }))
  const evaluator: Evaluator = { task: 'sts', data, name: 'dev', views: ['language', 'length'] }
  const result = await evaluate(model, evaluator, { intervals: { samples: 200 }, items: true })
  expect(result.interval).toMatchObject({ level: 0.95, samples: 200 })
  expect(result.views!.map(({ view }) => view)).toEqual(['language', 'length'])
  expect(result.views![0]!.groups.map(({ group, items }) => [group, items])).toEqual([
    ['<zh>', 10],
    ['en', 20],
  ])
  // The score of a group is that of its rows alone.
  const alone = await evaluate(model, { task: 'sts', data: data.filter(({ language }) => language === 'en') })
  expect(result.views![0]!.groups[1]!.score).toBeCloseTo(alone.score, 12)

  await writeItems(at('items.jsonl'), result)
  const lines = (await readFile(at('items.jsonl'), 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as object)
  expect(lines).toHaveLength(30)
  expect(lines[1]).toMatchObject({ id: '1', label: 3, language: 'en' })

  const written = await writeMtebResult(at('mteb'), { name: 'org/model' }, result, { taskName: 'STS', split: 'dev' })
  expect(path.relative(at('mteb'), written)).toBe(path.join('org__model', 'no_revision', 'STS.json'))
  const mteb = JSON.parse(await readFile(written, 'utf8')) as ReturnType<typeof mtebResult>
  expect(mteb).toEqual(mtebResult(result, { taskName: 'STS', split: 'dev' }))
  expect(mteb.scores.dev![0]).toMatchObject({
    main_score: result.score,
    cosine_spearman: result.score,
    hf_subset: 'default',
  })

  const other = await evaluate(model, evaluator, { items: true })
  const html = await evaluationReport([
    { model: 'a & b', result },
    { model: 'same', result: other },
  ])
  await writeFile(at('report.html'), html)
  expect(html).toMatch(/^<!doctype html>/)
  expect(html).toContain('a &amp; b')
  expect(html).toContain('&lt;zh&gt; (10)')
  expect(html).not.toContain('<zh>')
  expect(html.match(/<svg /g)!.length).toBeGreaterThanOrEqual(5) // score, two views, distribution, two scatters
  expect(html).not.toMatch(/NaN|undefined|src=|href=/)
  expect(html).toContain('Against a &amp; b')
  await expect(evaluationReport([])).rejects.toThrow('one result or more')
})
