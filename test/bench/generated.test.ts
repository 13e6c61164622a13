/** The package loads and runs the model and the tokenizer that the bench generates if there are no real ones. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { embedCore } from '../../src/index.js'
import { ROOT } from '../support/golden.js'

const bench = (file: string) => import(pathToFileURL(join(ROOT, 'bench', file)).href)
const { makeRandomModel } = await bench('models/random_model.mjs')
const { makeTokenizer } = await bench('models/made_tokenizer.mjs')
const { MODELS } = await bench('lib/specs.mjs')
const { WORDS } = await bench('lib/words.mjs')

const folder = mkdtempSync(join(tmpdir(), 'embedcore-generated-'))
afterAll(() => rmSync(folder, { recursive: true }))

function make(name: string) {
  const directory = join(folder, name)
  const spec = MODELS['minilm-shape']
  // The shape of MiniLM except for its width and depth, because the test is about the files and not about speed.
  const shape = { ...spec.shape, hidden_size: 48, num_hidden_layers: 1, intermediate_size: 96 }
  makeRandomModel(directory, { ...spec, shape }, 7)
  makeTokenizer(directory, shape.vocab_size, 7)
  return directory
}

test('a generated model encodes; common words are one token each and none is unknown', async () => {
  const model = await embedCore.load(make('one'))
  expect(model.info).toMatchObject({ family: 'bert', vocabSize: 30522, dimension: 48, maxTokens: 256, normalize: true })
  const words: string[] = [...new Set<string>(WORDS)]
  const texts = [words.slice(0, 50).join(' '), 'Small Red Lamp.', 'zq 7!']
  const { tokenCounts, data } = await model.encode(texts)
  expect([...tokenCounts]).toEqual([52, 6, 6])
  expect(data.every(Number.isFinite)).toBe(true)
  const { ids } = (await model.encode(texts, { output: 'token' })).text(2)
  expect([ids[0], ids.at(-1)]).toEqual([101, 102])
  expect(ids).not.toContain(100)
  await model.dispose()
})

test('the same seed gives the same files', () => {
  const [a, b] = [make('a'), make('b')]
  for (const file of ['tokenizer.json', 'vocab.txt', 'model.safetensors', 'config.json'])
    expect(readFileSync(join(a, file)).equals(readFileSync(join(b, file)))).toBe(true)
})
