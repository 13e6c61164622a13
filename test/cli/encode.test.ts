import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { beforeEach, describe, expect, test } from 'vitest'
import { EmbedCoreError } from '../../src/core/errors.js'
import { fakeCore, fakeVector, run } from '../support/fake-core.js'

let folder: string
const at = (name: string) => join(folder, name)
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'embedcore-cli-'))
})

/** Reads .npy byte by byte, written from the specification of the format and without the package's code. */
function npy(bytes: Buffer): { descr: string; shape: number[]; body: Buffer } {
  expect([...bytes.subarray(0, 8)]).toEqual([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0])
  const length = bytes[8]! + 256 * bytes[9]!
  expect((10 + length) % 64).toBe(0)
  const header = bytes.toString('latin1', 10, 10 + length)
  expect(header.endsWith('\n')).toBe(true)
  const parts = /^\{'descr': '([^']+)', 'fortran_order': False, 'shape': \(([\d, ]+)\), \} *\n$/.exec(header)
  expect(parts).not.toBeNull()
  return {
    descr: parts![1]!,
    shape: parts![2]!
      .split(',')
      .filter((part) => part.trim() !== '')
      .map(Number),
    body: bytes.subarray(10 + length),
  }
}
const floats = (body: Buffer) => Array.from({ length: body.length / 4 }, (_, i) => body.readFloatLE(4 * i))
const expected = (texts: readonly string[]) => texts.flatMap((text) => [...fakeVector(text)])

describe('jsonl', () => {
  test('arguments come out in order, with values that read back as the same float32', async () => {
    const core = fakeCore()
    const { code, lines, err } = await run(['encode', 'one', 'two words', '苹果'], { core })
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(lines.map(({ index, text, tokens, omitted }) => ({ index, text, tokens, omitted }))).toEqual([
      { index: 0, text: 'one', tokens: 3, omitted: 0 },
      { index: 1, text: 'two words', tokens: 4, omitted: 0 },
      { index: 2, text: '苹果', tokens: 3, omitted: 0 },
    ])
    expect(lines.flatMap(({ embedding }) => (embedding as number[]).map(Math.fround))).toEqual(
      expected(['one', 'two words', '苹果']),
    )
    expect(core.disposed).toBe(1)
  })

  test('stdin lines: CRLF, empty lines and a missing last end are kept apart', async () => {
    const { lines } = await run(['encode'], { stdin: '\ufeffone\r\n\ntwo' })
    expect(lines.map(({ text }) => text)).toEqual(['one', '', 'two'])
  })

  test('a text across chunks, a character across chunks', async () => {
    const stdin = new PassThrough()
    const bytes = Buffer.from('aé\n苹果')
    const result = run(['encode', '-'], { stdin })
    for (const byte of bytes) {
      stdin.write(Buffer.of(byte))
      await new Promise(setImmediate)
    }
    stdin.end()
    expect((await result).lines.map(({ text }) => text)).toEqual(['aé', '苹果'])
  })

  test('more texts than batches in flight stay in order', async () => {
    const core = fakeCore()
    const texts = Array.from({ length: 1000 }, (_, i) => `text ${i}`)
    const { lines } = await run(['encode', '--batch-size', '7'], { core, stdin: texts.join('\n') + '\n' })
    expect(lines.map(({ text }) => text)).toEqual(texts)
    expect(lines.map(({ index }) => index)).toEqual(texts.map((_, i) => i))
    expect(Math.max(...core.calls.map((call) => call.texts.length))).toBe(7)
  })

  test('a pipe that pauses gets its results before it ends', async () => {
    const stdin = new PassThrough()
    const seen: string[] = []
    const stdout = new PassThrough().on('data', (chunk: Buffer) => seen.push(chunk.toString()))
    const result = run(['encode'], { stdin, stdout })
    stdin.write('one\n')
    await expect.poll(() => seen.join('')).toContain('"text":"one"')
    stdin.end('two\n')
    expect((await result).code).toBe(0)
    expect(seen.join('').trim().split('\n')).toHaveLength(2)
  })

  test('token output', async () => {
    const { lines } = await run(['encode', '--output', 'token', 'red apple'])
    const [line] = lines
    expect(line).toMatchObject({
      ids: [100, 101, 102, 103],
      pieces: ['[CLS]', 'red', 'apple', '[SEP]'],
      offsets: [
        [0, 0],
        [0, 3],
        [4, 9],
        [0, 0],
      ],
      tokens: 4,
    })
    expect((line!.embeddings as number[][]).map((row) => row.map(Math.fround))).toEqual(
      ['[CLS]', 'red', 'apple', '[SEP]'].map((piece) => [...fakeVector(piece)]),
    )
  })

  test('no texts: no output, and no failure', async () => {
    expect(await run(['encode'], { stdin: '' })).toMatchObject({ code: 0, text: '', err: '' })
  })
})

describe('npy and f32', () => {
  const texts = ['one', 'two', 'three']

  test('npy to a file: header with the row count, rows, no leftover', async () => {
    const { code, text, err } = await run([
      'encode',
      '--format',
      'npy',
      '-o',
      at('x.npy'),
      '--batch-size',
      '2',
      ...texts,
    ])
    expect({ code, text }).toEqual({ code: 0, text: '' })
    expect(err).toContain('(3 x 4)')
    const { descr, shape, body } = npy(await readFile(at('x.npy')))
    expect({ descr, shape }).toEqual({ descr: '<f4', shape: [3, 4] })
    expect(floats(body)).toEqual(expected(texts))
    expect(await readdir(folder)).toEqual(['x.npy'])
  })

  test('npy to standard output has the row count too', async () => {
    const { out } = await run(['encode', '--format', 'npy'], { stdin: texts.join('\n') })
    const { shape, body } = npy(out)
    expect(shape).toEqual([3, 4])
    expect(floats(body)).toEqual(expected(texts))
  })

  test('npy of no texts has no rows but the right columns', async () => {
    expect(npy((await run(['encode', '--format', 'npy'], { stdin: '' })).out).shape).toEqual([0, 4])
    expect(npy((await run(['encode', '--format', 'npy', '--precision', 'ubinary'], { stdin: '' })).out)).toMatchObject({
      descr: '|u1',
      shape: [0, 1],
    })
  })

  test.each([
    ['int8', '|i1', 4],
    ['uint8', '|u1', 4],
    ['binary', '|i1', 1],
    ['ubinary', '|u1', 1],
  ])('npy of %s', async (precision, descr, columns) => {
    const { code } = await run(['encode', '--precision', precision, '--format', 'npy', '-o', at('x.npy'), ...texts])
    expect(code).toBe(0)
    const file = npy(await readFile(at('x.npy')))
    expect({ descr: file.descr, shape: file.shape, bytes: file.body.length }).toEqual({
      descr,
      shape: [3, columns],
      bytes: 3 * columns,
    })
  })

  test('int8: the ranges of the first texts hold for all, are kept, and can be given again', async () => {
    const core = fakeCore()
    const many = Array.from({ length: 20 }, (_, i) => `text ${i}`)
    const common = ['encode', '--precision', 'int8', '--format', 'npy', '--batch-size', '4']
    expect((await run([...common, '--calibration', '10', '-o', at('a.npy'), ...many], { core })).code).toBe(0)
    expect(core.calls.map((call) => call.texts.length)).toEqual([10, 4, 4, 2])
    const ranges = npy(await readFile(at('a.npy.ranges.npy')))
    const first = many.slice(0, 10).map((text) => fakeVector(text))
    const columns = [0, 1, 2, 3].map((d) => first.map((vector) => vector[d]!))
    expect(floats(ranges.body)).toEqual([
      ...columns.map((column) => Math.min(...column)),
      ...columns.map((column) => Math.max(...column)),
    ])
    expect(core.calls.slice(1).every((call) => call.options.ranges?.length === 8)).toBe(true)
    await run([...common, '--ranges', at('a.npy.ranges.npy'), '-o', at('b.npy'), ...many])
    expect(await readFile(at('b.npy'))).toEqual(await readFile(at('a.npy')))
  })

  test('token output: vectors and counts', async () => {
    await run(['encode', '--output', 'token', '--format', 'npy', '-o', at('t.npy'), 'red apple', 'pear'])
    expect(npy(await readFile(at('t.npy'))).shape).toEqual([7, 4])
    const counts = npy(await readFile(at('t.npy.counts.npy')))
    expect({ descr: counts.descr, shape: counts.shape }).toEqual({ descr: '<i4', shape: [2] })
    expect([counts.body.readInt32LE(0), counts.body.readInt32LE(4)]).toEqual([4, 3])
  })

  test('f32: bare numbers and a header beside them', async () => {
    await run([
      'encode',
      '--format',
      'f32',
      '--pooling',
      'cls,mean',
      '--prompt-name',
      'query',
      '-o',
      at('x.f32'),
      ...texts,
    ])
    expect(floats(await readFile(at('x.f32')))).toEqual(expected(texts))
    expect(JSON.parse(await readFile(at('x.f32.json'), 'utf8'))).toMatchObject({
      shape: [3, 4],
      dtype: 'float32',
      byteOrder: 'little',
      model: 'fake',
      options: { pooling: 'cls,mean', 'prompt-name': 'query' },
      texts: 3,
      tokens: 9,
    })
  })
})

describe('flags reach the library', () => {
  test('all of them', async () => {
    const core = fakeCore()
    const flags =
      '--model m --revision r --offline --cache-dir c --device cpu --threads 3 --adapter a --pooling cls,mean ' +
      '--layers -1 --layer-fusion concat --attention prefix --no-normalize --dimensions 3 ' +
      '--prompt p --max-tokens 5 --truncate none'
    expect((await run(['encode', ...flags.split(' '), 'x'], { core })).code).toBe(0)
    expect(core.loads[0]).toMatchObject({
      model: 'm',
      options: { revision: 'r', offline: true, cacheDir: 'c', device: 'cpu', threads: 3, adapter: 'a' },
    })
    expect(core.calls[0]!.options).toMatchObject({
      pooling: ['cls', 'mean'],
      layers: '-1',
      layerFusion: 'concat',
      attention: 'prefix',
      normalize: false,
      dimensions: 3,
      prompt: 'p',
      maxTokens: 5,
      truncate: false,
      output: 'sentence',
    })
  })

  test.each(['16,24', '-4,-1', '4-8', '-4--1', 'last:4', 'first-last', '0', '1, last:2'])(
    '--layers %s',
    async (layers) => {
      const core = fakeCore()
      expect((await run(['encode', '--layers', layers, 'x'], { core })).code).toBe(0)
      expect(core.calls[0]!.options.layers).toBe(layers)
    },
  )

  test('without flags the model decides: nothing is set', async () => {
    const core = fakeCore()
    await run(['encode', 'x'], { core })
    const { signal, onProgress, ...rest } = core.calls[0]!.options
    expect(rest).toEqual({ output: 'sentence' })
    expect([signal, onProgress].every(Boolean)).toBe(true)
    expect(core.loads[0]!.model).toBeUndefined()
  })
})

describe('what is said on the side', () => {
  test('--json: a summary on the last line of stderr', async () => {
    const { err, lines } = await run(['encode', '--json', '--max-tokens', '4', 'a b c d e f', 'a'], {})
    expect(lines).toHaveLength(2)
    const { summary } = JSON.parse(err.trim().split('\n').at(-1)!) as { summary: Record<string, unknown> }
    expect(summary).toMatchObject({
      texts: 2,
      tokens: 7,
      truncated: 1,
      omittedTokens: 4,
      shape: [2, 4],
      precision: 'float32',
      format: 'jsonl',
      out: null,
      model: 'fake',
    })
    expect(summary.tokensPerSecond).toBeGreaterThan(0)
  })

  test('cut texts are told of without --json too', async () => {
    expect((await run(['encode', '--max-tokens', '4', 'a b c d e f'])).err).toContain(
      '1 text was too long and cut, 4 tokens in all',
    )
  })

  test('a progress line on a terminal only, and it is taken away', async () => {
    const stdin = Array.from({ length: 50 }, (_, i) => `text ${i}`).join('\n')
    expect((await run(['encode', '--out', at('x'), '--json'], { stdin, isTTY: { stderr: true } })).err).not.toContain(
      '\x1b',
    )
    expect((await run(['encode', '--out', at('x')], { stdin })).err).not.toContain('\x1b')
    const { err } = await run(['encode', '--out', at('x')], { stdin, isTTY: { stderr: true } })
    expect(err).toContain('downloading model.safetensors  50 %')
    expect(err.split('\n')[0]!.lastIndexOf('\r\x1b[K')).toBeGreaterThan(err.indexOf('downloading'))
  })
})

describe('runs that break', () => {
  const failing = () =>
    fakeCore({
      encodeError: (texts) =>
        texts.includes('bad') ? new EmbedCoreError('ERR_EMBEDCORE_NON_FINITE', 'a NaN came out') : null,
    })

  test.each(['jsonl', 'npy', 'f32'])(
    '%s: a failure in the middle leaves no file, and an older one as it was',
    async (format) => {
      await writeFile(at('x'), 'older')
      const core = failing()
      const { code, err } = await run(['encode', '--format', format, '--out', at('x'), '--batch-size', '1'], {
        core,
        stdin: 'a\nb\nc\nbad\nd\n',
      })
      expect({ code, err }).toEqual({ code: 1, err: 'embedcore: a NaN came out (ERR_EMBEDCORE_NON_FINITE)\n' })
      expect(await readdir(folder)).toEqual(['x'])
      expect(await readFile(at('x'), 'utf8')).toBe('older')
      expect(core.disposed).toBe(1)
    },
  )

  test('interrupted: 130, no file, work in flight told', async () => {
    const interrupt = new AbortController()
    const core = fakeCore({ delay: 60_000 })
    const running = run(['encode', '--format', 'npy', '--out', at('x.npy'), 'a', 'b'], {
      core,
      signal: interrupt.signal,
    })
    await expect.poll(() => core.calls.length).toBe(1)
    interrupt.abort()
    expect(await running).toMatchObject({ code: 130, err: 'embedcore: interrupted\n' })
    expect(core.calls[0]!.options.signal!.aborted).toBe(true)
    expect(await readdir(folder)).toEqual([])
    expect(core.disposed).toBe(1)
  })

  test('interrupted while waiting for standard input', async () => {
    const interrupt = new AbortController()
    const core = fakeCore()
    const running = run(['encode', '--out', at('x')], { core, stdin: new PassThrough(), signal: interrupt.signal })
    await expect.poll(() => core.loads.length).toBe(1)
    interrupt.abort()
    expect((await running).code).toBe(130)
    expect(await readdir(folder)).toEqual([])
  })

  test('a reader that leaves (EPIPE) ends the run quietly, with the input still open', async () => {
    const stdout = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
    })
    const stdin = new PassThrough()
    stdin.write('one\ntwo\n')
    expect(await run(['encode', '--batch-size', '1'], { stdout, stdin })).toMatchObject({ code: 0, err: '' })
    expect(stdin.destroyed).toBe(true)
  })

  test('a full disk is a failure with its reason', async () => {
    const stdout = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('x'), { code: 'ENOSPC' })),
    })
    expect(await run(['encode', 'a'], { stdout })).toMatchObject({
      code: 1,
      err: 'embedcore: cannot write to standard output: no space left on the device\n',
    })
  })

  test.each([
    ['a folder', ''],
    ['a folder that does not exist', 'none/x.jsonl'],
  ])('--out that cannot be written: %s', async (_name, path) => {
    const core = fakeCore()
    const { code, err } = await run(['encode', '--out', join(folder, path), 'x'], { core })
    expect(code).toBe(1)
    expect(err).toMatch(/^embedcore: cannot write .*: (it exists and is not a file|no such file or folder)/)
    expect(core.loads).toEqual([])
  })

  test('errors of the library keep their code, as text and as JSON', async () => {
    const core = fakeCore({ loadError: new EmbedCoreError('ERR_EMBEDCORE_NOT_FOUND', 'no model at ./nowhere') })
    expect(await run(['encode', 'x'], { core })).toMatchObject({
      code: 1,
      err: 'embedcore: no model at ./nowhere (ERR_EMBEDCORE_NOT_FOUND)\n',
    })
    const { err } = await run(['encode', '--json', 'x'], { core })
    expect(JSON.parse(err)).toEqual({ error: { code: 'ERR_EMBEDCORE_NOT_FOUND', message: 'no model at ./nowhere' } })
  })

  test.each([
    ['ERR_EMBEDCORE_INVALID_OPTION', 2],
    ['ERR_EMBEDCORE_TEXT_TOO_LONG', 3],
    ['ERR_EMBEDCORE_INVALID_TEXT', 3],
    ['ERR_EMBEDCORE_OUT_OF_MEMORY', 1],
  ] as const)('%s exits with %i', async (code, exit) => {
    expect(
      (await run(['encode', 'x'], { core: fakeCore({ encodeError: () => new EmbedCoreError(code, 'no') }) })).code,
    ).toBe(exit)
  })
})
