import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { COMMANDS } from '../../src/cli/help.js'
import { fakeCore, run } from '../support/fake-core.js'

describe('usage errors', () => {
  test.each([
    [[], 'no command: one of encode, similarity, map, evaluate, train, static, info, doctor, help'],
    [['encdoe'], 'unknown command "encdoe"; did you mean encode?'],
    [['frobnicate'], 'unknown command "frobnicate"; commands are encode'],
    [['--model', 'x', 'encode'], 'the command comes first, but --model was given'],
    [['encode', '--poling', 'mean', 'x'], 'unknown flag --poling; did you mean --pooling?'],
    [['encode', '--zzzzzz', 'x'], 'unknown flag --zzzzzz (a text that begins with "-"'],
    [['encode', '-5', 'degrees'], 'unknown flag -5'],
    [['encode', '--model'], '--model needs a value: --model MODEL'],
    [['encode', '--model', '--offline', 'x'], '--model needs a value'],
    [['encode', '--json=yes', 'x'], '--json takes no value, but "yes" was given'],
    [['encode', '--dimensions', '3', '--dimensions', '4', 'x'], '--dimensions was given twice'],
    [['encode', '--dimensions', '1.5', 'x'], '--dimensions takes a whole number of at least 1, but "1.5" was given'],
    [
      ['encode', '--dtype', 'int4', 'x'],
      '--dtype is one of float32, float16, bfloat16, int8, auto, but "int4" was given; did you mean int8?',
    ],
    [['encode', '--threads', '0', 'x'], '--threads takes a whole number of at least 1'],
    [['encode', '--max-tokens', '-3', 'x'], '--max-tokens takes a whole number of at least 1, but "-3" was given'],
    [
      ['encode', '--pooling', 'mean,maks', 'x'],
      '--pooling is one of cls, mean, max, mean_sqrt_len, weightedmean, lasttoken, but "maks" was given; ' +
        'did you mean max?',
    ],
    [['encode', '--precision', 'int4', 'x'], '--precision is one of float32, int8'],
    [['encode', '--layers', 'last', 'x'], '--layers is a number'],
    [['encode', '--format', 'csv', 'x'], '--format is one of jsonl, npy, f32'],
    [['encode', '--normalize', '--no-normalize', 'x'], '--normalize and --no-normalize exclude each other'],
    [['encode', '--prompt', 'a', '--prompt-name', 'b', 'x'], '--prompt and --prompt-name exclude each other'],
    [['encode', '--file', 'a.txt', 'x'], 'texts come either as arguments or from a file: "x" was given beside --file'],
    [['encode', '--column', '1', 'x'], 'was given beside --column'],
    [
      ['encode', '--file', 'a.parquet'],
      'cannot tell the format of a.parquet from its name; say it with --input-format txt|jsonl|csv|tsv',
    ],
    [['encode', '--file', 'a.txt', '--column', '1'], '--column is for csv and tsv, but the input is txt'],
    [['encode', '--file', 'a.csv', '--field', 'x'], '--field is for jsonl, but the input is csv'],
    [['encode', '--file', 'a.csv', '--column', '0'], '--column counts from 1'],
    [['encode', '--file', 'a.csv', '--delimiter', '||'], '--delimiter is one character'],
    [['encode', '--format', 'f32', '--precision', 'int8', 'x'], '--format f32 holds float32, not int8'],
    [['encode', '--output', 'token', '--precision', 'int8', 'x'], '--output token gives float32, not int8'],
    [['encode', '--output', 'token', '--format', 'f32', 'x'], 'needs a place for the tokens of each text'],
    [['encode', '--output', 'token', '--format', 'npy', 'x'], 'is two files'],
    [['encode', '--calibration', '5', 'x'], '--calibration is for --precision int8 and uint8, not float32'],
    [['encode', '--ranges', 'a', '--calibration', '5', '--precision', 'int8', 'x'], 'exclude each other'],
    [['similarity', 'a'], 'one text has nothing to be compared with'],
    [['similarity'], 'no texts: give two or more'],
    [
      ['similarity', '--metric', 'cosinus', 'a', 'b'],
      '--metric is one of cosine, dot, euclidean, manhattan, but "cosinus" was given; did you mean cosine?',
    ],
    [['similarity', '--file', 'a.csv', '--columns', 'a'], '--columns takes two columns'],
    [['similarity', '--file', 'a.txt'], 'pairs come from csv, tsv or jsonl'],
    [['info', 'a', 'b'], 'info is about one model, but 2 were given'],
    [['info', 'a', '--model', 'b'], 'the model was given twice'],
    [['doctor', 'x'], 'doctor takes no arguments'],
    [['help', 'encod'], 'no help on "encod"; did you mean encode?'],
  ])('%j', async (argv, message) => {
    const core = fakeCore()
    const { code, err, text } = await run(argv, { core })
    expect(err).toContain(message)
    expect(err).toMatch(/\nSee: embedcore help( \w+)?\n$/)
    expect({ code, text, loads: core.loads }).toEqual({ code: 2, text: '', loads: [] })
  })

  test('no texts on a terminal; binary to a terminal', async () => {
    expect(await run(['encode'], { isTTY: { stdin: true } })).toMatchObject({
      code: 2,
      err: expect.stringContaining('no texts'),
    })
    expect(await run(['encode', '--format', 'npy', 'x'], { isTTY: { stdout: true } })).toMatchObject({
      code: 2,
      err: expect.stringContaining('standard output is a terminal'),
    })
  })

  test('as JSON', async () => {
    const { code, err } = await run(['encode', '--json', '--poling', 'x'])
    expect(code).toBe(2)
    expect(JSON.parse(err)).toEqual({ error: { code: 'ERR_CLI_USAGE', message: expect.stringContaining('--pooling') } })
  })

  test('behind "--" everything is a text', async () => {
    expect((await run(['encode', '--', '-5 degrees', '--json', '--help'])).lines.map(({ text }) => text)).toEqual([
      '-5 degrees',
      '--json',
      '--help',
    ])
  })

  test('names of things every object has are not flags', async () => {
    expect((await run(['encode', '--constructor', 'x'])).err).toContain('unknown flag --constructor')
  })
})

describe('help and version', () => {
  const noCore = () => Promise.reject(new Error('help must not load the addon'))

  test.each(COMMANDS)('%s', async (command) => {
    const { code, text } = await run(['help', command], { core: noCore })
    expect(code).toBe(0)
    expect(text).toMatch(new RegExp(`^embedcore ${command}: `))
    if (command !== 'help') {
      expect(text).toContain('Exit codes')
      expect(await run([command, '--help'], { core: noCore })).toMatchObject({ code: 0, text })
    }
  })

  test('the examples of encode parse', async () => {
    const { text } = await run(['help', 'encode'])
    const examples = text
      .split('\n')
      .filter((line) => /^ {2}embedcore encode .*"/.test(line) && !line.includes('--file') && !line.includes('[flags]'))
    expect(examples.length).toBeGreaterThan(4)
    for (const line of examples) {
      const words = [
        ...line
          .trim()
          .split(/ {4,}/)[0]!
          .matchAll(/"([^"]*)"|(\S+)/g),
      ].map(([, quoted, bare]) => quoted ?? bare!)
      expect(await run(words.slice(1))).toMatchObject({ code: 0, err: '' })
    }
  })

  test('general', async () => {
    const { code, text } = await run(['--help'], { core: noCore })
    expect(code).toBe(0)
    for (const command of COMMANDS) expect(text).toContain(`embedcore ${command}`)
    for (const exit of [0, 1, 2, 3, 130]) expect(text).toMatch(new RegExp(`^ +${exit} +\\w`, 'm'))
    expect((await run(['help'])).text).toBe(text)
  })

  test('version', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    expect(await run(['--version'], { core: noCore })).toMatchObject({ code: 0, text: `${version}\n` })
  })
})
