/** A decoder whose layers have masks of their own: what is trained, how it is saved, and who refuses it. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { load, train } from '../../src/index.js'
import type { TrainOptions } from '../../src/train/types.js'
import { GOLDEN } from '../support/golden.js'
import { hasPython, openInPython } from './in-python.js'

const DECODER = path.join(GOLDEN, 'stack/decoder')
const TEXTS = ['quick brown fox', 'the captain of the harbour and two small boxes']
const LAYERS = ['causal', 'bidirectional'] as const
const PAIRS = Array.from({ length: 16 }, (_, i) => ({
  anchor: `quick ${['fox', 'dog', 'cup', 'box'][i % 4]} ${i}`,
  positive: `the ${['fox', 'dog', 'cup', 'box'][i % 4]} ${i}`,
}))

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-attention-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let number = 0
let output = ''
beforeEach(() => {
  output = path.join(root, `run-${number++}`)
})

async function runOf(options: Partial<TrainOptions> = {}): Promise<number[]> {
  const losses: number[] = []
  const run = train({
    model: DECODER,
    data: PAIRS,
    output,
    batchSize: 8,
    learningRate: 1e-3,
    logs: false,
    attention: LAYERS,
    pooling: 'mean',
    threads: 2,
    ...options,
  })
  for await (const event of run) if (event.type === 'step') losses.push(event.loss)
  return losses
}

const json = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path.join(output, name), 'utf8')) as Record<string, unknown>

type Attention = NonNullable<Parameters<Awaited<ReturnType<typeof load>>['encode']>[1]>['attention']
async function vectorsOf(directory: string, attention?: Attention): Promise<number[]> {
  await using model = await load(directory)
  return [...(await model.encode(TEXTS, attention === undefined ? {} : { attention })).data]
}

test('a mask for each layer is trained, saved and loaded', async () => {
  const losses = await runOf()
  expect(json('embedcore.json')).toEqual({ format: 1, attention: LAYERS })
  expect(json('modules.json')).toMatchObject([{ type: 'embedcore.Transformer' }, {}, {}])
  expect(json('config.json')).not.toHaveProperty('is_causal')
  expect(readFileSync(path.join(output, 'README.md'), 'utf8')).toMatch(/^---\nlibrary_name: embedcore\n/)
  await using model = await load(output)
  expect(model.info.attention).toEqual(LAYERS)
  const own = await vectorsOf(output)
  expect(await vectorsOf(output, LAYERS)).toEqual(own)
  expect(await vectorsOf(output, 'causal')).not.toEqual(own)
  expect(await vectorsOf(output, 'bidirectional')).not.toEqual(own)
  output += '-causal'
  expect(await runOf({ attention: 'causal' })).not.toEqual(losses)
})

test('such a model keeps its masks when it is trained further, and may get others', async () => {
  await runOf()
  const first = output
  output += '-further'
  await runOf({ model: first, attention: undefined, method: 'lora', merge: true })
  expect(json('embedcore.json')['attention']).toEqual(LAYERS)
  output += '-whole'
  await runOf({ model: first, attention: 'bidirectional' })
  expect(json('config.json')['is_causal']).toBe(false)
  expect(json('modules.json')).toMatchObject([{ type: 'sentence_transformers.models.Transformer' }, {}, {}])
})

test('equal masks are one for all layers', async () => {
  await runOf({ attention: ['bidirectional', 'bidirectional'] })
  expect(json('config.json')['is_causal']).toBe(false)
  expect(() => json('embedcore.json')).toThrow(/ENOENT/)
})

test('the layout may be asked for', async () => {
  await runOf({ attention: 'bidirectional', layout: 'embedcore' })
  expect(json('embedcore.json')['attention']).toEqual(['bidirectional'])
  await using model = await load(output)
  expect(model.info.attention).toBe('bidirectional')
})

describe('refused', () => {
  test.each<[string, Partial<TrainOptions>, string]>([
    [
      'the layout of sentence-transformers',
      { layout: 'sentence-transformers' },
      "Expected 'embedcore' beside attention",
    ],
    ['an adapter of PEFT', { method: 'lora' }, 'for an adapter of PEFT'],
    ['an adapter in our layout', { method: 'lora', attention: 'causal', layout: 'embedcore' }, 'merge: true'],
    ['too many masks', { attention: ['causal', 'causal', 'bidirectional'] }, 'one mode or a list of 2, one a layer'],
    ['an encoder', { model: path.join(GOLDEN, 'stack/mean-normalize') }, "'bidirectional' for an encoder"],
    ['a prefix', { attention: ['causal', 'prefix'] as never }, "'causal' or 'bidirectional'"],
  ])('%s', async (_, options, message) => {
    await expect(runOf(options)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringContaining(message) as string,
    })
  })

  const broken = async (content: object | null): Promise<unknown> => {
    await runOf()
    const file = path.join(output, 'embedcore.json')
    if (content === null) rmSync(file)
    else writeFileSync(file, JSON.stringify(content))
    return load(output).catch((error: unknown) => error)
  }
  test.each<[object | null, string, string]>([
    [null, 'NOT_FOUND', 'Expected embedcore.json'],
    [{ format: 2, attention: LAYERS }, 'UNSUPPORTED_MODEL', 'Expected 1 for "format"'],
    [{ format: 1, attention: LAYERS, experts: 4 }, 'UNSUPPORTED_MODEL', '"experts"'],
    [{ format: 1, attention: ['causal', 'prefix'] }, 'INVALID_CONFIG', '"attention"'],
    [{ format: 1, attention: ['causal', 'causal', 'bidirectional'] }, 'INVALID_CONFIG', 'one mode or 2, one a layer'],
  ])('a file that says %j', async (content, code, message) => {
    expect(await broken(content)).toMatchObject({
      code: `ERR_EMBEDCORE_${code}`,
      message: expect.stringContaining(message) as string,
    })
  })
})

test.skipIf(!hasPython)('sentence-transformers refuses it', { timeout: 300_000 }, async () => {
  await runOf()
  expect(() => openInPython(['st', output], TEXTS)).toThrow(/Command failed/)
  // It is the module's type that stands in the way.
  const plain = `${output}-plain`
  cpSync(output, plain, { recursive: true })
  const modules = readFileSync(path.join(plain, 'modules.json'), 'utf8')
  const usual = modules.replace('embedcore.Transformer', 'sentence_transformers.models.Transformer')
  writeFileSync(path.join(plain, 'modules.json'), usual)
  expect(openInPython(['st', plain], TEXTS)).toHaveLength(2)
})
