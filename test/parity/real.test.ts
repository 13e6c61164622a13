/**
 * Real models compared with sentence-transformers and transformers. They are in ../shared/models, next to the checkout;
 * without that folder this is skipped, and says so.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RawModel, RawPlanOptions } from '../../src/core/binding.js'
import { embedCore, type Model } from '../../src/index.js'
import {
  complaint,
  describeDeviation,
  deviation,
  GOLDEN,
  NONE,
  readJson,
  REAL_MODELS,
  Tensors,
  tolerance,
  worse,
} from '../support/golden.js'
import { encodeIds, hiddenStates, loadDirectory } from '../support/raw.js'

const present = existsSync(REAL_MODELS)
if (!present)
  console.log(`skipped: parity on real models, because ${path.relative(process.cwd(), REAL_MODELS)} is not there`)

interface Golden {
  max_seq_length: number
  texts: string[]
  ids: number[][]
  untruncated_lengths: number[]
  tokens: { text: string; ids: number[]; pieces: string[]; offsets_utf16: [number, number][] }
  hidden?: { text: string; ids: number[] }
  queries?: { prompt_name: string; prompt: string; texts: string[]; ids: number[][] }
}

function goldenOf<T>(name: string): { golden: T; tensors: Tensors } {
  return {
    golden: readJson<T>(path.join(GOLDEN, 'real', `${name}.json`)),
    tensors: new Tensors(path.join(GOLDEN, 'real', `${name}.safetensors`)),
  }
}

describe.skipIf(!present).each(['all-MiniLM-L6-v2', 'bge-small-zh-v1.5'])('%s', (name) => {
  const { golden, tensors } = goldenOf<Golden>(name)
  let model: Model
  let worst = NONE
  const follow = (what: string, actual: Float32Array, tensor: string, layers = model.info.layers): void => {
    const expected = tensors.float(tensor)
    const found = deviation(actual, expected.data, expected.shape[1]!)
    worst = worse(worst, found)
    expect(complaint(what, found, tolerance(layers))).toBeNull()
  }
  beforeAll(async () => {
    model = await embedCore.load(path.join(REAL_MODELS, name))
  })
  afterAll(async () => {
    await model.dispose()
    console.log(`parity ${name}: worst ${describeDeviation(worst)}`)
  })

  test('sentence embeddings, token counts and what was cut', async () => {
    const found = await model.encode(golden.texts)
    expect(model.info.maxTokens).toBe(golden.max_seq_length)
    expect(found.shape).toEqual([golden.texts.length, model.info.dimension])
    expect([...found.tokenCounts]).toEqual(golden.ids.map((ids) => ids.length))
    expect([...found.omittedTokens]).toEqual(
      golden.untruncated_lengths.map((length, i) => length - golden.ids[i]!.length),
    )
    follow('embeddings', found.data, 'embeddings')
  })

  test('token ids of every text', async () => {
    const found = await model.encode(golden.texts, { output: 'token' })
    expect(golden.texts.map((_, i) => [...found.text(i).ids])).toEqual(golden.ids)
  })

  test('token embeddings with their pieces and places', async () => {
    const { text, ids, pieces, offsets_utf16 } = golden.tokens
    const found = (await model.encode(text, { output: 'token' })).text(0)
    expect([...found.ids]).toEqual(ids)
    expect(found.tokens).toEqual(pieces)
    expect(found.offsets).toEqual(offsets_utf16)
    follow('token embeddings', found.data, 'tokens')
  })

  test.skipIf(golden.hidden === undefined)('hidden states', async () => {
    const { text, ids } = golden.hidden!
    for (let layer = 0; layer <= model.info.layers; layer++) {
      const found = (await model.encode(text, { output: 'token', layers: layer })).text(0)
      expect([...found.ids]).toEqual(ids)
      follow(`hidden state ${layer}`, found.data, `hidden.${layer}`, layer)
    }
  })

  test.skipIf(golden.queries === undefined)('queries with their prompt', async () => {
    const { prompt, prompt_name, texts, ids } = golden.queries!
    const found = await model.encodeQuery(texts)
    follow('queries', found.data, 'queries')
    expect((await model.encode(texts, { promptName: prompt_name })).data).toEqual(found.data)
    expect((await model.encode(texts, { prompt })).data).toEqual(found.data)
    const tokens = await model.encode(texts, { prompt, output: 'token' })
    expect(texts.map((_, i) => [...tokens.text(i).ids])).toEqual(ids)
    expect((await model.encodeDocument(texts)).data).toEqual((await model.encode(texts)).data)
  })
})

describe.skipIf(!present)('stories260K-qwen2, from token ids', () => {
  const { golden, tensors } = goldenOf<{ cases: { name: string; ids: number[] }[] }>('stories260K-qwen2')
  let model: RawModel
  let worst = NONE
  beforeAll(async () => {
    model = await loadDirectory(path.join(REAL_MODELS, 'stories260K-qwen2'))
  })
  afterAll(() => {
    model.dispose()
    console.log(`parity stories260K-qwen2: worst ${describeDeviation(worst)}`)
  })

  test.each(golden.cases)('$name', async ({ name, ids }) => {
    const { layers, hiddenSize } = model.info
    const last = await hiddenStates(model, [ids], [layers])
    const mean = await pooledMean(model, ids)
    const pairs = [[mean, tensors.float(`${name}.mean`).data] as const]
    if (tensors.names.includes(`${name}.last`)) pairs.push([last, tensors.float(`${name}.last`).data])
    for (const [actual, expected] of pairs) {
      const found = deviation(actual, expected, hiddenSize)
      worst = worse(worst, found)
      expect(complaint(name, found, tolerance(layers))).toBeNull()
    }
  })
})

function pooledMean(model: RawModel, ids: number[]): Promise<Float32Array> {
  const plan: RawPlanOptions = {
    pooling: ['mean'],
    layers: [],
    fusion: 'mean',
    attention: [],
    output: 'sentence',
    normalize: false,
    dimensions: 0,
  }
  return encodeIds(model, plan, [Int32Array.from(ids)])
}
