import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../support/fake-core.js'

let folder: string
let corpus: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'embedcore-cli-static-'))
  corpus = path.join(folder, 'corpus.txt')
  const lines = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? 'Red Green Blue' : 'One Two Three'))
  await writeFile(corpus, `${lines.join('\n')}\n`)
})
afterAll(() => rm(folder, { recursive: true }))

const flags = ['--vector-size', '8', '--sample', '0', '--deterministic', '--sg', '--alpha', '0.1']

describe('static train', () => {
  test('writes a file that nearest and analogy read', async () => {
    const out = path.join(folder, 'vectors.bin')
    const trained = await run(['static', 'train', corpus, '-o', out, '--format', 'word2vec-binary', ...flags])
    expect([trained.code, trained.err]).toEqual([
      0,
      '600 tokens in 200 sentences; 6 words that come 5 times or more, 600 tokens of theirs\n',
    ])
    expect(trained.text).toMatch(/^vectors +.*vectors\.bin\nwords +6\nloss +\d/)
    const near = await run(['static', 'nearest', out, 'Red', 'One', '--count', '2'])
    expect(near.code).toBe(0)
    const words = near.text.split('\n').map((line) => line.split('\t')[1])
    expect(words.slice(0, 2).sort()).toEqual(['Blue', 'Green'])
    expect(words.slice(2, 4).sort()).toEqual(['Three', 'Two'])
    const { lines } = await run(['static', 'analogy', out, 'Red', 'Green', 'One', '--count', '1', '--json'])
    expect(lines).toEqual([
      { positive: ['Green', 'One'], negative: ['Red'], found: [expect.objectContaining({ word: expect.any(String) })] },
    ])
  })

  test('--json has the events and the result, --lowercase and subwords their effect', async () => {
    const out = path.join(folder, 'own.bin')
    const options = ['--lowercase', '--max-n', '3', '--bucket', '50', '--format', 'fasttext', '--json']
    const { code, lines } = await run(['static', 'train', corpus, '--out', out, ...flags, ...options])
    expect(code).toBe(0)
    expect(lines.map((line) => (line as { type: string }).type)).toEqual(['vocabulary', 'progress', 'result'])
    expect(lines.at(-1)).toMatchObject({ out, words: 6, corpusTokens: 600 })
    expect((await readFile(out)).readInt32LE(0)).toBe(793712314)
    const near = await run(['static', 'nearest', out, 'redder', '--count', '1'])
    expect([near.err, near.text]).toEqual(['', expect.stringMatching(/\tred\n/)])
  })
})

describe('what is wrong', () => {
  test.each([
    [['static'], 2, /static needs one of train, nearest, analogy/],
    [['static', 'trian', 'x'], 2, /did you mean train/],
    [['static', 'train', '-o', 'x'], 2, /needs a corpus/],
    [['static', 'train', 'x'], 2, /needs --out/],
    [['static', 'train', 'x', '-o', 'y', '--format', 'glov'], 2, /did you mean glove/],
    [['static', 'train', 'x', '-o', 'y', '--min-n', '3'], 2, /maxN/],
    [['static', 'train', '/nowhere/x', '-o', 'y'], 1, /There is no file/],
    [['static', 'nearest', '/nowhere/x', 'word'], 1, /cannot open/],
    [['static', 'analogy', 'x', 'a', 'b'], 2, /three words/],
  ])('%j', async (argv, code, message) => {
    const ended = await run(argv)
    expect(ended.err).toMatch(message)
    expect(ended.code).toBe(code)
  })

  test('a run that fails leaves no file', async () => {
    const out = path.join(folder, 'none.txt')
    const { code, err } = await run(['static', 'train', corpus, '-o', out, '--min-count', '1000', ...flags])
    expect([code, existsSync(out)]).toEqual([3, false])
    expect(err).toMatch(/of which 0 come 1000 times or more/)
    expect((await readdir(folder)).filter((name) => name.includes('partial'))).toEqual([])
  })
})
