/** Files with unsupported settings are refused by name when the model is loaded, never ignored. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { embedCore } from '../../src/index.js'
import { GOLDEN } from '../support/golden.js'

let root: string
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'embedcore-unsupported-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

/** A copy of a golden directory, its config.json with these keys. */
async function copyOf(name: string, keys: object, file = 'config.json'): Promise<string> {
  const directory = await mkdtemp(path.join(root, 'model-'))
  await cp(path.join(GOLDEN, 'stack', name), directory, { recursive: true })
  const place = path.join(directory, file)
  const before = await readFile(place, 'utf8').catch(() => '{}')
  await writeFile(place, JSON.stringify({ ...(JSON.parse(before) as object), ...keys }))
  return directory
}

test.each([
  ['bare-bert', 'quantization_config', { quant_method: 'compressed-tensors', format: 'float-quantized' }],
  ['bare-qwen2', 'quantization_config', { quant_method: 'fp8', fmt: 'e4m3' }],
  ['decoder', 'quantization_config', { quant_method: 'gptq', bits: 4 }],
  ['bare-qwen2', 'quantization_config', { quant_method: 'bitsandbytes', load_in_4bit: true }],
  ['bare-qwen2', 'compression_config', { format: 'pack-quantized' }],
  ['bare-qwen2', 'auto_map', { AutoModel: 'modeling_qwen.Qwen2Model' }],
  ['bare-bert', 'auto_map', { AutoConfig: 'configuration_own.OwnConfig' }],
  ['bare-bert', 'is_decoder', true],
  ['bare-bert', 'add_cross_attention', true],
  ['bare-bert', 'pruned_heads', { 0: [1] }],
  ['bare-bert', 'position_embedding_type', 'relative_key'],
  ['bare-qwen2', 'per_layer_config', { 0: { intermediate_size: 8 } }],
  ['bare-qwen2', 'rope_scaling', { rope_type: 'dynamic', factor: 2 }],
])('%s with %s', async (name, key, value) => {
  const error = await embedCore.load(await copyOf(name, { [key]: value })).then(
    () => null,
    (thrown: unknown) => thrown as Error,
  )
  expect(error).toMatchObject({ name: 'EmbedCoreError', code: 'ERR_EMBEDCORE_UNSUPPORTED_MODEL' })
  expect(error!.message).toContain('config.json')
  expect(error!.message).toContain(key === 'rope_scaling' ? 'dynamic' : key)
})

test('tokenizer code and adapters beside a whole model', async () => {
  const code = { auto_map: { AutoTokenizer: ['tokenization_own.OwnTokenizer', null] } }
  await expect(embedCore.load(await copyOf('decoder', code, 'tokenizer_config.json'))).rejects.toMatchObject({
    code: 'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
    message: expect.stringContaining('auto_map') as string,
  })
  await expect(
    embedCore.load(await copyOf('mean-normalize', { peft_type: 'IA3' }, 'adapter_config.json')),
  ).rejects.toMatchObject({
    code: 'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
    message: expect.stringContaining('adapter_config.json') as string,
  })
})

test('the same keys without a value change nothing', async () => {
  const keys = { quantization_config: null, auto_map: {}, pruned_heads: {}, is_decoder: false, per_layer_config: null }
  await using plain = await embedCore.load(path.join(GOLDEN, 'stack', 'bare-bert'))
  await using same = await embedCore.load(await copyOf('bare-bert', keys))
  expect((await same.encode(['the quick fox'])).data).toEqual((await plain.encode(['the quick fox'])).data)
})
