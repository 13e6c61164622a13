/** A learnable [CLS] token on a decoder: its row, its place, what is trained of it, and what is saved. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { load, planTraining, train } from '../../src/index.js'
import type { TrainOptions } from '../../src/train/types.js'
import { GOLDEN, Tensors } from '../support/golden.js'
import { CLOSE, hasPython, openInPython } from './in-python.js'

const DECODER = path.join(GOLDEN, 'stack/decoder')
const WITH_CLS = path.join(GOLDEN, 'stack/decoder-cls-last')
const TABLE = 'embed_tokens.weight'
const WIDTH = 16
const TEXTS = ['quick brown fox', 'phone', 'the captain of the harbour and two small boxes']
const WORDS = ['quick', 'brown', 'fox', 'lazy', 'dog', 'captain', 'harbour', 'phone']
const PAIRS = Array.from({ length: 16 }, (_, i) => ({
  anchor: `${WORDS[i % 8]} ${WORDS[(i * 3 + 1) % 8]}`,
  positive: `the ${WORDS[(i * 3 + 1) % 8]} ${WORDS[i % 8]}`,
}))
const LORA = { method: 'lora', merge: true } as const

const root = mkdtempSync(path.join(tmpdir(), 'embedcore-cls-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let number = 0
let output = ''
beforeEach(() => {
  output = path.join(root, `run-${number++}`)
})

const base = (): TrainOptions => ({
  model: DECODER,
  data: PAIRS,
  output,
  batchSize: 8,
  learningRate: 1e-2,
  logs: false,
  clsToken: true,
  threads: 2,
})

async function runOf(options: Partial<TrainOptions> = {}): Promise<string> {
  await train({ ...base(), ...options })
  return output
}

/** The table's rows. */
function rowsIn(directory: string): number[][] {
  const { data } = new Tensors(path.join(directory, 'model.safetensors')).float(TABLE)
  return Array.from({ length: data.length / WIDTH }, (_, i) => [...data.slice(i * WIDTH, (i + 1) * WIDTH)])
}

const json = (directory: string, name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path.join(directory, name), 'utf8')) as Record<string, unknown>

async function vectorsOf(directory: string): Promise<number[][]> {
  await using model = await load(directory)
  return [...(await model.encode(TEXTS))].map((row) => [...row])
}

/** The ids of the tokens of a text, as the loaded model sees them. */
async function idsOf(directory: string, text: string): Promise<number[]> {
  await using model = await load(directory)
  return [...(await model.tokenize(text)).text(0).ids]
}

const distance = (a: number[][], b: number[][]): number =>
  Math.max(...a.flatMap((row, i) => row.map((value, d) => Math.abs(value - b[i]![d]!))))

describe('a new token', () => {
  const table = rowsIn(DECODER)

  test('is the last of a text under a causal mask, and is pooled', async () => {
    await runOf()
    expect(json(output, 'config.json')['vocab_size']).toBe(table.length + 1)
    expect(rowsIn(output)).toHaveLength(table.length + 1)
    await using model = await load(output)
    expect(model.info).toMatchObject({ pooling: ['lasttoken'], vocabSize: table.length + 1, attention: 'causal' })
    const plain = await idsOf(DECODER, TEXTS[0]!)
    expect(await idsOf(output, TEXTS[0]!)).toEqual([...plain, table.length])
    // Also where a text is cut.
    const { ids } = (await model.tokenize(TEXTS[2]!, { maxTokens: 6 })).text(0)
    expect([ids.length, ids.at(-1)]).toEqual([6, table.length])
  })

  test('is the first where attention is bidirectional', async () => {
    await runOf({ attention: 'bidirectional', clsToken: '<start>' })
    expect(json(output, 'config.json')['is_causal']).toBe(false)
    expect(json(output, 'tokenizer_config.json')).toMatchObject({ cls_token: '<start>', padding_side: 'right' })
    await using model = await load(output)
    expect(model.info).toMatchObject({ pooling: ['cls'], attention: 'bidirectional' })
    expect(await idsOf(output, TEXTS[0]!)).toEqual([table.length, ...(await idsOf(DECODER, TEXTS[0]!))])
    expect((await model.tokenize('a <start> b')).text(0).tokens).toContain('<start>')
  })

  test('is all that is trained of a frozen table', async () => {
    await runOf(LORA)
    const first = rowsIn(output)
    output += '-other'
    await runOf({ ...LORA, epochs: 3 })
    const second = rowsIn(output)
    for (const rows of [first, second]) expect(rows.slice(0, -1)).toEqual(table)
    expect(first.at(-1)).not.toEqual(second.at(-1))
  })

  test('has a row that the seed draws', async () => {
    const begun = async (options: Partial<TrainOptions>): Promise<number[]> => {
      output += '-begun'
      // So small a rate that the row stays at its first values but for their last bits.
      await runOf({ ...LORA, maxSteps: 1, learningRate: 1e-12, ...options })
      return rowsIn(output).at(-1)!
    }
    const one = await begun({})
    expect(await begun({ threads: 1 })).toEqual(one)
    expect(await begun({ seed: 7 })).not.toEqual(one)
    expect(distance([await begun({ method: 'full', merge: false })], [one])).toBeLessThan(1e-6)
  })

  test('goes on with the same bits after an abort', async () => {
    const options = { ...LORA, epochs: 4, saveSteps: 1 }
    await runOf(options)
    const whole = readFileSync(path.join(output, 'model.safetensors'))
    output += '-parts'
    const run = train({ ...base(), ...options })
    await (async () => {
      for await (const event of run) if (event.type === 'step' && event.step === 3) run.abort()
    })().catch(() => undefined)
    await runOf({ ...options, resume: true })
    expect(readFileSync(path.join(output, 'model.safetensors')).equals(whole)).toBe(true)
  })

  test('counts in the plan', async () => {
    const plan = async (options: Partial<TrainOptions>) =>
      planTraining({ model: DECODER, data: PAIRS, output, ...options })
    for (const options of [{ method: 'full' as const }, LORA]) {
      const [without, own] = [await plan(options), await plan({ ...options, clsToken: true })]
      expect(own.parameters - without.parameters).toBe(WIDTH)
      expect(own.trainedParameters - without.trainedParameters).toBe(WIDTH)
      expect(own.method).toBe(`${without.method}, token [CLS]`)
    }
  })

  test('is rounded as the file is, beside rows that keep their bits', async () => {
    const half = path.join(root, 'bfloat16')
    cpSync(DECODER, half, { recursive: true })
    const source = new Tensors(path.join(half, 'model.safetensors'))
    writeBfloat16(source, path.join(half, 'model.safetensors'))
    await runOf({ ...LORA, model: half })
    const [before, after] = [half, output].map(tableBytes)
    expect(after!.length).toBe(before!.length + 2 * WIDTH)
    expect(after!.subarray(0, before!.length).equals(before!)).toBe(true)
  })
})

describe('a token that the model has', () => {
  test('is trained further, and the table keeps its size', async () => {
    const before = rowsIn(WITH_CLS)
    await runOf({ ...LORA, model: WITH_CLS })
    const after = rowsIn(output)
    expect(after).toHaveLength(before.length)
    expect(after.slice(0, -1)).toEqual(before.slice(0, -1))
    expect(after.at(-1)).not.toEqual(before.at(-1))
    expect(readFileSync(path.join(output, 'tokenizer.json'))).toEqual(
      readFileSync(path.join(WITH_CLS, 'tokenizer.json')),
    )
  })

  test('stays as it is without the option', async () => {
    await runOf({ ...LORA, model: WITH_CLS, clsToken: false })
    expect(rowsIn(output)).toEqual(rowsIn(WITH_CLS))
  })
})

describe('refused', () => {
  test.each<[string, Partial<TrainOptions>, string]>([
    ['an encoder', { model: path.join(GOLDEN, 'stack/mean-normalize') }, 'nothing for an encoder'],
    ['an adapter of PEFT', { method: 'lora' }, "Expected true for method 'lora' beside clsToken"],
    ['a pooling of another token', { pooling: 'cls' }, "anything but 'cls'"],
    ['the same the other way', { pooling: ['mean', 'lasttoken'], attention: 'bidirectional' }, "but 'lasttoken'"],
    ['a token elsewhere', { model: WITH_CLS, attention: 'bidirectional' }, 'a token that its tokenizer puts first'],
    ['a word', { clsToken: 'Ġthe' }, 'a text that the model has no token for'],
    ['an empty text', { clsToken: '' }, 'clsToken'],
  ])('%s', async (_, options, message) => {
    await expect(runOf(options)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringContaining(message) as string,
    })
  })

  test('a mask that an adapter of PEFT cannot name', async () => {
    await expect(runOf({ clsToken: false, method: 'lora', attention: 'bidirectional' })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringContaining('merge: true saves a model') as string,
    })
  })
})

test('processors that are no template stay, and the tokens around a text too', async () => {
  const model = path.join(root, 'llama-like')
  cpSync(DECODER, model, { recursive: true })
  const tokenizer = json(model, 'tokenizer.json')
  const template = tokenizer['post_processor']
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true }
  tokenizer['post_processor'] = { type: 'Sequence', processors: [bytes, template] }
  writeFileSync(path.join(model, 'tokenizer.json'), JSON.stringify(tokenizer))
  // transformers 4 makes the template of this class from the two keys.
  const config = { ...json(model, 'tokenizer_config.json'), tokenizer_class: 'LlamaTokenizer' }
  const roles = { bos_token: '!', add_bos_token: true, add_eos_token: true }
  writeFileSync(path.join(model, 'tokenizer_config.json'), JSON.stringify({ ...config, ...roles }))
  const plain = await idsOf(model, TEXTS[0]!)
  await runOf({ model })
  const ids = await idsOf(output, TEXTS[0]!)
  expect(ids.slice(0, -1)).toEqual(plain)
  const made = json(output, 'tokenizer.json')['post_processor'] as { processors?: { type: string }[]; type: string }
  expect(made.type).toMatch(/Sequence|TemplateProcessing/)
  expect(json(output, 'tokenizer_config.json')).not.toHaveProperty('add_bos_token')
})

describe.skipIf(!hasPython)('in Python', () => {
  test.each<[string, Partial<TrainOptions>]>([
    ['last, all weights', {}],
    ['first, LoRA', { ...LORA, attention: 'bidirectional', projection: 8 }],
    ['with the mean', { pooling: 'mean' }],
  ])('sentence-transformers opens it and gives the same vectors: %s', { timeout: 300_000 }, async (_, options) => {
    await runOf(options)
    expect(distance(openInPython(['st', output], TEXTS), await vectorsOf(output))).toBeLessThan(CLOSE)
  })
})

function tableBytes(directory: string): Buffer {
  const bytes = readFileSync(path.join(directory, 'model.safetensors'))
  const start = 8 + Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<string, { data_offsets: [number, number] }>
  const [from, to] = header[TABLE]!.data_offsets
  return bytes.subarray(start + from, start + to)
}

/** The same tensors in bfloat16, cut. */
function writeBfloat16(source: Tensors, file: string): void {
  const header: Record<string, object> = {}
  const parts: Uint8Array[] = []
  let offset = 0
  for (const name of source.names) {
    const { data, shape } = source.float(name)
    const words = new Uint32Array(data.slice().buffer)
    const bytes = new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer)
    header[name] = { dtype: 'BF16', shape, data_offsets: [offset, (offset += bytes.length)] }
    parts.push(bytes)
  }
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(file, Buffer.concat([length, text, ...parts]))
}
