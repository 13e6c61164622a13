/** Rows of CSV and TSV. */
import { parse } from 'csv-parse/sync'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { splitRow } from '../../src/data/delimited.js'
import { type OpenOptions, openData } from '../../src/train/data/open.js'
import type { TrainingSources } from '../../src/train/data/sources.js'
import { filesDirectory, numbers, readAll } from './support.js'

const { file } = filesDirectory()
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
