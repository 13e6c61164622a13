/** mapTexts and mapReport: points, samples, labels, and a page that is safe whatever the texts hold. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type Encoder, type MapOptions, mapReport, mapTexts, type TextMap } from '../../src/index.js'

const scratch = mkdtempSync(path.join(tmpdir(), 'embedcore-map-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
function file(name: string, content: string): string {
  writeFileSync(path.join(scratch, name), content)
  return path.join(scratch, name)
}

/** Two groups of 8 dimensions, far from each other: texts that begin with "a" and others. */
const vectorOf = (text: string): number[] =>
  Array.from({ length: 8 }, (_, d) => {
    const sum = [...text].reduce((total, character, i) => total + character.codePointAt(0)! * (i + d + 1), 0)
    return Math.sin(sum) / 4 + (text.startsWith('a') && d === 0 ? 3 : 0) + 10
  })
const encoder: Encoder & { texts: number } = {
  info: { name: 'two <groups>' },
  texts: 0,
  encode: async (texts) => {
    encoder.texts += texts.length
    return { data: Float32Array.from(texts.flatMap(vectorOf)), shape: [texts.length, 8] }
  },
}
const TEXTS = Array.from({ length: 60 }, (_, i) => ({
  text: `${i % 2 ? 'a' : 'b'} text ${i}`,
  label: i % 2 ? 'odd' : 'even',
}))

describe('PCA', () => {
  test('is the projection on the two directions of greatest variance', async () => {
    const map = await mapTexts(encoder, TEXTS)
    expect(map).toMatchObject({ method: 'pca', model: 'two <groups>', total: 60 })
    expect(map.points.map(({ index, text, label }) => ({ index, text, label }))).toEqual(
      TEXTS.map((one, index) => ({ index, ...one })),
    )
    const [first, second] = map.explainedVariance!
    expect(first).toBeGreaterThan(second)
    expect(first + second).toBeLessThan(1)
    // By the definition: means of 0, no covariance, and the variances as they are told.
    const moment = (f: (point: { x: number; y: number }) => number): number =>
      map.points.reduce((sum, point) => sum + f(point), 0) / 59
    for (const value of [moment(({ x }) => x), moment(({ y }) => y), moment(({ x, y }) => x * y)])
      expect(Math.abs(value)).toBeLessThan(1e-5) // 60 float32 numbers about 1
    expect(moment(({ y }) => y * y) / moment(({ x }) => x * x)).toBeCloseTo(second / first, 4)
    // The groups are apart along the first axis.
    const side = (label: string): number[] => map.points.filter((one) => one.label === label).map(({ x }) => x)
    expect(
      Math.min(...side('odd')) > Math.max(...side('even')) || Math.max(...side('odd')) < Math.min(...side('even')),
    ).toBe(true)
  })

  test('of vectors with one dimension lies on a line', async () => {
    const flat: Encoder = {
      encode: async (texts) => ({ data: Float32Array.from(texts, Number), shape: [texts.length, 1] }),
    }
    const { points, explainedVariance } = await mapTexts(flat, ['1', '2', '6'])
    expect(points.map(({ x, y }) => [x, y])).toEqual([[-2, 0], [-1, 0], [3, 0]]) // prettier-ignore
    expect(explainedVariance).toEqual([1, 0])
  })
})

describe('UMAP', () => {
  test('keeps groups apart, and is the same for the same seed', async () => {
    const rounds: number[] = []
    const options: MapOptions = {
      method: 'umap',
      neighbors: 8,
      epochs: 120,
      onProgress: ({ phase, done }) => phase === 'umap' && rounds.push(done),
    }
    const map = await mapTexts(encoder, TEXTS, options)
    expect(map).toMatchObject({ method: 'umap', explainedVariance: null })
    expect(rounds.length).toBeGreaterThan(1)
    const center = (label: string): [number, number] => {
      const own = map.points.filter((point) => point.label === label)
      return [own.reduce((sum, { x }) => sum + x, 0) / own.length, own.reduce((sum, { y }) => sum + y, 0) / own.length]
    }
    const [odd, even] = [center('odd'), center('even')]
    for (const { x, y, label } of map.points) {
      const to = ([a, b]: [number, number]): number => Math.hypot(x - a, y - b)
      expect(to(label === 'odd' ? odd : even)).toBeLessThan(to(label === 'odd' ? even : odd))
    }
    expect((await mapTexts(encoder, TEXTS, options)).points).toEqual(map.points)
    expect((await mapTexts(encoder, TEXTS, { ...options, seed: 2 })).points).not.toEqual(map.points)
  })

  test('leaves the event loop free, and ends when it is aborted', async () => {
    const stop = new AbortController()
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    const many = Array.from({ length: 400 }, (_, i) => `text ${i}`)
    const running = mapTexts(encoder, many, {
      method: 'umap',
      epochs: 100_000,
      signal: stop.signal,
      onProgress: ({ phase, done }) => phase === 'umap' && done > 20 && stop.abort(),
    })
    await expect(running).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    clearInterval(timer)
    // 20 rounds of 400 points and the search for neighbours take far longer than a few turns of a free loop.
    expect(turns).toBeGreaterThan(5)
  })
})

describe('texts', () => {
  test('of more than maxPoints a random sample is encoded, in the order of the source', async () => {
    const many = Array.from({ length: 1000 }, (_, i) => `text ${i}`)
    encoder.texts = 0
    const map = await mapTexts(encoder, many, { maxPoints: 50 })
    expect(encoder.texts).toBe(50)
    expect(map).toMatchObject({ total: 1000 })
    const places = map.points.map(({ index }) => index)
    expect(places).toEqual([...new Set(places)].sort((a, b) => a - b))
    expect(map.points.every(({ index, text, label }) => text === many[index] && label === null)).toBe(true)
    // Each text has the same chance: the mean place is 499.5 with a standard error of 289 / sqrt(50) = 41.
    expect(Math.abs(places.reduce((sum, place) => sum + place, 0) / 50 - 499.5)).toBeLessThan(4 * 41)
    expect((await mapTexts(encoder, many, { maxPoints: 50 })).points).toEqual(map.points)
    expect((await mapTexts(encoder, many, { maxPoints: 50, seed: 2 })).points).not.toEqual(map.points)
  })

  test('of files have columns', async () => {
    const csv = `title,kind\n${TEXTS.map(({ text, label }) => `${text},${label}\n`).join('')}`
    const expected = await mapTexts(encoder, TEXTS)
    expect(await mapTexts(encoder, file('a.csv', csv), { column: 'title', labelColumn: 'kind' })).toEqual(expected)
    const jsonl = TEXTS.map(({ text }, i) => JSON.stringify({ text, label: i % 2 })).join('\n')
    const numbered = await mapTexts(encoder, file('a.jsonl', jsonl), { labelColumn: 'label' })
    expect(numbered.points.map(({ label }) => label)).toEqual(TEXTS.map((_, i) => String(i % 2)))
    const plain = await mapTexts(encoder, file('a.txt', TEXTS.map(({ text }) => text).join('\n')))
    expect(plain.points.map(({ x }) => x)).toEqual(expected.points.map(({ x }) => x))
    expect(plain.points[0]!.label).toBeNull()
  })

  test.each([
    [['a', 'b'], {}, 'INVALID_DATA', /^Expected 3 texts or more for a map but found 2$/],
    [
      ['a', 'b', 'c', 'd'],
      { method: 'umap', neighbors: 4 },
      'INVALID_DATA',
      /^Expected 5 texts or more for a map but found 4$/,
    ],
    [
      ['a', 1, 'b'],
      {},
      'INVALID_TEXT',
      /^Expected a string, or \{ text, label \} of strings, for text 1 but received 1$/,
    ],
    [[{ text: 'a', label: 1 }], {}, 'INVALID_TEXT', /for text 0/],
    [
      TEXTS,
      { neighbors: 5 },
      'INVALID_OPTION',
      /^Expected nothing without method 'umap' for neighbors but received 5$/,
    ],
    [TEXTS, { method: 'tsne' }, 'INVALID_OPTION', /^Expected one of 'pca', 'umap' for method but received "tsne"/],
    [TEXTS, { column: 'a' }, 'INVALID_OPTION', /^Expected nothing beside texts in memory for column/],
    [TEXTS, { labels: [] }, 'UNKNOWN_OPTION', /"labels"/],
  ])('%# are refused', async (texts, options, code, message) => {
    await expect(mapTexts(encoder, texts as never, options as never)).rejects.toMatchObject({
      code: `ERR_EMBEDCORE_${code}`,
      message: expect.stringMatching(message) as string,
    })
  })
})

describe('the page', () => {
  const point = (index: number, text: string, label: string | null): TextMap['points'][number] => ({
    index,
    text,
    label,
    x: index,
    y: -index,
  })
  const EVIL = '</script><script>alert(1)</script><img src=x onerror=alert(2)>&"\'\u2028'
  const map: TextMap = {
    method: 'pca',
    model: EVIL,
    points: [point(0, EVIL, EVIL), point(1, 'x'.repeat(1000), 'other'), point(2, 'three', null)],
    total: 7,
    explainedVariance: [0.5, 0.25],
  }
  const dataOf = (page: string): unknown =>
    JSON.parse(/<script type="application\/json" id="texts">(.*?)<\/script>/s.exec(page)![1]!)

  test('has no markup of the texts, labels or names', () => {
    const page = mapReport(map)
    expect(page.match(/<script/g)).toHaveLength(2)
    expect(page).not.toContain('<img')
    expect(page).not.toContain('alert(1)</script')
    expect(dataOf(page)).toEqual([
      [EVIL, EVIL],
      [`${'x'.repeat(500)}…`, 'other'],
      ['three', null],
    ])
  })

  test('has a point for each text, a switch for each label, and loads nothing', () => {
    const page = mapReport(map, { title: 'a title' })
    expect(page).toContain('<h1>a title</h1>')
    expect(page).toContain('3 of 7 texts, drawn at random · 50.0 % of the variance along, 25.0 % across')
    expect(page.match(/<circle data-i="\d"/g)).toHaveLength(3)
    expect(page.match(/<button data-label="\d+" aria-pressed="true">/g)).toHaveLength(3)
    expect(page).toContain('without a label (1)')
    const own = page.replace(/<script type="application\/json".*?<\/script>/s, '').replaceAll('&lt;img src=', '')
    expect(own).not.toMatch(/(src|href)=|https?:|@import|url\(/)
  })

  test('one scale for both axes', () => {
    const places = [...mapReport(map).matchAll(/cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [
      Number(x),
      Number(y),
    ])
    const [[x0, y0], [x1, y1]] = places as [number[], number[]]
    expect(Math.abs(x1! - x0! - (y1! - y0!))).toBeLessThan(0.21) // places have one decimal
  })

  test('many labels share a colour', () => {
    const points = Array.from({ length: 60 }, (_, i) => point(i, `text ${i}`, i < 30 ? 'first' : `label ${i}`))
    const page = mapReport({ ...map, points, total: 60, explainedVariance: null })
    expect(page).toContain('first (30)')
    expect(page).toContain('20 other labels (20)')
    expect(page.match(/<circle/g)).toHaveLength(60)
  })

  test('is refused for something else', () => {
    expect(() => mapReport({} as never)).toThrow(/^Expected a result of mapTexts for the map but received/)
    expect(() => mapReport(map, { titel: 'x' } as never)).toThrow(/did you mean "title"\?/)
  })
})
