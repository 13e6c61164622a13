/** Every family in every dtype against transformers in float32, from token ids, also where a batch is repeated. */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { RawModel } from '../../src/core/binding.js'
import { DTYPES } from '../../src/core/names.js'
import {
  complaint,
  describeDeviation,
  type Deviation,
  deviation,
  GOLDEN,
  NONE,
  readJson,
  sameBits,
  Tensors,
  tolerance,
  worse,
} from '../support/golden.js'
import { type Attention, hiddenStates, loadDirectory } from '../support/raw.js'

interface Golden {
  cases: { name: string; ids: number[]; attention: 'default' | Attention }[]
}

// The CPU has no float16.
const HERE = DTYPES.filter((dtype) => dtype !== 'float16' || process.env.EMBEDCORE_CUDA_LIBRARY !== undefined)
const MODELS = path.join(GOLDEN, 'models')

type Case = Golden['cases'][number]
type States = (each: Case) => Promise<Float32Array>

/** The greatest distance of a model's last hidden states to the golden ones, over all cases. */
async function worstOf(cases: Case[], states: States, golden: (each: Case) => Float32Array, width: number) {
  let worst = NONE
  for (const each of cases) worst = worse(worst, deviation(await states(each), golden(each), width))
  return worst
}

/**
 * What rounding to the dtype costs a model is measured: the reference rounds where the dtype does, and sums in float64.
 * The model under test rounds at the same places, but sums in float32 and in another order, so some numbers, which lie
 * near the middle of two neighbours, are rounded to the other one. At most that is a second error of the size of the
 * first, so twice the first is allowed, and the tolerance of sums in float32. For a small angle, 1 - cosine is half of
 * its square, so four times as much is.
 */
function allowed(plain: Deviation, layers: number): Deviation {
  const float32 = tolerance(layers)
  return {
    difference: 2 * plain.difference + float32.difference,
    cosine: 1 - 4 * (1 - plain.cosine) - (1 - float32.cosine),
  }
}

describe.each(readdirSync(MODELS))('%s', (name) => {
  const directory = path.join(MODELS, name)
  const { cases } = readJson<Golden>(path.join(directory, 'golden.json'))
  const tensors = new Tensors(path.join(directory, 'golden.safetensors'))

  const golden = (layers: number) => (each: Case) => tensors.float(`${each.name}.hidden.${layers}`).data
  const last =
    (model: RawModel): States =>
    ({ ids, attention }) =>
      hiddenStates(model, [ids], [model.info.layers], attention)

  test.each(HERE)('%s', async (dtype) => {
    const model = await loadDirectory(directory, 1, dtype)
    const { layers, hiddenSize } = model.info
    const repeated: States = async (each) => {
      const states = await last(model)(each)
      // A device that records small batches replays the third.
      for (let repeat = 0; repeat < 3; repeat++) expect(sameBits(await last(model)(each), states)).toBe(true)
      return states
    }
    const found = await worstOf(cases, repeated, golden(layers), hiddenSize)
    model.dispose()
    if (dtype === 'float32') return expect(complaint(dtype, found, tolerance(layers))).toBeNull()
    const reference = await loadDirectory(directory, 1, dtype, 'reference')
    const plain = await worstOf(cases, last(reference), golden(layers), hiddenSize)
    reference.dispose()
    console.log(`${name} ${dtype}: ${describeDeviation(found)}; reference: ${describeDeviation(plain)}`)
    // A reference that does not round would allow nothing, and one that goes wrong everything.
    expect(plain.difference).toBeGreaterThan(tolerance(layers).difference)
    expect(plain.cosine).toBeGreaterThan(0.99)
    expect(complaint(dtype, found, allowed(plain, layers))).toBeNull()
  })
})
