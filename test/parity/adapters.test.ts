/** LoRA adapters that PEFT saved (test/golden/make_adapters.py): beside a model and added to its weights, as PEFT. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { load, type Model } from '../../src/index.js'
import type { RawAdapter, RawAdapterSource, RawModel } from '../../src/core/binding.js'
import { native } from '../../src/core/native.js'
import { layerMatrices } from '../../src/model/layer-matrices.js'
import { readPeftAdapter } from '../../src/model/peft.js'
import { writeAdapter } from '../support/adapter-files.js'
import { complaint, deviation, GOLDEN, readJson, Tensors, tolerance } from '../support/golden.js'
import { encodeIds, loadDirectory } from '../support/raw.js'

const ADAPTERS = path.join(GOLDEN, 'adapters')
const root = mkdtempSync(path.join(tmpdir(), 'embedcore-adapters-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

describe.each(readdirSync(ADAPTERS))('PEFT: %s', (name) => {
  const directory = path.join(ADAPTERS, name)
  const { base, texts } = readJson<{ base: string; texts: string[] }>(path.join(directory, 'golden.json'))
  const model = path.join(GOLDEN, 'stack', base)
  const tensors = new Tensors(path.join(directory, 'golden.safetensors'))
  const compare = async (what: string, held: Model, adapter?: string): Promise<void> => {
    const { data, shape } = await held.encode(texts, adapter === undefined ? {} : { adapter })
    for (const golden of ['unmerged', 'merged']) {
      const found = deviation(data, tensors.float(golden).data, shape[1])
      expect(complaint(`${what}, ${golden} in Python`, found, tolerance(held.info.layers))).toBeNull()
    }
  }

  test('beside the model', async () => {
    await using held = await load(model)
    const info = await held.loadAdapter(directory)
    expect(info).toMatchObject({ name: 'default', path: directory })
    await compare('beside', held, 'default')
    // The adapter is not a small change of the vectors, which a wrong one could hide behind.
    const [plain, own] = [await held.encode(texts), await held.encode(texts, { adapter: 'default' })]
    expect(deviation(own.data, plain.data, plain.shape[1]).difference).toBeGreaterThan(0.05)
  })

  test('added to the weights', async () => {
    await using held = await load(model, { adapter: directory })
    expect(held.info.adapter).toBe(directory)
    await compare('added', held)
  })
})

const FAMILIES = readdirSync(path.join(GOLDEN, 'models'))
const TEXTS = [
  [1, 9, 33, 2],
  [1, 40, 12, 7, 55, 21, 3, 2],
  Array.from({ length: 40 }, (_, i) => 3 + ((i * 7) % 60)),
].map((ids) => Int32Array.from(ids))
const PLAN = {
  pooling: ['mean' as const],
  layers: [],
  fusion: 'mean' as const,
  attention: [],
  output: 'sentence' as const,
  normalize: true,
  dimensions: 0,
}

describe.each(FAMILIES)('all matrices of %s', (name) => {
  const directory = path.join(GOLDEN, 'models', name)
  const matrices = layerMatrices(native().parameters(directory))
  const adapter = writeAdapter(path.join(root, name), matrices)
  const beside = async (model: RawModel, source: RawAdapterSource): Promise<Float32Array> => {
    const loaded = await new Promise<RawAdapter>((resolve, reject) =>
      model.loadAdapter(source, (error, result) => (error ? reject(error) : resolve(result!))),
    )
    return encodeIds(model, PLAN, TEXTS, loaded)
  }

  test('beside the model and added to the weights give the same vectors', async () => {
    const { updates } = await readPeftAdapter(adapter, [...matrices.keys()])
    expect(updates).toHaveLength(matrices.size)
    const source = { directory: adapter, updates }
    const plain = await loadDirectory(directory)
    const added = await loadDirectory(directory, 1, 'float32', 'tested', source)
    const width = plain.info.hiddenSize
    const [own, other] = [await beside(plain, source), await encodeIds(added, PLAN, TEXTS)]
    expect(complaint(name, deviation(own, other, width), tolerance(plain.info.layers))).toBeNull()
    expect(deviation(own, await encodeIds(plain, PLAN, TEXTS), width).difference).toBeGreaterThan(0.05)
    for (const model of [plain, added]) model.dispose()
  })
})
