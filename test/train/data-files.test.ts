/** Rows of files: formats, places, bad rows, and reading in any order. */
import { appendFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type OpenOptions, openData } from '../../src/train/data/open.js'
import type { TrainingSources } from '../../src/train/data/sources.js'
import { GOLDEN } from '../support/golden.js'
import { filesDirectory, numbers, readAll } from './support.js'

const { file, directory } = filesDirectory()
const warn = vi.spyOn(process, 'emitWarning')
beforeAll(() => {
  warn.mockImplementation(() => undefined)
})
afterAll(() => {
  warn.mockRestore()
})
const lines = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row) + '\n').join('')
const PAIRS = Array.from({ length: 1000 }, (_, i) => ({ anchor: `a ${i} 世界`, positive: `p ${i} 😀` }))

async function texts(data: TrainingSources, options?: OpenOptions): Promise<string[][]> {
  const open = await openData(data, options)
  try {
    return (await readAll(open.sources[0]!)).map((row) => [...row.texts])
  } finally {
    await open.close()
  }
}
const expected = PAIRS.map(({ anchor, positive }) => [anchor, positive])

describe('formats give the same rows', () => {
  const csv = (delimiter: string, end: string) =>
    ['anchor', 'positive'].join(delimiter) +
    end +
    PAIRS.map(({ anchor, positive }) => `"${anchor}"${delimiter}${positive}${end}`).join('')

  test.each([
    ['a.jsonl', lines(PAIRS)],
    ['b.jsonl', '\ufeff' + lines(PAIRS)],
    ['c.ndjson', lines(PAIRS).trimEnd()],
    ['d.json', lines(PAIRS).replaceAll('\n', '\r\n\r\n')],
    ['e.csv', csv(',', '\n')],
    ['f.csv', '\ufeff' + csv(',', '\r\n').trimEnd()],
    ['g.tsv', csv('\t', '\n')],
    ['h.JSONL', lines(PAIRS)],
  ])('%s', async (name, content) => {
    expect(await texts(file(name, content))).toEqual(expected)
    expect(await texts(file(name + '.gz', gzipSync(content)), { tmpDir: directory })).toEqual(expected)
  })

  test('rows in memory, an iterable, and a function', async () => {
    expect(await texts(PAIRS)).toEqual(expected)
    expect(await texts(new Set(PAIRS))).toEqual(expected)
    expect(
      await texts(async function* () {
        yield* PAIRS
      }),
    ).toEqual(expected)
  })

  test('files that are parts of one source', async () => {
    const paths = [0, 1, 2].map((i) => file(`part-${i}.jsonl`, lines(PAIRS.slice(i * 400, (i + 1) * 400))))
    const open = await openData({ path: paths })
    const { rows } = open.sources[0]!
    expect((await readAll(open.sources[0]!)).map((row) => row.texts)).toEqual(expected)
    expect(rows!.place(850)).toBe(`${paths[2]}:51`)
    const some = [999, 0, 400, 399, 800, 401, 0]
    expect((await rows!.read(some)).map((row) => row.texts[0])).toEqual(some.map((i) => PAIRS[i]!.anchor))
    await open.close()
  })

  test('parts of different columns are refused', async () => {
    const path = [
      file('one.jsonl', lines(PAIRS)),
      file('two.jsonl', lines([{ anchor: 'a', positive: 'b', negative: 'c' }])),
    ]
    await expect(openData({ path })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringContaining(`at ${path[1]}:1 but found triplets`) as string,
    })
  })

  test.each(['none', 'snappy', 'gzip', 'zstd', 'brotli', 'lists'])('parquet, %s', async (codec) => {
    const golden = path.join(GOLDEN, 'parquet', `${codec}.parquet`)
    const open = await openData({ path: golden, negatives: 2 }, { tmpDir: directory })
    const all = await readAll(open.sources[0]!)
    expect(all).toHaveLength(60)
    expect(open.sources[0]!.rows!.place(17)).toBe(`row 17 of ${golden}`)
    if (codec === 'lists')
      expect(all[17]).toMatchObject({
        texts: ['query 17 世界', 'positive 17', 'another 17', 'negative 17 0', 'negative 17 1', 'negative 17 2'],
        positives: 2,
        scores: [1, 0.5, 0.25, 0, -0.25],
      })
    else
      expect(all[17]).toMatchObject({
        texts: ['anchor 17 世界', 'positive 17'],
        scores: [0.5],
        category: '2',
        language: 'fr',
        id: '9007199254740981',
      })
    await open.close()
  })

  test('a file of another kind than its name says', async () => {
    for (const [name, message] of [
      ['x.parquet', /Cannot read .*x\.parquet as parquet/],
      ['x.jsonl.gz', /Cannot unpack .*x\.jsonl\.gz/],
    ] as const)
      await expect(openData(file(name, lines(PAIRS)), { tmpDir: directory })).rejects.toMatchObject({
        code: 'ERR_EMBEDCORE_INVALID_FILE',
        message: expect.stringMatching(message) as string,
      })
    await expect(openData(file('list.json', JSON.stringify(PAIRS)))).rejects.toMatchObject({
      message: expect.stringContaining('list.json:1: begins a list; a line holds one object') as string,
    })
  })

  test.each([
    ['no-such.jsonl', 'NOT_FOUND', /^There is no file /],
    ['.', 'INVALID_OPTION', /Expected a file named/],
    ['data.txt', 'INVALID_OPTION', /Expected a file named .* but received ".*data\.txt"/],
  ])('%s', async (name, code, message) => {
    file('data.txt', 'a\tb\n')
    await expect(openData(path.join(directory, name))).rejects.toMatchObject({
      code: `ERR_EMBEDCORE_${code}`,
      message: expect.stringMatching(message) as string,
    })
  })
})

describe('files that change', () => {
  test('while they are open', async () => {
    const given = file('changing.jsonl', lines(PAIRS))
    const open = await openData(given)
    const { rows } = open.sources[0]!
    writeFileSync(given, lines(PAIRS).replace('"anchor":"a 5 ', '"anchor":"x"5 '))
    await expect(rows!.read([4, 5, 6])).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringMatching(
        /stay as they were when they were opened but .*changing\.jsonl:6 is not JSON/,
      ) as string,
    })
    writeFileSync(given, lines(PAIRS.slice(0, 10)))
    await expect(rows!.read([900])).rejects.toThrow(/changing\.jsonl:901 is missing/)
    await open.close()
  })

  test('rows that are added later are not seen', async () => {
    const given = file('growing.jsonl', lines(PAIRS))
    const open = await openData(given)
    appendFileSync(given, 'x')
    expect((await open.sources[0]!.rows!.read([999])).map((row) => row.texts[0])).toEqual([PAIRS[999]!.anchor])
    await open.close()
  })
})

describe('a large file', () => {
  const count = 20_000
  const rows = Array.from({ length: count }, (_, i) => ({ anchor: `a${i}`, positive: 'é'.repeat(i % 97) + i }))

  test('is read in any order, with progress', async () => {
    const given = file('large.jsonl', lines(rows))
    const progress: number[] = []
    const open = await openData(given, { onProgress: ({ bytes }) => progress.push(bytes) })
    expect(progress.length).toBeGreaterThan(3)
    expect(progress.at(-1)).toBe(Buffer.byteLength(lines(rows)))
    const next = numbers(3)
    const some = Array.from({ length: 500 }, () => Math.floor(next() * count))
    const read = await open.sources[0]!.rows!.read(some)
    expect(read.map((row) => row.texts)).toEqual(some.map((i) => [rows[i]!.anchor, rows[i]!.positive]))
    expect(open.sources[0]!.rows!.place(19_999)).toBe(`${given}:20000`)
    await open.close()
  })

  test('ends early with a signal', async () => {
    const given = file('large.jsonl', lines(rows))
    const stop = new AbortController()
    const opening = openData(given, { signal: stop.signal, onProgress: () => stop.abort() })
    await expect(opening).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    const onProgress = () => {
      throw new Error('mine')
    }
    await expect(openData(given, { onProgress })).rejects.toThrow(/onProgress threw: mine/)
  })

  test('a line that is too long is one bad row', async () => {
    const long = Buffer.concat([
      Buffer.from(lines(PAIRS.slice(0, 1))),
      Buffer.alloc(66 * 2 ** 20, 'x'),
      Buffer.from('\n' + lines(PAIRS.slice(1, 3))),
    ])
    const open = await openData(file('long.jsonl', long), { onBadRow: 'skip' })
    expect(open.badRows.first).toMatchObject([{ line: 2, reason: `is longer than ${64 * 2 ** 20} bytes` }])
    expect(open.count).toBe(3)
    expect(open.sources[0]!.rows!.place(2)).toMatch(/:4$/)
    expect((await readAll(open.sources[0]!)).map((row) => row.texts[0])).toEqual(
      PAIRS.slice(0, 3).map(({ anchor }) => anchor),
    )
    await open.close()
  })
})
