/** A BERT model without its upper layers. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { readTensors, writeTensors } from '../lib/safetensors.mjs'

const FILES = [
  'modules.json',
  'sentence_bert_config.json',
  'config_sentence_transformers.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'vocab.txt',
  '1_Pooling/config.json',
]

/** Writes the first `layers` layers of the model in `from` to `to`. Returns `to`. */
export function cutModel(from, to, layers) {
  const config = JSON.parse(readFileSync(path.join(from, 'config.json'), 'utf8'))
  if (config.model_type !== 'bert' || config.num_hidden_layers < layers)
    throw new Error(`Expected a BERT of at least ${layers} layers in ${from} but found ${config.model_type}`)
  mkdirSync(path.join(to, '1_Pooling'), { recursive: true })
  for (const file of FILES)
    if (existsSync(path.join(from, file))) copyFileSync(path.join(from, file), path.join(to, file))
  writeFileSync(path.join(to, 'config.json'), JSON.stringify({ ...config, num_hidden_layers: layers }, null, 2) + '\n')
  const kept = [...readTensors(path.join(from, 'model.safetensors'))].filter(([name]) => {
    const layer = /encoder\.layer\.(\d+)\./.exec(name)
    return layer === null || Number(layer[1]) < layers
  })
  writeTensors(path.join(to, 'model.safetensors'), new Map(kept))
  return to
}
