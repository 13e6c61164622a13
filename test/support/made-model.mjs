// A model larger than the golden ones, with random weights: for tests that need loads, calls and memory of some size.
// It is JavaScript, because scripts in separate processes use it too.
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeRandomModel } from '../../bench/models/random_model.mjs'

const STACK = fileURLToPath(new URL('../golden/stack/mean-normalize', import.meta.url))

/** Writes a model of about 7 MB per layer, with the tokenizer of a golden one. */
export function makeModel(directory, { layers = 4, seed = 1, maxTokens = 512 } = {}) {
  const config = JSON.parse(readFileSync(join(STACK, 'config.json'), 'utf8'))
  const shape = {
    ...config,
    hidden_size: 384,
    intermediate_size: 1536,
    num_attention_heads: 12,
    num_hidden_layers: layers,
    max_position_embeddings: maxTokens,
  }
  makeRandomModel(directory, { shape, dtype: 'F32', pooling: 'mean', maxTokens }, seed)
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) cpSync(join(STACK, file), join(directory, file))
  return directory
}
