/** What is downloaded is what a directory of the same files is loaded from. */
import { expect, test } from 'vitest'
import type { JsonValue } from '../../src/core/json-file.js'
import { parseModuleList } from '../../src/core/module-list.js'
import { planFiles } from '../../src/hub/files.js'

const TYPE = 'sentence_transformers.models.'
const MODULES: JsonValue = [
  { idx: 1, path: './1_Pooling/', type: `${TYPE}Pooling` },
  { idx: 0, path: './0_Transformer', type: `${TYPE}Transformer` },
  { idx: 2, type: `my_${TYPE}Normalize`, path: 'a//./b' },
]

test('modules are listed by idx, by the last name of the library own classes, with plain paths', () => {
  expect(parseModuleList(MODULES, 'modules.json')).toEqual([
    { path: '0_Transformer', kind: 'Transformer', type: `${TYPE}Transformer` },
    { path: '1_Pooling', kind: 'Pooling', type: `${TYPE}Pooling` },
    { path: 'a/b', kind: `my_${TYPE}Normalize`, type: `my_${TYPE}Normalize` },
  ])
  for (const path of ['', '.', './'])
    expect(parseModuleList([{ path, type: 'Transformer' }], '')).toMatchObject([{ path: '', kind: 'Transformer' }])
  expect(parseModuleList([{ type: 'x.MyStaticEmbedding' }], '')).toMatchObject([{ path: '', kind: 'StaticEmbedding' }])
})

test('the first module by idx gives config, tokenizer and weights', async () => {
  const paths = [
    'modules.json',
    '0_Transformer/config.json',
    '0_Transformer/model.safetensors',
    '0_Transformer/tokenizer.json',
    '1_Pooling/config.json',
    'a/b/config.json',
    'other/model.safetensors',
  ]
  const plan = await planFiles('owner/name', new Set(paths), () => Promise.resolve(MODULES))
  expect(plan.weights).toEqual(['0_Transformer/model.safetensors'])
  expect(new Set(plan.small)).toEqual(new Set(paths.filter((path) => path.endsWith('.json'))))
  expect(plan.deciding).toContain('0_Transformer/tokenizer.json')
})
