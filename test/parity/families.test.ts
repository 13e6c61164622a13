/**
 * Every family's hidden states against transformers, from token ids, on the tiny random models of test/golden/models.
 */
import { cpSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RawModel } from '../../src/core/binding.js'
import {
  complaint,
  describeDeviation,
  deviation,
  GOLDEN,
  NONE,
  readJson,
  Tensors,
  tolerance,
  worse,
} from '../support/golden.js'
import { type Attention, hiddenStates, loadDirectory } from '../support/raw.js'

interface Golden {
  family: string
  cases: { name: string; ids: number[]; attention: 'default' | Attention }[]
}

const MODELS = path.join(GOLDEN, 'models')

describe.each(readdirSync(MODELS))('%s', (name) => {
  const directory = path.join(MODELS, name)
  const golden = readJson<Golden>(path.join(directory, 'golden.json'))
  const tensors = new Tensors(path.join(directory, 'golden.safetensors'))
  const modes = [...new Set(golden.cases.map(({ attention }) => JSON.stringify(attention)))]
  let model: RawModel
  let worst = NONE
  beforeAll(async () => {
    model = await loadDirectory(directory)
  })
  afterAll(() => {
    model.dispose()
    console.log(`parity ${name} (${golden.family}): worst ${describeDeviation(worst)}`)
  })

  test.each(golden.cases)('$name: every hidden state', async ({ name: label, ids, attention }) => {
    const { layers, hiddenSize } = model.info
    const complaints: (string | null)[] = []
    for (let layer = 0; layer <= layers; layer++) {
      const expected = tensors.float(`${label}.hidden.${layer}`)
      expect(expected.shape).toEqual([ids.length, hiddenSize])
      const found = deviation(await hiddenStates(model, [ids], [layer], attention), expected.data, hiddenSize)
      worst = worse(worst, found)
      complaints.push(complaint(`hidden state ${layer}`, found, tolerance(layer)))
    }
    expect(complaints.filter((text) => text !== null)).toEqual([])
  })

  test.each(modes)('attention %s: all cases packed together, all states at once, are the same bits', async (mode) => {
    const attention = JSON.parse(mode) as Golden['cases'][number]['attention']
    const cases = golden.cases.filter((each) => JSON.stringify(each.attention) === mode)
    const states = Array.from({ length: model.info.layers + 1 }, (_, i) => i)
    const together = await hiddenStates(
      model,
      cases.map(({ ids }) => ids),
      states,
      attention,
    )
    const width = model.info.hiddenSize
    let token = 0
    for (const { ids } of cases) {
      for (const layer of states) {
        const alone = await hiddenStates(model, [ids], [layer], attention)
        for (let t = 0; t < ids.length; t++) {
          const at = ((token + t) * states.length + layer) * width
          expect(together.subarray(at, at + width)).toEqual(alone.subarray(t * width, (t + 1) * width))
        }
      }
      token += ids.length
    }
  })

  test('the mean of the first and the last layer', async () => {
    const { layers, hiddenSize } = model.info
    const { name: label, ids, attention } = golden.cases.at(-1)!
    const first = tensors.float(`${label}.hidden.1`).data
    const last = tensors.float(`${label}.hidden.${layers}`).data
    const found = deviation(
      await hiddenStates(model, [ids], [1, layers], attention, 'mean'),
      first.map((value, i) => (value + last[i]!) / 2),
      hiddenSize,
    )
    expect(complaint('mean', found, tolerance(layers))).toBeNull()
  })

  const bidirectional = golden.cases.find(({ attention }) => attention === 'bidirectional')
  test.skipIf(bidirectional === undefined)('attention of the first layer alone changed', async () => {
    const { layers, hiddenSize } = model.info
    const { name: label, ids } = bidirectional!
    const mixed = Array.from({ length: layers }, (_, i) => (i === 0 ? ('bidirectional' as const) : ('causal' as const)))
    const found = deviation(
      await hiddenStates(model, [ids], [1], mixed),
      tensors.float(`${label}.hidden.1`).data,
      hiddenSize,
    )
    expect(complaint('the first layer', found, tolerance(1))).toBeNull()
    const last = await hiddenStates(model, [ids], [layers], mixed)
    expect(deviation(last, tensors.float(`${label}.hidden.${layers}`).data, hiddenSize).difference).toBeGreaterThan(
      0.01,
    )
  })

  test.skipIf(!existsSync(path.join(directory, 'config.v4.json')))(
    'the configuration in the keys of transformers 4 gives the same bits',
    async () => {
      const copy = mkdtempSync(path.join(tmpdir(), 'embedcore-v4-'))
      try {
        cpSync(directory, copy, { recursive: true })
        renameSync(path.join(copy, 'config.v4.json'), path.join(copy, 'config.json'))
        const old = await loadDirectory(copy)
        expect(old.info).toEqual(model.info)
        for (const { ids, attention } of golden.cases) {
          expect(await hiddenStates(old, [ids], [model.info.layers], attention)).toEqual(
            await hiddenStates(model, [ids], [model.info.layers], attention),
          )
        }
        old.dispose()
      } finally {
        rmSync(copy, { recursive: true, force: true })
      }
    },
  )
})
