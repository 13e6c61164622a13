/** Callbacks run in the async context of the call that they belong to, whatever else is under way. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { load, type Model, similarity } from '../../src/index.js'
import { GOLDEN } from '../support/golden.js'
import { useHub } from '../support/hub-fixture.js'

const STACK = path.join(GOLDEN, 'stack/mean-normalize')
const FILES = [
  '1_Pooling/config.json',
  'config.json',
  'config_sentence_transformers.json',
  'model.safetensors',
  'modules.json',
  'sentence_bert_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
]
const fixture = useHub()
const request = new AsyncLocalStorage<string>()
const texts = Array.from({ length: 1500 }, (_, i) => `the red fox ${i}`)

let model: Model
beforeAll(async () => {
  model = await load(STACK)
})
afterAll(() => model.dispose())

test.each(['sentence', 'token'] as const)('onProgress of encode (%s output)', async (output) => {
  const seen: [string, string | undefined][] = []
  const calls = ['first', 'second', 'third'].map((name) =>
    request.run(name, () => model.encode(texts, { output, onProgress: () => seen.push([name, request.getStore()]) })),
  )
  await Promise.all(calls)
  // Every call reports several times, and never in the context of another call or of none.
  for (const name of ['first', 'second', 'third'])
    expect(seen.filter(([call]) => call === name).length).toBeGreaterThan(2)
  expect(seen.filter(([name, store]) => name !== store)).toEqual([])
})

test('onProgress of load', async () => {
  for (const name of ['first', 'second'])
    fixture.hub.addCommit(
      `embedcore/${name}`,
      Object.fromEntries(FILES.map((file) => [file, readFileSync(path.join(STACK, file))])),
    )
  const seen: [string, string | undefined][] = []
  const models = await Promise.all(
    ['first', 'second'].map((name) =>
      request.run(name, () => load(`embedcore/${name}`, { onProgress: () => seen.push([name, request.getStore()]) })),
    ),
  )
  for (const name of ['first', 'second'])
    expect(seen.filter(([call]) => call === name).length).toBeGreaterThan(FILES.length)
  expect(seen.filter(([name, store]) => name !== store)).toEqual([])
  await Promise.all(models.map((loaded) => loaded.dispose()))
})

test('what follows an await of any call', async () => {
  await request.run('mine', async () => {
    const loaded = await load(STACK)
    expect(request.getStore()).toBe('mine')
    const { data } = await loaded.encode('a')
    expect(request.getStore()).toBe('mine')
    await similarity(data, data, { dimension: data.length })
    expect(request.getStore()).toBe('mine')
    for await (const { index } of loaded.encodeStream(['a', 'b'])) expect([index, request.getStore()][1]).toBe('mine')
    await loaded.encode('a', { precision: 'ubinary' })
    expect(request.getStore()).toBe('mine')
    await loaded.dispose()
    expect(request.getStore()).toBe('mine')
  })
})
