import { describe, expect, test } from 'vitest'
import { float32ToString, LONGEST_NUMBER } from '../../src/cli/output/decimal.js'

/** The definition: the fewest significant digits that read back as the same float32, and among those the nearest. */
function shortest(value: number): string {
  for (let digits = 1; digits <= 9; digits++) {
    const text = Number(value.toPrecision(digits))
    if (Math.fround(text) === value) return String(text)
  }
  throw new Error(`${value} takes more than nine digits`)
}

/** A small generator, so that a failure can be reproduced. */
function* uint32s(seed: number, count: number) {
  for (let i = 0; i < count; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    yield (seed ^ (seed >>> 15)) >>> 0
  }
}

describe('float32 as decimals', () => {
  test.each([
    [Math.fround(0.1), '0.1'],
    [0.5, '0.5'],
    [1, '1'],
    [-2, '-2'],
    [0, '0'],
    [-0, '-0'],
    [Math.fround(1 / 3), '0.33333334'],
    [16777216, '16777216'],
    [Math.fround(123456.79), '123456.79'],
    [999999, '999999'],
    [Math.fround(0.001), '0.001'],
    [Math.fround(1e-7), '1e-7'],
    [2 ** -149, '1e-45'],
    [Math.fround(3.4028235e38), '3.4028235e+38'],
    [Math.fround(-0.0999999940395), '-0.099999994'],
    [Math.fround(0.9999999), '0.9999999'],
  ])('%d', (value, text) => {
    expect(float32ToString(value)).toBe(text)
  })

  test('equals the definition over values as embeddings have them', () => {
    for (const bits of uint32s(1, 50_000)) {
      const value = Math.fround((bits / 2 ** 31 - 1) * 10 ** -(bits % 7))
      const text = float32ToString(value)
      expect(Number(text)).toBe(Number(shortest(value)))
      expect(text.length).toBeLessThanOrEqual(LONGEST_NUMBER)
    }
  })

  test('equals the definition over all bit patterns', () => {
    const view = new DataView(new ArrayBuffer(4))
    for (const bits of uint32s(7, 50_000)) {
      view.setUint32(0, bits)
      const value = view.getFloat32(0)
      if (!Number.isFinite(value)) continue
      expect(Number(float32ToString(value))).toBe(Number(shortest(value)))
      expect(float32ToString(value).length).toBeLessThanOrEqual(LONGEST_NUMBER)
    }
  })

  test('neighbours of powers of two and ten', () => {
    const view = new DataView(new ArrayBuffer(4))
    for (let exponent = -40; exponent <= 38; exponent++) {
      for (const base of [2, 10]) {
        view.setFloat32(0, base ** exponent)
        const bits = view.getUint32(0)
        for (const near of [bits - 1, bits, bits + 1]) {
          if (near <= 0) continue
          view.setUint32(0, near)
          const value = view.getFloat32(0)
          expect(Math.fround(Number(float32ToString(value)))).toBe(value)
          expect(Number(float32ToString(value))).toBe(Number(shortest(value)))
        }
      }
    }
  })
})
