/** Whitening, PCA, all-but-the-top, Procrustes against NumPy, scikit-learn and scipy (test/golden/make_linear.py). */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  type Encoder,
  fitAllButTheTop,
  fitPca,
  fitProcrustes,
  fitWhitening,
  LinearTransform,
  type VectorRows,
} from '../../src/index.js'
import { GOLDEN, Tensors } from '../support/golden.js'
import { distance, rowsFrom } from './rows.js'

interface Case {
  kind: 'whitening' | 'pca' | 'all-but-the-top'
  dimensions?: number
  components?: number
  ridge?: number
  normalize?: boolean
}
const golden = JSON.parse(readFileSync(path.join(GOLDEN, 'linear', 'golden.json'), 'utf8')) as {
  variances: number[]
  cases: Record<string, Case>
  maps: Record<string, { pairs: string; center: boolean; scale: boolean }>
}
const tensors = new Tensors(path.join(GOLDEN, 'linear', 'golden.safetensors'))
const tensor = (name: string): VectorRows => {
  const { data, shape } = tensors.float(name)
  return { data, shape: shape as [number, number] }
}

/** Results of float64 that are stored, and multiplied, as float32: sums of 24 products up to about 10. */
const CLOSE = 2e-5

type Fit = (vectors: VectorRows, options: object) => Promise<LinearTransform>
const FITS: Record<Case['kind'], Fit> = {
  whitening: fitWhitening,
  pca: fitPca,
  'all-but-the-top': fitAllButTheTop,
}

describe('fits of a corpus', () => {
  const rows = tensor('rows')

  test.each(Object.entries(golden.cases))('%s', async (name, { kind, ...options }) => {
    const found = await FITS[kind](rows, options)
    expect(found).toBeInstanceOf(LinearTransform)
    expect(found).toMatchObject({ kind, inFeatures: 24, vectors: 90, normalize: options.normalize ?? true, loss: null })
    expect(found.outFeatures).toBe(options.dimensions ?? 24)
    const mapped = await found.apply(rows)
    expect(mapped.shape).toEqual(tensor(name).shape)
    expect(distance(mapped.data, tensor(name).data)).toBeLessThan(CLOSE)
    expect(mapped.row(3)).toEqual(mapped.data.subarray(3 * found.outFeatures, 4 * found.outFeatures))
    // Both are of float64: eigenvalues differ by a few units of rounding of the greatest.
    found.eigenvalues!.forEach((value, k) => expect(Math.abs(value - golden.variances[k]!)).toBeLessThan(1e-12))
  })

  test('whitened rows have the covariance 1', async () => {
    const found = await fitWhitening(rows, { normalize: false })
    const { data } = await found.apply(rows)
    for (let i = 0; i < 24; i++)
      for (let j = 0; j <= i; j++) {
        let sum = 0
        for (let r = 0; r < 90; r++) sum += data[r * 24 + i]! * data[r * 24 + j]!
        // 90 products of numbers about 1, each rounded to float32.
        expect(Math.abs(sum / 89 - (i === j ? 1 : 0))).toBeLessThan(1e-4)
      }
  })

  test('does not depend on how the vectors come', async () => {
    const [expected, width] = [await fitWhitening(rows), 24]
    const batch = (from: number, to: number): VectorRows => ({
      data: rows.data.subarray(from * width, to * width),
      shape: [to - from, width],
    })
    async function* batches(): AsyncGenerator<VectorRows> {
      yield batch(0, 1)
      yield batch(1, 1)
      yield batch(1, 50)
      yield batch(50, 90)
    }
    const encoder: Encoder = {
      encode: async (texts) => rowsFrom(texts.map((text) => [...batch(Number(text), Number(text) + 1).data])),
    }
    const texts = Array.from({ length: 90 }, (_, i) => String(i))
    for (const found of [
      await fitWhitening(batches()),
      await fitWhitening([batch(0, 30), batch(30, 90)]),
      await fitWhitening(encoder, texts, { batchSize: 7 }),
      await fitWhitening(encoder, texts),
    ]) {
      expect(found.weight).toEqual(expected.weight)
      expect(found.bias).toEqual(expected.bias)
    }
  })

  test('progress counts the vectors', async () => {
    const done: number[] = []
    const encoder: Encoder = { encode: async (texts) => rowsFrom(texts.map((_, i) => [i, i * i, 1 / (i + 1)])) }
    await fitPca(encoder, Array.from({ length: 10 }, String), { batchSize: 4, onProgress: (p) => done.push(p.done) })
    expect(done).toEqual([4, 8, 10])
  })
})

describe('Procrustes', () => {
  test.each(Object.entries(golden.maps))('%s', async (name, { pairs, center, scale }) => {
    const [source, target] = [tensor(`${pairs}.source`), tensor(`${pairs}.target`)]
    const map = await fitProcrustes(source, target, { center, scale, heldOut: 0, normalize: false })
    expect(map).toMatchObject({ kind: 'procrustes', eigenvalues: null, loss: null, vectors: 60 })
    const { data, shape } = await map.apply(source)
    expect(shape).toEqual(target.shape)
    expect(distance(data, tensor(name).data)).toBeLessThan(CLOSE)
  })

  test('measures its loss on pairs that it has not seen', async () => {
    const [source, target] = [tensor('square.source'), tensor('square.target')]
    const map = await fitProcrustes(source, target, { heldOut: 0.25, scale: true, normalize: false })
    expect(map.vectors).toBe(45)
    const { pairs, meanCosine, relativeError, accuracy } = map.loss!
    expect(pairs).toBe(15)
    // The targets are a linear map of the sources, but not a rotation.
    expect(meanCosine).toBeGreaterThan(0)
    expect(meanCosine).toBeLessThan(1)
    expect(relativeError).toBeGreaterThan(0)
    expect(relativeError).toBeLessThan(1)
    expect(accuracy).toBeGreaterThan(1 / 15)
    expect((await fitProcrustes(source, target, { heldOut: 0.25, scale: true })).loss).toEqual(map.loss)
    expect((await fitProcrustes(source, target, { heldOut: 0.25, scale: true, seed: 2 })).loss).not.toEqual(map.loss)
  })

  test('finds a rotation with a scale and a shift', async () => {
    const source = tensor('square.source')
    const angle = 0.7
    const turned = rowsFrom(
      Array.from({ length: 60 }, (_, r) =>
        Array.from({ length: 12 }, (_row, d) => {
          const at = (i: number): number => source.data[r * 12 + i]!
          const [c, s] = [Math.cos(angle), Math.sin(angle)]
          const value = d % 2 === 0 ? c * at(d) - s * at(d + 1) : s * at(d - 1) + c * at(d)
          return 2.5 * value + d
        }),
      ),
    )
    const { loss } = await fitProcrustes(source, turned, { scale: true })
    expect(loss!.pairs).toBe(6)
    expect(loss!.accuracy).toBe(1)
    expect(loss!.meanCosine).toBeCloseTo(1, 6)
    expect(loss!.relativeError).toBeLessThan(1e-11) // the square of float32's rounding
    const { loss: unscaled } = await fitProcrustes(source, turned)
    expect(unscaled!.relativeError).toBeGreaterThan(0.1)
  })
})
