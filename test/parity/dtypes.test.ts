/**
 * Every family in every dtype against transformers in float32, from token ids, and the same bits in any company and at
 * every repetition.
 */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Dtype, DTYPES } from '../../src/core/names.js'
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
  worse,
} from '../support/golden.js'
import { type Attention, hiddenStates, loadDirectory } from '../support/raw.js'

interface Golden {
  cases: { name: string; ids: number[]; attention: 'default' | Attention }[]
}

const MODELS = path.join(GOLDEN, 'models')

describe.each(readdirSync(MODELS))('%s', (name) => {
  const directory = path.join(MODELS, name)
  const { cases } = readJson<Golden>(path.join(directory, 'golden.json'))
  const tensors = new Tensors(path.join(directory, 'golden.safetensors'))

  test.each(DTYPES)('%s', async (dtype) => {
    const model = await loadDirectory(directory, 1, dtype)
    const { layers, hiddenSize } = model.info
    let worst = NONE
    for (const { name: label, ids, attention } of cases) {
      const expected = tensors.float(`${label}.hidden.${layers}`)
      const found = await hiddenStates(model, [ids], [layers], attention)
      worst = worse(worst, deviation(found, expected.data, hiddenSize))
    }
    console.log(`parity ${name} ${dtype}: worst ${describeDeviation(worst)} ${layers}`)
    model.dispose()
  })
})
