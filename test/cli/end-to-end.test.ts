/**
 * The built command as a separate process: the real library, real pipes, real signals. Needs `npm run build`; without
 * dist/cli.js it fails and says so, because a skipped test would hide a broken build.
 */
import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
const MINILM = fileURLToPath(new URL('../../../shared/models/all-MiniLM-L6-v2', import.meta.url))

interface Ended {
  code: number | null
  out: Buffer
  err: string
}

function embedcore(argv: readonly string[], stdin = ''): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [CLI, ...argv],
      { encoding: 'buffer', maxBuffer: 2 ** 28 },
      (_error, out, err) => {
        resolve({ code: child.exitCode, out, err: err.toString() })
      },
    )
    child.stdin!.end(stdin)
  })
}

function bash(script: string): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      'bash',
      ['-c', script, process.execPath, CLI],
      { encoding: 'buffer', maxBuffer: 2 ** 28 },
      (_error, out, err) => {
        resolve({ code: child.exitCode, out, err: err.toString() })
      },
    )
  })
}

interface Line {
  index: number
  text: string
  embedding: number[]
  tokens: number
  unknown: number
}
const linesOf = (out: Buffer) =>
  out
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)

let folder: string
beforeAll(() => {
  if (!existsSync(CLI)) throw new Error(`${CLI} is missing: run "npm run build" before the tests`)
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'embedcore-cli-'))
})

describe('the built-in model', () => {
  test('doctor says that encoding works', async () => {
    const { code, out } = await embedcore(['doctor', '--json'])
    expect(JSON.parse(out.toString())).toMatchObject({
      ok: true,
      addon: { ok: true },
      tokenizers: { ok: true },
      defaultModel: { ok: true },
    })
    expect(code).toBe(0)
  })

  test('texts of which nothing is known are told of, once for all batches', async () => {
    const model = fileURLToPath(new URL('../golden/stack/mean-normalize', import.meta.url))
    const unknown = '\u{13000}\u{13001}'
    const flags = ['encode', '--model', model, '--batch-size', '1', '--json']
    const { code, out, err } = await embedcore([...flags, unknown, 'the', `the ${unknown}`, unknown])
    expect(code).toBe(0)
    const [warning, last, ...more] = err.trim().split('\n')
    expect(warning).toMatch(/^embedcore: warning: there are texts with only tokens that the tokenizer does not know/)
    expect((JSON.parse(last!) as { summary: object }).summary).toMatchObject({ texts: 4, unknownTokens: 3 })
    expect(more).toEqual([])
    expect(linesOf(out).map(({ unknown: count }) => count)).toEqual([1, 0, 1, 1])
  })

  test('encode: the three formats hold the same numbers', async () => {
    const { code, out, err } = await embedcore(['encode', 'a text', 'another', 'an apple'])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const lines = linesOf(out)
    const info = JSON.parse((await embedcore(['info', '--json'])).out.toString()) as { dimension: number }
    const numbers = Float32Array.from(lines.flatMap(({ embedding }) => embedding))
    expect(numbers.length).toBe(3 * info.dimension)
    const body = Buffer.from(numbers.buffer)
    for (const format of ['npy', 'f32']) {
      const path = join(folder, `x.${format}`)
      expect(
        (await embedcore(['encode', '--format', format, '--out', path, 'a text', 'another', 'an apple'])).code,
      ).toBe(0)
      const file = await readFile(path)
      expect(file.subarray(file.length - body.length).equals(body)).toBe(true)
    }
  })

  test('alone, in a batch, from a pipe: the same vector', async () => {
    const texts = Array.from({ length: 300 }, (_, i) => `text number ${i} ${'and more '.repeat(i % 20)}`.trim())
    const all = linesOf((await embedcore(['encode', '--batch-size', '64'], texts.join('\n'))).out)
    expect(all.map(({ text }) => text)).toEqual(texts)
    for (const i of [0, 63, 64, 299])
      expect(linesOf((await embedcore(['encode', texts[i]!])).out)[0]!.embedding).toEqual(all[i]!.embedding)
  })

  test.each(['int8', 'uint8', 'binary', 'ubinary'])('%s', async (precision) => {
    const path = join(folder, 'x.npy')
    const { code, err } = await embedcore([
      'encode',
      '--json',
      '--precision',
      precision,
      '--format',
      'npy',
      '--out',
      path,
      'a',
      'b',
      'c',
    ])
    expect(code).toBe(0)
    const [warning, last] = precision.endsWith('int8') ? err.trim().split('\n') : ['', err.trim()]
    expect(warning).toMatch(precision.endsWith('int8') ? /^embedcore: warning: .* 3 vectors/ : /^$/)
    const { summary } = JSON.parse(last!) as { summary: { shape: [number, number] } }
    expect((await readFile(path)).length).toBe(128 + summary.shape[0] * summary.shape[1])
  })

  test('no texts', async () => {
    const { code, out } = await embedcore(['encode', '--format', 'npy'])
    expect(code).toBe(0)
    expect(out.toString('latin1')).toMatch(/'shape': \(0, [1-9]\d*\)/)
  })

  test('similarity and info', async () => {
    const { code, out } = await embedcore([
      'similarity',
      '--json',
      'a red apple',
      'a green apple',
      'the tax law of 1986',
    ])
    expect(code).toBe(0)
    const { matrix } = JSON.parse(out.toString()) as { matrix: number[][] }
    expect(matrix[0]![1]).toBeGreaterThan(matrix[0]![2]!)
    expect((await embedcore(['info'])).out.toString()).toContain('dimensions')
  })

  test('usage and input errors', async () => {
    expect(await embedcore(['encode', '--poling', 'x'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--pooling'),
    })
    expect(await embedcore(['encode', '--file', join(folder, 'none.txt')])).toMatchObject({ code: 3 })
    expect(await embedcore(['encode', '--model', join(folder, 'none'), 'x'])).toMatchObject({ code: 1 })
    expect(await embedcore(['encode', '--dimensions', '100000', 'x'])).toMatchObject({ code: 2 })
  })
})

describe('a process among others', () => {
  test('| head ends it quietly with 0', async () => {
    const { out, err } = await bash('yes "some text" | "$0" "$1" encode | head -n 3; echo "${PIPESTATUS[1]}"')
    const lines = out.toString().trim().split('\n')
    expect(err).toBe('')
    expect(lines).toHaveLength(4)
    expect(lines[3]).toBe('0')
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s in the middle: %i, and no unfinished file', async (signal, expected) => {
    await writeFile(join(folder, 'out.jsonl'), 'older')
    const child = spawn(process.execPath, [CLI, 'encode', '--out', join(folder, 'out.jsonl')], {
      stdio: ['pipe', 'ignore', 'pipe'],
    })
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
    child.stdin.on('error', () => undefined)
    child.stdin.write('one\ntwo\n')
    await expect.poll(() => readdir(folder), { timeout: 20_000 }).toHaveLength(2)
    child.kill(signal)
    expect(await ended).toBe(expected)
    expect(await readdir(folder)).toEqual(['out.jsonl'])
    expect(await readFile(join(folder, 'out.jsonl'), 'utf8')).toBe('older')
  })

  test('memory does not grow with the input', async () => {
    // 200,000 lines, 20 MB: all in memory, with vectors as text, they would take several hundred megabytes.
    const peak = async (lines: number) => {
      const text =
        'some text that is repeated, with words enough for a line that is as long as titles often are, and so on'
      const { out } = await bash(`yes "${text}" | head -n ${lines} | "$0" -e '
        const report = () => require("fs").writeSync(2, "peak " + process.resourceUsage().maxRSS + "\\n")
        import(process.argv[1]).then(() => process.on("exit", report))
      ' "$1" encode --format npy 2>&1 >/dev/null`)
      return Number(/peak (\d+)/.exec(out.toString())?.[1])
    }
    const [small, large] = [await peak(20_000), await peak(200_000)]
    expect(large - small).toBeLessThan(100 * 1024)
  })
})

const hasModel = existsSync(MINILM)
if (!hasModel) console.log(`skipped: no model at ${MINILM}`)

describe.runIf(hasModel)('a real model', () => {
  test('MiniLM: related sentences are nearer, tokens have their places', async () => {
    const { out } = await embedcore([
      'similarity',
      '--json',
      '--model',
      MINILM,
      'A man is eating food.',
      'A man is eating a piece of bread.',
      'The girl is carrying a baby.',
    ])
    const { matrix } = JSON.parse(out.toString()) as { matrix: number[][] }
    expect(matrix[0]![1]).toBeGreaterThan(0.7)
    expect(matrix[0]![2]).toBeLessThan(0.2)
    const tokens = JSON.parse(
      (await embedcore(['encode', '--model', MINILM, '--output', 'token', 'red apples'])).out.toString(),
    ) as { pieces: string[]; offsets: number[][]; embeddings: number[][] }
    expect(tokens).toMatchObject({
      pieces: ['[CLS]', 'red', 'apples', '[SEP]'],
      offsets: [
        [0, 0],
        [0, 3],
        [4, 10],
        [0, 0],
      ],
    })
    expect(tokens.embeddings.map((row) => row.length)).toEqual([384, 384, 384, 384])
  })
})
