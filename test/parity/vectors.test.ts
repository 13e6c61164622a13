/** Finished vectors compared with sentence-transformers: quantisation bit for bit, similarities within rounding. */
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { embedCore, type Model, type Precision } from '../../src/index.js'
import { quantize } from '../../src/core/vectors.js'
import { GOLDEN, readJson, similarityBound, Tensors, tolerance } from '../support/golden.js'

const golden = readJson<{ stack: string; texts: string[] }>(path.join(GOLDEN, 'vectors/golden.json'))
const tensors = new Tensors(path.join(GOLDEN, 'vectors/golden.safetensors'))
const { data: rows, shape } = tensors.float('rows')
const width = shape[1]!
const given = tensors.float('ranges').data

describe('quantised, the same bytes', () => {
  test.each(['int8', 'uint8', 'binary', 'ubinary'] as const)(
    '%s, ranges of the vectors themselves',
    async (precision) => {
      const expected = tensors.any(precision)
      const found = await quantize(rows, width, precision, null)
      expect([rows.length / width, found.columns]).toEqual(expected.shape)
      expect(found.data).toEqual(expected.data)
    },
  )

  test.each(['int8', 'uint8'] as const)('%s, given ranges', async (precision) => {
    const found = await quantize(rows, width, precision, given)
    expect(found.data).toEqual(tensors.any(`${precision}.ranges`).data)
    expect(found.ranges).toEqual(given)
  })

  test('ranges are the smallest and largest of each dimension', async () => {
    const ranges = await embedCore.quantizationRanges(rows, { dimension: width })
    expect((await quantize(rows, width, 'int8', ranges)).data).toEqual(tensors.any('int8').data)
  })
})

describe('similarities', () => {
  const a = tensors.float('a').data
  const b = tensors.float('b').data
  test.each(['cosine', 'dot', 'euclidean', 'manhattan'] as const)('%s', async (metric) => {
    const expected = tensors.float(`similarity.${metric}`)
    const found = await embedCore.similarity(a, b, { metric, dimension: width })
    expect(found.shape).toEqual(expected.shape)
    const allowed = similarityBound(metric, Float32Array.of(...a, ...b), width)
    for (let i = 0; i < found.data.length; i++)
      expect(Math.abs(found.data[i]! - expected.data[i]!)).toBeLessThanOrEqual(allowed)
  })
})

describe('encode with a precision', () => {
  let model: Model
  beforeAll(async () => {
    model = await embedCore.load(path.join(GOLDEN, 'stack', golden.stack))
  })
  afterAll(() => model.dispose())

  // The float32 vectors differ from the reference's in their last digits, and so do the ranges taken from them: a value
  // near a step may fall to the other side of it, but only by one level, because a level is far wider than the
  // tolerance of a number.
  test.each(['int8', 'uint8'] as const)('%s', async (precision) => {
    const expected = tensors.any(`encoded.${precision}`)
    const found = await model.encode(golden.texts, { precision })
    expect(found.shape).toEqual(expected.shape)
    const { ranges } = found
    for (let i = 0; i < found.data.length; i++) {
      const dimension = i % found.shape[1]
      const level = (ranges![found.shape[1] + dimension]! - ranges![dimension]!) / 255
      expect(level).toBeGreaterThan(4 * tolerance(model.info.layers).difference)
      expect(Math.abs(found.data[i]! - expected.data[i]!)).toBeLessThanOrEqual(1)
    }
  })

  test.each(['binary', 'ubinary'] as const)('%s', async (precision: Extract<Precision, 'binary' | 'ubinary'>) => {
    const expected = tensors.any(`encoded.${precision}`)
    const floats = await model.encode(golden.texts)
    // A bit is the sign of a number; none of these is within the tolerance of zero, so every bit must agree.
    for (const value of floats.data) expect(Math.abs(value)).toBeGreaterThan(tolerance(model.info.layers).difference)
    const found = await model.encode(golden.texts, { precision })
    expect(found.shape).toEqual(expected.shape)
    expect(found.data).toEqual(expected.data)
  })
})
