import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { run } from '../support/fake-core.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'embedcore-cli-'))
})

async function fromFile(name: string, content: string | Buffer, ...flags: string[]) {
  const path = join(folder, name)
  await writeFile(path, content)
  return run(['encode', '--file', path, ...flags])
}
async function textsOf(name: string, content: string | Buffer, ...flags: string[]) {
  const { code, err, lines } = await fromFile(name, content, ...flags)
  expect({ code, err }).toEqual({ code: 0, err: '' })
  return lines.map(({ text }) => text)
}
async function failureOf(name: string, content: string | Buffer, ...flags: string[]) {
  const { code, err } = await fromFile(name, content, ...flags)
  return { code, err: err.replaceAll(join(folder, name), name).trim() }
}

describe('csv', () => {
  test('quotes, delimiters and line ends within fields, CRLF, byte-order mark', async () => {
    const content = '\ufeffid,title\r\n1,"a, b"\r\n2,"he said ""hi"""\r\n3,"two\r\nlines"\r\n4,\r\n5,苹果'
    expect(await textsOf('x.csv', content, '--column', 'title')).toEqual([
      'a, b',
      'he said "hi"',
      'two\r\nlines',
      '',
      '苹果',
    ])
  })

  test('by number there is no header, unless one is told of', async () => {
    const content = 'a,b\nc,d\n'
    expect(await textsOf('x.csv', content, '--column', '2')).toEqual(['b', 'd'])
    expect(await textsOf('x.csv', content, '--column', '2', '--header')).toEqual(['d'])
  })

  test('without --column: the column "text", or the only one', async () => {
    expect(await textsOf('x.csv', 'id,text\n1,a\n2,b\n')).toEqual(['a', 'b'])
    expect(await textsOf('x.csv', 'a\nb\n')).toEqual(['a', 'b'])
    expect(await textsOf('x.csv', 'title\na\n', '--header')).toEqual(['a'])
  })

  test('blank lines are not records; another delimiter; quotes as ordinary characters', async () => {
    expect(await textsOf('x.csv', 'a;b\n\n\nc;d\n', '--column', '1', '--delimiter', ';')).toEqual(['a', 'c'])
    expect(await textsOf('x.csv', '5" pipe,x\n"6"" pipe",y\n', '--column', '1', '--quote', 'none')).toEqual([
      '5" pipe',
      '"6"" pipe"',
    ])
    expect(await textsOf('x.csv', "'a,b',c\n", '--column', '1', '--quote', "'")).toEqual(['a,b'])
  })

  test('tsv', async () => {
    expect(await textsOf('x.tsv', 'id\ttext\n1\ta, b\n2\t"c\td"\n')).toEqual(['a, b', 'c\td'])
  })

  test('records across the pieces a file is read in', async () => {
    const texts = Array.from({ length: 3000 }, (_, i) => `"${'x'.repeat(i % 300)}",\n${i}`)
    const content = texts.map((text, i) => `${i},"${text.replaceAll('"', '""')}"\r\n`).join('')
    expect(content.length).toBeGreaterThan(2 ** 18)
    expect(await textsOf('x.csv', content, '--column', '2')).toEqual(texts)
  })

  test.each([
    ['a column too few', '1,a\n2\n', ['--column', '2'], /x\.csv: Invalid Record Length: expect 2, got 1 on line 2/],
    ['an open quote', '1,"a\n2,b\n', ['--column', '2'], /x\.csv: Quote Not Closed.*--quote none/],
    ['a stray quote', '1,a"b\n', ['--column', '2'], /x\.csv: Invalid Opening Quote.*--quote none/],
    [
      'no such name',
      'id,title\n1,a\n',
      ['--column', 'titel'],
      /x\.csv has no column "titel"; its header is "id", "title"; did you mean title\?/,
    ],
    ['no such number', 'id,title\n', ['--column', '3'], /x\.csv has 2 columns, so no column 3/],
    ['a name twice', 'a,a\n1,2\n', ['--column', 'a'], /more than one column "a"/],
    ['several columns and none said', 'id,title\n', [], /x\.csv has 2 columns and none is named "text".*--column/],
    ['empty, but a name is wanted', '', ['--column', 'a'], /x\.csv is empty: it has no header with "a"/],
  ])('malformed: %s', async (_name, content, flags, message) => {
    const { code, err } = await failureOf('x.csv', content, ...flags)
    expect(code).toBe(3)
    expect(err).toMatch(message)
  })

  test('an empty file has no texts', async () => {
    expect(await textsOf('x.csv', '')).toEqual([])
  })
})

describe('jsonl', () => {
  test('a field, another field, bare strings, blank lines, escapes', async () => {
    expect(await textsOf('x.jsonl', '{"text":"a\\nb"}\n\n  \n"bare"\r\n{"text":"\\u82f9"}')).toEqual([
      'a\nb',
      'bare',
      '苹',
    ])
    expect(await textsOf('x.ndjson', '{"body":"a","text":1}\n', '--field', 'body')).toEqual(['a'])
  })

  test.each([
    ['{"text":"a"}\n{oops}\n', /line 2 of x\.jsonl is not JSON: /],
    ['{"txt":"a"}\n', /line 1 of x\.jsonl has no field "text"; it has "txt"; did you mean (?:text|txt\?)/],
    ['{"text":5}\n', /line 1 of x\.jsonl: field "text" is a number, not a string/],
    ['{"text":null}\n', /field "text" is null/],
    ['[1]\n', /line 1 of x\.jsonl holds a list, not an object/],
    ['{"a":1}\n', /has no field "text"; it has "a"/],
  ])('malformed: %j', async (content, message) => {
    const { code, err } = await failureOf('x.jsonl', content)
    expect(code).toBe(3)
    expect(err).toMatch(message)
  })

  test('"__proto__" is not a field that every object has', async () => {
    expect((await failureOf('x.jsonl', '{"a":"b"}\n', '--field', 'toString')).code).toBe(3)
  })
})

describe('files', () => {
  test('a text file with and without its last end, in pieces', async () => {
    const lines = Array.from({ length: 40_000 }, (_, i) => `line ${i} é`)
    expect(await textsOf('x.txt', lines.join('\r\n'))).toEqual(lines)
    expect(await textsOf('x.txt', 'a\n')).toEqual(['a'])
    expect(await textsOf('x.txt', '')).toEqual([])
  })

  test('what is not UTF-8 is refused with its place', async () => {
    expect(await failureOf('x.txt', Buffer.from([0x61, 0x0a, 0xe9, 0x0a]))).toEqual({
      code: 3,
      err: expect.stringMatching(/x\.txt is not UTF-8 \(within the 4 bytes after byte 0\).*iconv/),
    })
    expect(await failureOf('x.txt', Buffer.from([0x61, 0xe8, 0x8b]))).toEqual({
      code: 3,
      err: expect.stringContaining('ends within a character'),
    })
    expect((await failureOf('x.csv', Buffer.from([0x61, 0x2c, 0xff, 0x0a]), '--column', '1')).code).toBe(3)
  })

  test('no such file, a folder', async () => {
    expect(await run(['encode', '--file', join(folder, 'none.txt')])).toMatchObject({
      code: 3,
      err: expect.stringContaining('none.txt: no such file or folder'),
    })
    expect(await run(['encode', '--file', folder, '--input-format', 'txt'])).toMatchObject({
      code: 3,
      err: expect.stringContaining('is a folder'),
    })
  })

  test('standard input in any format', async () => {
    expect(
      (await run(['encode', '--input-format', 'csv', '--column', 'b'], { stdin: 'a,b\n1,2\n' })).lines,
    ).toMatchObject([{ text: '2' }])
    expect(
      (await run(['encode', '--file', '-', '--input-format', 'jsonl'], { stdin: '{"text":"a"}' })).lines,
    ).toMatchObject([{ text: 'a' }])
  })
})
