/** Saved maps: the vectors of the saved model are those of the map, and what no directory can say is refused. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import {
  type EncoderOptions,
  fitAllButTheTop,
  fitPca,
  fitProcrustes,
  fitWhitening,
  load,
  type Model,
} from '../../src/index.js'
import { GOLDEN, Tensors } from '../support/golden.js'
import { distance } from './rows.js'

const STACK = path.join(GOLDEN, 'stack')
const scratch = mkdtempSync(path.join(tmpdir(), 'embedcore-linear-save-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
let folders = 0
const newFolder = (): string => path.join(scratch, String(folders++))

const WORDS = (
  JSON.parse(readFileSync(path.join(STACK, 'mean-normalize', 'golden.json'), 'utf8')) as { texts: string[] }
).texts
const TEXTS = Array.from({ length: 80 }, (_, i) =>
  Array.from({ length: 1 + (i % 4) }, (_word, w) => WORDS[(i * 7 + w * 3 + Math.floor(i / 9)) % WORDS.length]).join(
    ' ',
  ),
)
/** Rows of length 1; the matrix and the bias are float32, and so are the sums of the model and of apply(). */
const CLOSE = 1e-5

async function withModel<T>(directory: string, use: (model: Model) => Promise<T>): Promise<T> {
  const model = await load(directory)
  try {
    return await use(model)
  } finally {
    await model.dispose()
  }
}

const vectorsOf = (model: Model, options: EncoderOptions = {}) => model.encode(TEXTS, options)

describe('a saved model has the vectors of the map', () => {
  test.each([
    ['mean-normalize', {}],
    ['mean-normalize', { pooling: ['cls', 'max'] }],
    ['mean-normalize', { layers: 1, pooling: 'mean' }],
    ['mean-normalize', { layers: 1 }],
    ['mean-normalize', { normalize: true }],
    ['mean-normalize', { dimensions: 9 }],
    ['max-dense-identity', {}],
    ['mean-sqrt-len-layernorm', {}],
    ['decoder', {}],
    ['prompts', {}],
    ['prompts-excluded', {}],
    ['truncate-dim', {}],
    ['bare-bert', {}],
    ['static', {}],
    ['static-model2vec-bare', {}],
    ['static-int8', {}],
  ] as const)('%s %j', async (name, encode) => {
    await withModel(path.join(STACK, name), async (model) => {
      const pca = await fitPca(model, TEXTS, { dimensions: 6, encode: encode as EncoderOptions })
      const expected = await pca.apply(await vectorsOf(model, { normalize: false, ...(encode as EncoderOptions) }))
      const output = newFolder()
      await pca.saveModel(model, output)
      await withModel(output, async (saved) => {
        expect(saved.info).toMatchObject({ dimension: 6, normalize: true, prompts: model.info.prompts })
        if ('layers' in encode) expect(saved.info.layers).toBe(1)
        expect(distance((await vectorsOf(saved)).data, expected.data)).toBeLessThan(CLOSE)
      })
    })
  })

  test('for every fit, with and without a normalisation at the end', async () => {
    await withModel(path.join(STACK, 'mean-normalize'), async (model) => {
      const rows = await vectorsOf(model, { normalize: false })
      for (const normalize of [true, false])
        for (const map of [
          await fitWhitening(model, TEXTS, { dimensions: 5, normalize }),
          await fitAllButTheTop(model, TEXTS, { normalize }),
          await fitProcrustes(rows, { data: rows.data, shape: rows.shape }, { normalize }),
        ]) {
          const output = newFolder()
          const encode = map.kind === 'procrustes' ? { encode: { normalize: false } } : {}
          await map.saveModel(model, output, encode)
          expect(existsSync(path.join(output, '3_Normalize'))).toBe(normalize)
          const expected = (await map.apply(rows)).data
          const size = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1)
          await withModel(output, async (saved) =>
            expect(distance((await vectorsOf(saved)).data, expected)).toBeLessThan(CLOSE * size),
          )
        }
    })
  })

  test('that was fitted to vectors, behind all modules of the model', async () => {
    await withModel(path.join(STACK, 'mean-normalize'), async (model) => {
      const rows = await vectorsOf(model)
      const map = await fitPca(rows, { dimensions: 4 })
      const output = newFolder()
      await map.saveModel(model, output)
      const modules = JSON.parse(readFileSync(path.join(output, 'modules.json'), 'utf8')) as { path: string }[]
      expect(modules.map(({ path: folder }) => folder)).toEqual([
        '',
        '1_Pooling',
        '2_Normalize',
        '3_Dense',
        '4_Normalize',
      ])
      const expected = (await map.apply(rows)).data
      await withModel(output, async (saved) =>
        expect(distance((await vectorsOf(saved)).data, expected)).toBeLessThan(CLOSE),
      )
    })
  })

  test('over a model that was there', async () => {
    const output = newFolder()
    cpSync(path.join(STACK, 'weightedmean-dense-residual'), output, { recursive: true })
    await withModel(path.join(STACK, 'mean-normalize'), async (model) => {
      const map = await fitPca(model, TEXTS, { dimensions: 4, normalize: false })
      await map.saveModel(model, output)
      await withModel(output, async (saved) => expect(saved.info).toMatchObject({ dimension: 4, normalize: false }))
    })
  })
})

test('save writes a Dense module', async () => {
  await withModel(path.join(STACK, 'mean-normalize'), async (model) => {
    const map = await fitWhitening(model, TEXTS, { dimensions: 3 })
    const output = newFolder()
    await map.save(output)
    expect(JSON.parse(readFileSync(path.join(output, 'config.json'), 'utf8'))).toEqual({
      in_features: map.inFeatures,
      out_features: 3,
      bias: true,
      activation_function: 'torch.nn.modules.linear.Identity',
    })
    const tensors = new Tensors(path.join(output, 'model.safetensors'))
    expect(tensors.float('linear.weight')).toEqual({ shape: [3, map.inFeatures], data: map.weight })
    expect(tensors.float('linear.bias')).toEqual({ shape: [3], data: map.bias })
  })
})

describe('refused', () => {
  const refusal = async (name: string, encode: EncoderOptions, output = newFolder()): Promise<unknown> =>
    withModel(path.join(STACK, name), async (model) => {
      const map = await fitPca(await vectorsOf(model, { normalize: false, ...encode }), { dimensions: 2 })
      const failure: unknown = await map.saveModel(model, output, { encode }).catch((error: unknown) => error)
      expect(existsSync(path.join(output, 'modules.json'))).toBe(output === path.join(STACK, name))
      return failure
    })

  test.each([
    ['mean-normalize', { layers: 'first-last' }, 'UNSUPPORTED_MODEL', /layers 1, \d/],
    ['mean-normalize', { layers: 0 }, 'UNSUPPORTED_MODEL', /layers 0 of/],
    ['decoder', { layers: 1 }, 'UNSUPPORTED_MODEL', /\(qwen2\); apply\(\) maps such vectors$/],
    ['mean-normalize', { attention: 'causal' }, 'UNSUPPORTED_MODEL', /without encode.attention/],
    ['mean-normalize', { normalize: true, dimensions: 9 }, 'UNSUPPORTED_MODEL', /all dimensions of normalised vectors/],
    ['weighted-layers', {}, 'UNSUPPORTED_MODULE', /WeightedLayerPooling/],
  ] as const)('%s %j', async (name, encode, code, message) => {
    expect(await refusal(name, encode as EncoderOptions)).toMatchObject({
      code: `ERR_EMBEDCORE_${code}`,
      message: expect.stringMatching(message) as string,
    })
  })

  test('another model, and the directory of the model itself', async () => {
    const directory = path.join(STACK, 'mean-normalize')
    expect(await refusal('mean-normalize', {}, directory)).toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_OPTION' })
    await withModel(directory, async (model) => {
      const wide = { data: Float32Array.from({ length: 3000 }, (_, i) => Math.sin(i * i)), shape: [10, 300] as const }
      await expect((await fitPca(wide, { dimensions: 2 })).saveModel(model, newFolder())).rejects.toMatchObject({
        code: 'ERR_EMBEDCORE_SHAPE_MISMATCH',
        message: expect.stringMatching(/^Expected a model whose vectors have 300 numbers/) as string,
      })
    })
  })
})
