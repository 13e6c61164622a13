/** Poolings and adapters in a model directory: those that count and those that are refused. */
import { expect, test } from 'vitest'
import { read, refused, stack } from '../support/model-files.js'

test('a pooling configuration without its dimension is refused, as by the reference', async () => {
  for (const config of [
    {},
    { pooling_mode: 'mean' },
    { word_embedding_dimension: null },
    { embedding_dimension: null },
  ])
    await refused(
      stack([], { '1_Pooling/config.json': config }),
      'ERR_EMBEDCORE_INVALID_CONFIG',
      'word_embedding_dimension',
      '1_Pooling',
    )
  await refused(
    stack([], { '1_Pooling/config.json': { word_embedding_dimension: 'eight' } }),
    'ERR_EMBEDCORE_INVALID_CONFIG',
    '"eight"',
  )
})

test('of several poolings the last counts, and what it replaces must be supported all the same', async () => {
  const files = {
    '2_Dense/config.json': { in_features: 8, out_features: 4 },
    '2_Dense/model.safetensors': '',
    '3_Pooling/config.json': { embedding_dimension: 8, pooling_mode: 'max', include_prompt: false },
    '5_Pooling/config.json': { embedding_dimension: 8, pooling_mode: 'cls' },
  }
  const after: [string, string][] = [
    ['2_Dense', 'Dense'],
    ['3_Pooling', 'Pooling'],
    ['4_Normalize', 'Normalize'],
  ]
  expect(await read(stack(after, files))).toMatchObject({
    pooling: { modes: ['max'], includePrompt: false },
    modules: [{ type: 'normalize' }],
  })
  expect(await read(stack([...after, ['5_Pooling', 'Pooling']], files))).toMatchObject({
    pooling: { modes: ['cls'], includePrompt: true },
    modules: [],
  })
  await refused(stack([['2_CNN', 'CNN'], ...after.slice(1)], files), 'ERR_EMBEDCORE_UNSUPPORTED_MODULE', 'CNN')
})

test('an adapter beside modules is one of its base model; a bare one is not a model', async () => {
  const adapter = {
    'adapter_config.json': { peft_type: 'LORA', base_model_name_or_path: 'organisation/base' },
    'adapter_model.safetensors': '',
  }
  const { 'config.json': _, 'model.safetensors': __, ...alone } = stack([], adapter)
  for (const files of [stack([], adapter), alone])
    expect(await read(files)).toMatchObject({ adapter: { base: 'organisation/base', revision: null } })
  for (const files of [{ 'config.json': { model_type: 'bert' }, 'model.safetensors': '', ...adapter }, adapter])
    await refused(files, 'ERR_EMBEDCORE_UNSUPPORTED_MODEL', 'adapter_config.json', 'LORA', 'organisation/base')
  const nameless = stack([], { ...adapter, 'adapter_config.json': { peft_type: 'LORA' } })
  await refused(nameless, 'ERR_EMBEDCORE_INVALID_CONFIG', 'adapter_config.json', 'base_model_name_or_path')
  const other = stack([], { ...adapter, 'adapter_config.json': { peft_type: 'IA3' } })
  await refused(other, 'ERR_EMBEDCORE_UNSUPPORTED_MODEL', 'adapter_config.json', 'IA3', 'merge')
})
