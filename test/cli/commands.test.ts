import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { packageVersionOf } from '../../src/cli/machine.js'
import { progressLine } from '../../src/cli/progress.js'
import { cells, compactNumber, duration, label } from '../../src/cli/text.js'
import { EmbedCoreError } from '../../src/core/errors.js'
import { FAKE_INFO, fakeCore, NO_CUDA, fakeScore, fakeVector, run } from '../support/fake-core.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'embedcore-cli-'))
})
afterEach(() => void vi.unstubAllEnvs())
const score = (a: string, b: string, metric = 'cosine') => fakeScore(fakeVector(a), fakeVector(b), metric)

describe('similarity', () => {
  test('an aligned table, wide characters counted as a terminal shows them', async () => {
    const texts = ['a', '苹果手机', 'b c']
    const { code, text } = await run(['similarity', ...texts])
    expect(code).toBe(0)
    const lines = text.trimEnd().split('\n')
    expect(lines).toHaveLength(4)
    expect(new Set(lines.map(cells)).size).toBe(1)
    expect(lines.slice(1).map((line) => line.trim().split(/ {2,}/).slice(1))).toEqual(
      texts.map((a) => texts.map((b) => score(a, b).toFixed(4))),
    )
  })

  test('--dtype goes to the load', async () => {
    for (const [argv, dtype] of [
      [['similarity', '--dtype', 'int8', 'a', 'b'], 'int8'],
      [['encode', '--dtype', 'bfloat16', 'a'], 'bfloat16'],
      [['encode', 'a'], undefined],
    ] as const) {
      const core = fakeCore()
      expect((await run(argv, { core })).code).toBe(0)
      expect(core.loads[0]!.options.dtype).toBe(dtype)
    }
    for (const command of ['encode', 'similarity', 'info'])
      expect((await run(['help', command])).text).toMatch(
        /--dtype NAME +arithmetic: float32, float16, bfloat16, int8, auto/,
      )
  })

  test('--json', async () => {
    const { lines } = await run(['similarity', '--json', '--metric', 'dot', 'a', 'b'])
    expect(lines).toEqual([{ model: 'fake', metric: 'dot', texts: ['a', 'b'], matrix: expect.any(Array) }])
    expect((lines[0]!.matrix as number[][]).map((row) => row.map(Math.fround))).toEqual(
      ['a', 'b'].map((a) => ['a', 'b'].map((b) => Math.fround(score(a, b, 'dot')))),
    )
  })

  test('pairs of a file: the diagonal, in order, over batches', async () => {
    const rows = Array.from({ length: 9 }, (_, i) => [`left ${i}`, `right, ${i * i}`])
    await writeFile(join(folder, 'x.csv'), 'query,title\n' + rows.map(([a, b]) => `${a},"${b}"\n`).join(''))
    const { code, lines } = await run([
      'similarity',
      '--json',
      '--batch-size',
      '4',
      '--file',
      join(folder, 'x.csv'),
      '--columns',
      'query,title',
    ])
    expect(code).toBe(0)
    expect(lines.map(({ score: given, ...rest }) => ({ ...rest, score: Math.fround(given as number) }))).toEqual(
      rows.map(([a, b], index) => ({ index, a, b, score: Math.fround(score(a!, b!)) })),
    )
  })

  test('pairs as text, from a pipe', async () => {
    const { text } = await run(['similarity', '--file', '-', '--input-format', 'tsv'], { stdin: 'a\tb\n' })
    expect(text).toBe(` ${score('a', 'b').toFixed(4)}\ta\tb\n`)
    const { lines } = await run(['similarity', '--json', '--file', '-', '--input-format', 'jsonl'], {
      stdin: '{"sentence1":"a","sentence2":"b"}',
    })
    expect(lines).toMatchObject([{ a: 'a', b: 'b' }])
  })
})

describe('info', () => {
  test('text', async () => {
    const core = fakeCore()
    const { code, text } = await run(['info', './m'], { core })
    expect(code).toBe(0)
    expect(core.loads[0]!.model).toBe('./m')
    expect(text).toContain('layers        2 x 4, 2 heads (1 key-value heads)\n')
    expect(text).toContain('parameters    12.3 M\n')
    expect(text).toContain('prompts       query (default): "q: "\n              document: ""\n')
    expect(core.disposed).toBe(1)
  })

  test('the arithmetic, and what auto was decided by', async () => {
    expect((await run(['info'])).text).toContain('arithmetic    float32\n')
    const core = fakeCore({
      info: {
        dtype: 'bfloat16',
        dtypeChoice: {
          remembered: true,
          measured: [
            { dtype: 'float32', leastCosine: 1, tokensPerSecond: 1000.4 },
            { dtype: 'bfloat16', leastCosine: 0.99995, tokensPerSecond: 2000 },
          ],
        },
      },
    })
    const { text } = await run(['info', '--dtype', 'auto', './m'], { core })
    expect(core.loads[0]!.options.dtype).toBe('auto')
    expect(text).toContain(
      'arithmetic    bfloat16 (auto, measured earlier)\n' +
        '              float32: least cosine 1.000000, 1000 tokens/s\n' +
        '              bfloat16: least cosine 0.999950, 2000 tokens/s\n',
    )
  })

  test('--json, and the default model', async () => {
    const core = fakeCore()
    expect((await run(['info', '--json'], { core })).lines).toEqual([FAKE_INFO])
    expect(core.loads[0]!.model).toBeUndefined()
  })
})

describe('doctor', () => {
  test('all well: 0, and every part is told', async () => {
    vi.stubEnv('HF_ENDPOINT', 'https://hub.example')
    vi.stubEnv('HF_HOME', folder)
    vi.stubEnv('HF_HUB_CACHE', '')
    vi.stubEnv('HF_TOKEN', 'hf_secret')
    const { code, text, err } = await run(['doctor'])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    for (const part of [
      process.versions.node,
      `${process.platform}-${process.arch}`,
      'addon          loaded',
      'isa: avx2',
      'refused: avx512: the processor lacks it',
      'device cpu     Fake processor\n               usable, by cpu-avx2\n',
      'device cuda    cannot be used: the CUDA backend is not there\n' +
        '               library: /lib/libembedcore_cuda.so\n',
      'one text encoded in 4 dimensions',
      'https://hub.example, token present',
      'not there yet',
      'Encoding works here.',
    ]) {
      expect(text).toContain(part)
    }
    expect(text).toMatch(/tokenizers +\d+\.\d+\.\d+ loaded/)
    expect(text).not.toContain('secret')
  })

  test('every GPU: what it is, and why it cannot be used', async () => {
    const gpu = {
      ...NO_CUDA,
      id: 'cuda:0',
      name: 'NVIDIA A10',
      computeCapability: '8.6',
      memoryBytes: 24 * 2 ** 30,
      freeBytes: 12 * 2 ** 30,
      driver: '580.65.06, CUDA 13.0',
      usable: true,
      reason: null,
    } as const
    const old = { ...gpu, id: 'cuda:1', name: 'Old GPU', usable: false, reason: 'too old: get another' } as const
    const core = fakeCore({ gpus: [gpu, old] })
    const { text } = await run(['doctor'], { core })
    expect(text).toContain(
      'device cuda:0  NVIDIA A10, compute capability 8.6, 24.00 GiB of memory, 12.00 GiB of them free, ' +
        'driver 580.65.06, CUDA 13.0\n               usable, by cuda\n',
    )
    expect(text).toMatch(/device cuda:1 {2}Old GPU, .*\n +cannot be used: too old: get another\n/)
    const { lines } = await run(['doctor', '--json'], { core })
    expect((lines[0] as { devices: unknown[] }).devices.slice(1)).toEqual([gpu, old])
  })

  test('--json', async () => {
    const { code, lines } = await run(['doctor', '--json'])
    expect(code).toBe(0)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({
      ok: true,
      addon: { ok: true },
      tokenizers: { ok: true },
      defaultModel: { ok: true, name: 'fake' },
      hub: { ok: true, cacheDir: expect.any(String) },
    })
  })

  test('the addon does not load: 1, the reason, and the rest all the same', async () => {
    const missing = () => Promise.reject(new EmbedCoreError('ERR_EMBEDCORE_NATIVE_LOAD', 'no binary for plan9'))
    const { code, text } = await run(['doctor'], { core: missing })
    expect(code).toBe(1)
    expect(text).toMatch(/addon +NOT WORKING: no binary for plan9 \(ERR_EMBEDCORE_NATIVE_LOAD\)/)
    expect(text).toMatch(/default model +NOT WORKING: no binary/)
    expect(text).toMatch(/tokenizers +\d/)
    expect(text).toContain('Encoding does NOT work here')
  })

  test('a CPU that is refused, a model that is missing, a model that gives nonsense', async () => {
    expect((await run(['doctor'], { core: fakeCore({ cpuReason: 'no SSE2' }) })).text).toMatch(
      /addon +NOT WORKING: no SSE2\n/,
    )
    expect(
      await run(['doctor', '--json'], {
        core: fakeCore({ loadError: new EmbedCoreError('ERR_EMBEDCORE_NOT_FOUND', 'gone') }),
      }),
    ).toMatchObject({
      code: 1,
      lines: [
        { ok: false, addon: { ok: true }, defaultModel: { ok: false, reason: 'gone (ERR_EMBEDCORE_NOT_FOUND)' } },
      ],
    })
  })

  test('hub settings that cannot be are told of, and do not hinder the rest', async () => {
    vi.stubEnv('HF_ENDPOINT', 'https://me:secret@hub.example')
    const { code, text } = await run(['doctor'])
    expect(code).toBe(0)
    expect(text).toMatch(/hub +NOT WORKING: Expected an address without user name and password for HF_ENDPOINT/)
    expect(text).not.toContain('secret')
  })

  test('installed versions', () => {
    expect(packageVersionOf('vitest')).toMatch(/^4\./)
    expect(packageVersionOf('no-such-package-at-all')).toBeNull()
  })
})

describe('text for people', () => {
  test('cells and labels', () => {
    expect([cells('abc'), cells('苹果'), cells('e\u0301'), cells('👍')]).toEqual([3, 4, 1, 2])
    expect(label('苹果手机壳', 7)).toBe('苹果手…')
    expect(label('a\n\x1b[31mb', 40)).toBe('a [31mb')
  })

  test('numbers', () => {
    expect([0, 999, 12_345, 1_234_567, 2.5e9].map(compactNumber)).toEqual(['0', '999', '12.3 k', '1.23 M', '2.50 G'])
    expect([0, 59.6, 61, 3725].map(duration)).toEqual(['0:00', '1:00', '1:01', '1:02:05'])
  })

  test('progress with and without a known end', () => {
    expect(progressLine({ texts: 500, tokens: 20_000, share: 0.25 }, 2)).toBe(
      '██████░░░░░░░░░░░░░░░░░░  25 %  500 texts  250 texts/s  10.0 k tokens/s  ETA 0:06',
    )
    expect(progressLine({ texts: 500, tokens: 20_000, share: null }, 2)).toBe(
      '500 texts  250 texts/s  10.0 k tokens/s  0:02',
    )
  })
})
