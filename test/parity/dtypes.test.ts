/** Every family in every dtype against transformers in float32, from token ids, also where a batch is repeated. */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Dtype, DTYPES } from '../../src/core/names.js'
import {
  complaint,
  type Deviation,
  deviation,
  GOLDEN,
  readJson,
  sameBits,
  Tensors,
  tolerance,
} from '../support/golden.js'
import { type Attention, hiddenStates, loadDirectory } from '../support/raw.js'

interface Golden {
  cases: { name: string; ids: number[]; attention: 'default' | Attention }[]
}

const MODELS = path.join(GOLDEN, 'models')

/** Half of the distance of two neighbours at 1; of int8, half a level of 127. */
const UNIT: Record<Exclude<Dtype, 'float32'>, number> = { bfloat16: 2 ** -9, float16: 2 ** -12, int8: 2 ** -8 }

/**
 * A layer rounds about 16 rows on the way of a number: the inputs and the weights of its products, queries, keys,
 * values, softmax weights. Each errs by a unit of the row's length at most. Layers err independently of each other. For
 * a small angle, 1 - cosine is half of its square, and the angle is spread over the numbers of a row.
 */
function allowed(dtype: Dtype, layers: number): Deviation {
  if (dtype === 'float32') return tolerance(layers)
  const difference = 16 * UNIT[dtype] * Math.sqrt(layers)
  return { difference, cosine: 1 - difference ** 2 }
}

describe.each(readdirSync(MODELS))('%s', (name) => {
  const directory = path.join(MODELS, name)
  const { cases } = readJson<Golden>(path.join(directory, 'golden.json'))
  const tensors = new Tensors(path.join(directory, 'golden.safetensors'))

  test.each(DTYPES)('%s', async (dtype) => {
    const model = await loadDirectory(directory, 1, dtype)
    const { layers, hiddenSize } = model.info
    const complaints: (string | null)[] = []
    for (const { name: label, ids, attention } of cases) {
      const expected = tensors.float(`${label}.hidden.${layers}`)
      const found = await hiddenStates(model, [ids], [layers], attention)
      complaints.push(complaint(label, deviation(found, expected.data, hiddenSize), allowed(dtype, layers)))
      // A device that records small batches replays the third.
      for (let repeat = 0; repeat < 3; repeat++)
        expect(sameBits(await hiddenStates(model, [ids], [layers], attention), found)).toBe(true)
    }
    expect(complaints.filter((text) => text !== null)).toEqual([])
    model.dispose()
  })
})
