/**
 * Decoders with a mask for each layer, against PyTorch, which sets them layer by layer (test/golden/make_gradients.py).
 */
import path from 'node:path'
import { expect, test } from 'vitest'
import type { AttentionMode, PoolingMode } from '../../src/core/names.js'
import { complaint, deviation, GOLDEN, readJson, Tensors, tolerance } from '../support/golden.js'
import { encodeIds, loadDirectory } from '../support/raw.js'

interface Golden {
  ids: number[][]
  cases: { name: string; pooling: PoolingMode[]; attention: unknown }[]
}

test('vectors of a decoder whose first and last layers are bidirectional', async () => {
  const { ids, cases } = readJson<Golden>(path.join(GOLDEN, 'gradients/qwen2-sliding.json'))
  const tensors = new Tensors(path.join(GOLDEN, 'gradients/qwen2-sliding.safetensors'))
  const { pooling, attention } = cases.find(({ name }) => name === 'layers')!
  const model = await loadDirectory(path.join(GOLDEN, 'models/qwen2-sliding'))
  const vectors = (modes: AttentionMode[]): Promise<Float32Array> =>
    encodeIds(
      model,
      { pooling, layers: [], fusion: 'mean', attention: modes, output: 'sentence', normalize: null, dimensions: 0 },
      ids.map((text) => Int32Array.from(text)),
    )
  const { data: expected, shape } = tensors.float('layers/embeddings')
  const width = shape[1]!
  const found = await vectors(attention as AttentionMode[])
  expect(complaint('layers', deviation(found, expected, width), tolerance(model.info.layers))).toBeNull()
  for (const other of [[], ['bidirectional'], ['causal', 'causal', 'bidirectional']] as AttentionMode[][])
    expect(deviation(await vectors(other), expected, width).difference).toBeGreaterThan(0.01)
  model.dispose()
})
