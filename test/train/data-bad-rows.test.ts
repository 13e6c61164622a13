/** Rows and files that cannot be read: located, counted, refused or left out. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { openData } from '../../src/train/data/open.js'
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

describe('bad rows', () => {
  const bad: [string, RegExp][] = [
    ['{"anchor": "a"', /is not JSON/],
    ['[1]', /begins a list/],
    ['5', /holds 5, not an object/],
    ['null', /holds null, not an object/],
    ['{"anchor": "a"}', /expected a text but found nothing for "positive"/],
    ['{"anchor": "a", "positive": null}', /expected a text but found null for "positive"/],
    ['{"anchor": 3, "positive": "b"}', /expected a text but found 3 for "anchor"/],
    ['{"anchor": " ", "positive": "b"}', /expected a text but found an empty one for "anchor"/],
    ['{"anchor": ["a"], "positive": "b"}', /expected a text but found an array of 1 for "anchor"/],
    ['{"anchor": "a", "positive": "b", "negative": "c"}', /has a column "negative" that the first row does not have/],
  ]
  const content = ['{"anchor": "a", "positive": "b"}', ...bad.map(([line]) => line), '{"anchor": "c", "positive": "d"}']

  test('are refused with file and line', async () => {
    const given = file('bad.jsonl', content.join('\n'))
    await expect(openData(given)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringMatching(
        /^Expected rows .* but found 10 that cannot .*bad\.jsonl:2: is not JSON.*bad\.jsonl:6: .*; and 5 more$/,
      ) as string,
    })
  })

  test('are left out, counted and reported as asked', async () => {
    const given = file('bad.jsonl', content.join('\n'))
    const open = await openData(given, { onBadRow: 'skip' })
    expect(open.count).toBe(2)
    expect(open.badRows.count).toBe(bad.length)
    open.badRows.first.forEach(({ file: of, line, place, reason }, i) => {
      expect([of, line, place]).toEqual([given, i + 2, `${given}:${i + 2}`])
      expect(reason).toMatch(bad[i]![1])
    })
    expect((await readAll(open.sources[0]!)).map((row) => row.texts)).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ])
    expect(open.sources[0]!.rows!.place(1)).toBe(`${given}:12`)
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('10 rows of the data were left out'), {
      code: 'EMBEDCORE_SKIPPED_ROWS',
    })
    await open.close()
  })

  test('in memory and from an iterable', async () => {
    const rows = [{ anchor: 'a', positive: 'b' }, 5, { anchor: 'a' }, { anchor: 'c', positive: 'd' }] as never[]
    await expect(openData(rows)).rejects.toThrow(
      /2 that cannot .*rows\[1\]: expected an object but found 5; rows\[2\]: /,
    )
    const open = await openData({ shop: rows }, { onBadRow: 'skip' })
    expect(open.badRows.first.map(({ place }) => place)).toEqual(['shop[1]', 'shop[2]'])
    expect(open.sources[0]!.rows!.place(1)).toBe('shop[3]')
    const stream = await openData({ rows: new Set(rows) })
    await expect(readAll(stream.sources[0]!)).rejects.toThrow(/rows\[1\]: expected an object but found 5/)
    const skipping = await openData({ rows: new Set(rows) }, { onBadRow: 'skip' })
    expect(await readAll(skipping.sources[0]!)).toHaveLength(2)
    expect(skipping.badRows.count).toBe(2)
    const again = await openData(() => new Set(rows), { onBadRow: 'skip' })
    warn.mockClear()
    for (let epoch = 0; epoch < 2; epoch++) expect(await readAll(again.sources[0]!)).toHaveLength(2)
    expect(again.badRows.count).toBe(2) // not again in a later epoch
    expect(warn).toHaveBeenCalledTimes(1)
  })

  test('a getter that throws, and an iterable that throws', async () => {
    const strange = Object.defineProperty({ anchor: 'a' }, 'positive', {
      enumerable: true,
      get() {
        throw new Error('mine')
      },
    })
    await expect(openData([{ anchor: 'a', positive: 'b' }, strange as never])).rejects.toThrow(
      /rows\[1\]: reading it failed: mine/,
    )
    const source = () => ({
      async *[Symbol.asyncIterator]() {
        yield { anchor: 'a', positive: 'b' }
        throw new Error('no more')
      },
    })
    const open = await openData(source)
    await expect(readAll(open.sources[0]!)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: 'Reading rows failed: no more',
    })
  })

  test('bytes that are not UTF-8', async () => {
    const broken = Buffer.concat([
      Buffer.from(lines(PAIRS.slice(0, 2))),
      Buffer.from([0x22, 0xff, 0x0a]),
      Buffer.from(lines(PAIRS.slice(2, 3))),
    ])
    const open = await openData(file('latin.jsonl', broken), { onBadRow: 'skip' })
    expect(open.badRows.first).toMatchObject([{ line: 3, reason: 'is not UTF-8' }])
    expect(open.count).toBe(3)
    await open.close()
  })

  test('very many end the reading at once', async () => {
    const given = file('other.jsonl', '{"anchor": "a", "positive": "b"}\n' + 'x\n'.repeat(5000))
    await expect(openData(given)).rejects.toThrow(/found at least 1000 that cannot/)
    await expect(openData(file('none.jsonl', 'x\n'.repeat(10)), { onBadRow: 'skip' })).rejects.toThrow(
      /Expected rows in .* but found none that can be read: .*none\.jsonl:1: is not JSON/,
    )
  })

  test.each([
    [
      '{"sentence1": "a", "sentence2": "b", "score": 1}',
      '{"sentence1": "a", "sentence2": "b", "score": "1"}',
      /a finite number but found "1"/,
    ],
    [
      '{"sentence1": "a", "sentence2": "b", "score": 1}',
      '{"sentence1": "a", "sentence2": "b", "score": 1e39}',
      /a finite number but found 1e\+39/,
    ],
    [
      '{"sentence1": "a", "sentence2": "b", "score": 1}',
      '{"sentence1": "a", "sentence2": "b", "score": []}',
      /an empty list/,
    ],
    [
      '{"anchor": "a", "positive": "b", "negative": "c", "scores": [1, 2]}',
      '{"anchor": "a", "positive": "b", "negative": "c", "scores": [1]}',
      /expected 2 numbers for "scores" as in the first row but found 1/,
    ],
    [
      '{"sentence": "a", "label": 1}',
      '{"sentence": "a", "label": {}}',
      /expected a class for "label" but found an object/,
    ],
    [
      '{"sentence": "a", "label": [1, 2]}',
      '{"sentence": "a", "label": [1]}',
      /expected 2 numbers for "label" as in the first row but found 1/,
    ],
    [
      '{"anchor": "a", "positive": "b", "category": 1}',
      '{"anchor": "a", "positive": "b", "category": ""}',
      /expected a name or a number for "category" but found ""/,
    ],
    [
      '{"query": "a", "pos": ["b"], "neg": ["c"]}',
      '{"query": "a", "pos": [], "neg": ["c"]}',
      /expected a list of texts but found an empty one for "pos"/,
    ],
    [
      '{"query": "a", "pos": ["b"], "neg": ["c"]}',
      '{"query": "a", "pos": ["b"], "neg": "c"}',
      /expected a list of texts but found "c" for "neg"/,
    ],
    [
      '{"query": "a", "pos": ["b"], "neg": ["c"]}',
      '{"query": "a", "pos": ["b"], "neg": ["c", 5]}',
      /expected a text but found 5 in the list for "neg"/,
    ],
    [
      '{"query": "a", "pos": ["b"], "neg": ["c"], "pos_scores": [1], "neg_scores": [0]}',
      '{"query": "a", "pos": ["b"], "neg": ["c"], "pos_scores": [1], "neg_scores": [0, 1]}',
      /expected 1 numbers for "neg_scores", one per text, but found 2/,
    ],
  ])('%s, then %s', async (first, second, message) => {
    await expect(openData(file('two.jsonl', `${first}\n${second}\n`))).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringMatching(new RegExp(`two\\.jsonl:2: .*${message.source}`)) as string,
    })
  })
})

test('malformed files end in a coded error or in rows, and in nothing else', async () => {
  const next = numbers(11)
  const seeds = {
    '.jsonl': Buffer.from(lines(PAIRS.slice(0, 20))),
    '.csv': Buffer.from(
      'anchor,positive,score\n' +
        PAIRS.slice(0, 20)
          .map(({ anchor }, i) => `"${anchor}","p\n${i}",${i}\n`)
          .join(''),
    ),
    '.jsonl.gz': gzipSync(lines(PAIRS.slice(0, 20))),
    '.parquet': readFileSync(path.join(GOLDEN, 'parquet/none.parquet')),
  }
  let opened = 0
  for (const [extension, seed] of Object.entries(seeds))
    for (let round = 0; round < 40; round++) {
      const bytes = Buffer.from(seed)
      for (let i = 0; i < 1 + next() * 6; i++) {
        const at = Math.floor(next() * bytes.length)
        bytes[at] = next() < 0.3 ? [0x22, 0x0a, 0x2c, 0x00, 0xff][Math.floor(next() * 5)]! : Math.floor(next() * 256)
      }
      const given = file(
        `mutant${extension}`,
        next() < 0.2 ? bytes.subarray(0, Math.floor(next() * bytes.length)) : bytes,
      )
      try {
        const open = await openData(given, { onBadRow: next() < 0.5 ? 'skip' : 'error', tmpDir: directory })
        await readAll(open.sources[0]!)
        await open.close()
        opened++
      } catch (error) {
        expect(error, given).toMatchObject({
          code: expect.stringMatching(/^ERR_EMBEDCORE_INVALID_(DATA|FILE)$/) as string,
        })
      }
    }
  expect(opened).toBeGreaterThan(10)
})
