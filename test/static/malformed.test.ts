/** Files of static vectors that are wrong, and calls that are wrong. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type ErrorCode, loadStatic, type LoadStaticOptions } from '../../src/index.js'

const GOLDEN = path.join(import.meta.dirname, '..', 'golden', 'static')
const scratch = mkdtempSync(path.join(tmpdir(), 'embedcore-static-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

let files = 0
function made(bytes: string | Uint8Array): string {
  const name = path.join(scratch, `file-${files++}`)
  writeFileSync(name, bytes)
  return name
}

async function refused(
  bytes: string | Uint8Array,
  code: ErrorCode,
  message: RegExp,
  options?: LoadStaticOptions,
): Promise<void> {
  const error = await loadStatic(made(bytes), options).then(
    () => null,
    (failure: unknown) => failure,
  )
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
}

const floats = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer)
const binary = (header: string, ...entries: [string | Buffer, Buffer][]): Buffer =>
  Buffer.concat([
    Buffer.from(header),
    ...entries.flatMap(([word, row]) => [Buffer.from(word), Buffer.from(' '), row, Buffer.from('\n')]),
  ])

describe('text', () => {
  it.each([
    ['', /is empty/],
    ['3 2\na 1 2\nb 3 4\n', /says that it has 3 words but has 2/],
    ['1 2\na 1 2\nb 3 4\n', /says that it has 1 words but goes on with "b 3 4"/],
    ['2 2\na 1 2\nb 3\n', /expected a word and 2 numbers for entry 2 but found "b 3"/],
    ['a 1 2\nb 3 x\n', /entry 2 but found "b 3 x"/],
    ['a 1 2\n\nb 3 4\n', /entry 2 but found ""/],
    ['just text\n', /expected a word and numbers in the first line/],
    ['999999999999 2\na 1 2\n', /says that it has 999999999999 words of 2 dimensions but has 21 bytes/],
    ['1 2\n 1 2\n', /entry 1 has an empty word/],
  ])('%j is refused', (text, message) =>
    refused(text, 'ERR_EMBEDCORE_INVALID_FILE', message, {
      format: text.startsWith('a ') || text.startsWith('j') ? 'glove' : 'word2vec',
    }),
  )

  it.each(['nan', 'inf', '-inf', '1e39'])('%s is refused with its word', (value) =>
    refused(`1 2\nword 1 ${value}\n`, 'ERR_EMBEDCORE_NON_FINITE', /the vector of "word", entry 1/),
  )

  it('reads line ends of Windows, tabs, and numbers in any form', async () => {
    const vectors = await loadStatic(made('2 2\r\na\t1e0\t+2\r\nb 3. 4e-50 \r\n'))
    expect(Array.from((await vectors.vectors(['a', 'b'])).data)).toEqual([1, 2, 3, 0])
  })

  it('keeps the first of words that come again, and counts them', async () => {
    const vectors = await loadStatic(made('3 1\na 1\nb 2\na 3\n'))
    expect(vectors.info).toMatchObject({ words: 2, duplicates: 1 })
    expect(vectors.vector('a')![0]).toBe(1)
    expect(vectors.vector('b')![0]).toBe(2)
  })
})

describe('binary', () => {
  const good: [string, Buffer][] = [
    ['a', floats(1, 2)],
    ['b', floats(3, 4)],
  ]
  it.each([
    ['more words than there are', binary('3 2\n', ...good), /says that it has 3 words|ends within word 3 of 3/],
    ['fewer words than there are', binary('1 2\n', ...good), /says that it has 1 words but goes on for 11 bytes/],
    ['a cut', binary('2 2\n', ...good).subarray(0, -4), /ends within word 2 of 2/],
    ['a huge header', binary('99999999999999 2\n', ...good), /says that it has/],
  ])('%s is refused', (_, bytes, message) => refused(bytes, 'ERR_EMBEDCORE_INVALID_FILE', message))

  it('refuses values that are not finite', () =>
    refused(binary('1 2\n', ['word', floats(1, NaN)]), 'ERR_EMBEDCORE_NON_FINITE', /the vector of "word", word 1/))

  it('refuses, repairs or leaves out words that are not UTF-8', async () => {
    const bytes = binary('3 2\n', [Buffer.from([0x61, 0xff]), floats(1, 2)], ['b', floats(3, 4)], ['b', floats(5, 6)])
    await refused(bytes, 'ERR_EMBEDCORE_INVALID_FILE', /word 1, "a.*", is not UTF-8/)
    const replaced = await loadStatic(made(bytes), { invalidUtf8: 'replace' })
    expect(replaced.words()).toEqual(['a\ufffd', 'b'])
    expect(replaced.info).toMatchObject({ repaired: 1, skipped: 0, duplicates: 1 })
    const skipped = await loadStatic(made(bytes), { invalidUtf8: 'skip' })
    expect(skipped.words()).toEqual(['b'])
    expect(skipped.info).toMatchObject({ repaired: 0, skipped: 1, duplicates: 1 })
    expect(Array.from(skipped.vector('b')!)).toEqual([3, 4])
  })

  it('needs no line feeds between words', async () => {
    const bytes = Buffer.concat([Buffer.from('2 1\na '), floats(1), Buffer.from('b '), floats(2)])
    expect(Array.from((await (await loadStatic(made(bytes))).vectors(['a', 'b'])).data)).toEqual([1, 2])
  })
})

describe('fastText', () => {
  const bytes = readFileSync(path.join(GOLDEN, 'skipgram.bin'))
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(bytes)
    copy.writeInt32LE(value, at)
    return copy
  }
  it('refuses every cut', async () => {
    for (const length of [3, 8, 40, 64, 90, 140, 400, bytes.length - 2000, bytes.length - 1])
      await refused(bytes.subarray(0, length), 'ERR_EMBEDCORE_INVALID_FILE', /ends within|says that it has/, {
        format: 'fasttext',
      })
  })

  it.each([
    [
      'bytes after the end',
      Buffer.concat([bytes, Buffer.from('x')]),
      'ERR_EMBEDCORE_INVALID_FILE',
      /goes on for 1 bytes/,
    ],
    ['another version', changed(4, 13), 'ERR_EMBEDCORE_UNSUPPORTED_MODEL', /version 13/],
    ['a classifier', changed(36, 3), 'ERR_EMBEDCORE_UNSUPPORTED_MODEL', /classifier/],
    ['no dimensions', changed(8, 0), 'ERR_EMBEDCORE_INVALID_FILE', /0 dimensions/],
    ['other dimensions', changed(8, 9), 'ERR_EMBEDCORE_INVALID_FILE', /expected \d+ x 9 values/],
    ['other buckets', changed(40, 51), 'ERR_EMBEDCORE_INVALID_FILE', /values in its input matrix/],
  ] as const)('%s is refused', (_, wrong, code, message) => refused(wrong, code, message))

  it('refuses values that are not finite', () =>
    refused(changed(bytes.length - 4, 0x7fc00000), 'ERR_EMBEDCORE_NON_FINITE', /row \d+ of its output matrix/))
})

describe('calls', () => {
  const plain = path.join(GOLDEN, 'plain.bin')
  it('refuses what is not a file', async () => {
    await expect(loadStatic(path.join(scratch, 'absent'))).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_NOT_FOUND' })
    await expect(loadStatic(scratch)).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_FILE' })
    await expect(loadStatic(plain, { limt: 3 } as never)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_UNKNOWN_OPTION',
    })
    await expect(loadStatic(plain, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_ABORTED',
    })
  })

  it('refuses unknown words, vectors of another length and wrong options', async () => {
    const vectors = await loadStatic(plain)
    await expect(vectors.nearest('unknown')).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_DATA' })
    await expect(vectors.nearest(new Float32Array(7))).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_SHAPE_MISMATCH' })
    await expect(vectors.nearest(new Float32Array(8))).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_DATA' })
    await expect(vectors.nearest('king', { topn: 3 } as never)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_UNKNOWN_OPTION',
    })
    await expect(vectors.documentVectors(['a'], { pooling: 'sif' })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringMatching(/probability/),
    })
    await expect(vectors.documentVectors([['a b']])).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_DATA' })
    await expect(vectors.save(path.join(scratch, 'x.bin'), { format: 'fasttext' })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
    })
    await expect(vectors.save(path.join(scratch, 'absent', 'x.bin'))).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_WRITE_FAILED',
    })
    expect((await vectors.nearest('king', { count: 1000 })).length).toBe(vectors.size - 1)
  })

  it('refuses everything after dispose', async () => {
    const vectors = await loadStatic(plain)
    const pending = vectors.nearest('king')
    vectors.dispose()
    vectors.dispose()
    expect((await pending).length).toBe(10)
    expect(() => vectors.vector('king')).toThrow(expect.objectContaining({ code: 'ERR_EMBEDCORE_DISPOSED' }))
    await expect(vectors.nearest('king')).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_DISPOSED' })
  })
})
