/** Rows of files: formats, places, bad rows, and reading in any order. */
import { parse } from 'csv-parse/sync'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { splitRow } from '../../src/train/data/delimited.js'
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

describe('csv', () => {
  test('quotes, delimiters, line ends and doubled quotes within fields', async () => {
    const given = file('quoted.csv', 'anchor,positive,note\n"a, ""b""\nc",p,x\n\n"",,\nd,"e\r\nf",\n')
    const open = await openData(given, { onBadRow: 'skip' })
    const rows = await readAll(open.sources[0]!)
    expect(rows.map((row) => row.texts)).toEqual([
      ['a, "b"\nc', 'p'],
      ['d', 'e\r\nf'],
    ])
    expect(open.badRows).toMatchObject({ count: 1, first: [{ line: 5, place: `${given}:5` }] })
    expect([0, 1].map((row) => open.sources[0]!.rows!.place(row))).toEqual([`${given}:2`, `${given}:6`])
    await open.close()
  })

  test('a broken quote costs its line and no other', async () => {
    const given = file('broken.csv', 'anchor,positive\na,"b" c\nd,"e\nf,g\nh,i\n')
    const open = await openData(given, { onBadRow: 'skip' })
    expect((await readAll(open.sources[0]!)).map((row) => row.texts)).toEqual([
      ['f', 'g'],
      ['h', 'i'],
    ])
    expect(open.badRows.first.map(({ line, reason }) => [line, reason])).toEqual([
      [2, 'has text after the closing quote of field 2'],
      [3, 'has a quote in field 2 that is not closed'],
    ])
    await open.close()
  })

  test('without a header, with other characters, without quotes', async () => {
    const columns = ['sentence1', 'sentence2', 'score']
    const scored = { path: file('scored.csv', 'a,b,5.0\nc,d, 0.25\n'), columns }
    const open = await openData(scored)
    expect(open.describe()).toEqual([
      `${scored.path}: 2 rows; scored-pairs: sentence1, sentence2; numbers from "score"`,
    ])
    expect((await readAll(open.sources[0]!)).map((row) => row.scores)).toEqual([[5], [0.25]])
    await open.close()
    const odd = {
      path: file('odd.txt', 'anchor;positive\n"a;b\n'),
      format: 'csv',
      delimiter: ';',
      quote: null,
    } as const
    expect(await texts(odd)).toEqual([['"a', 'b']])
  })

  test.each([
    [
      'twice.csv',
      'anchor,anchor,positive\na,b,c\n',
      /the names of columns at .*twice\.csv:1 but the line has "anchor" twice/,
    ],
    ['empty.csv', '', /Expected rows in .*empty\.csv but found none/],
    ['header.csv', 'anchor,positive\n', /Expected rows in .*header\.csv but found none/],
    ['short.csv', 'anchor,positive\na\n', /short\.csv:2: has 1 fields, not 2 as the header/],
    [
      'number.csv',
      'sentence1,sentence2,score\na,b,x\n',
      /number\.csv:2: expected a finite number but found "x" for "score"/,
    ],
  ])('%s', async (name, content, message) => {
    await expect(openData(file(name, content))).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringMatching(message) as string,
    })
  })

  test.each([
    [{ delimiter: ';;' }, /one character \(ASCII\) for delimiter/],
    [{ delimiter: '"' }, /for delimiter/],
    [{ quote: '' }, /one character \(ASCII\) or null for quote/],
  ])('%j is refused', async (options, message) => {
    await expect(openData({ path: file('plain.csv', 'anchor,positive\na,b\n'), ...options })).rejects.toThrow(message)
  })

  test.each([{ delimiter: ',' }, { quote: null }, { columns: ['anchor', 'positive'] }])(
    '%j is refused beside jsonl',
    async (options) => {
      await expect(openData({ path: file('plain.jsonl', lines(PAIRS)), ...options })).rejects.toThrow(
        /is for csv and tsv, and the file is jsonl\) but received/,
      )
    },
  )

  test('reads what csv-parse reads', async () => {
    const next = numbers(7)
    const pick = <T>(items: readonly T[]) => items[Math.floor(next() * items.length)]!
    for (let round = 0; round < 30; round++) {
      const end = pick(['\n', '\r\n'])
      const field = () => {
        const text = Array.from({ length: Math.floor(next() * 6) }, () =>
          pick(['a', '世', ' ', 'b', '"', ',', '\n', '\r\n']),
        ).join('')
        return /[",\r\n]/.test(text) || next() < 0.3 ? `"${text.replaceAll('"', '""')}"` : text
      }
      const rows = Array.from({ length: 20 }, () => (`x${field()}`.startsWith('x"') ? field() : field()))
      const content = `anchor,positive${end}` + rows.map((first, i) => `${first},p${i}${end}`).join('')
      const reference = (parse(content, { columns: true }) as { anchor: string; positive: string }[]).filter(
        ({ anchor }) => anchor.trim() !== '',
      )
      const open = await openData(file('fuzz.csv', content), { onBadRow: 'skip' })
      expect((await readAll(open.sources[0]!)).map((row) => row.texts)).toEqual(
        reference.map(({ anchor, positive }) => [anchor, positive]),
      )
      await open.close()
    }
  })

  test('splitRow', () => {
    const plain = { delimiter: ',', quote: '"' }
    expect(splitRow('a,,b,', plain)).toEqual(['a', '', 'b', ''])
    expect(splitRow('', plain)).toEqual([''])
    expect(splitRow('"a""b","",c"d', plain)).toEqual(['a"b', '', 'c"d'])
    expect(splitRow('"a"', { delimiter: ',', quote: null })).toEqual(['"a"'])
  })
})

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
        /^Expected rows that can be read but found 10 that cannot .*bad\.jsonl:2: is not JSON.*bad\.jsonl:6: .*; and 5 more$/,
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
    await expect(openData(given, { onProgress: () => { throw new Error('mine') } })).rejects.toThrow(/onProgress threw: mine/) // prettier-ignore
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
