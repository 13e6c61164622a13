/** The random numbers of data order. */
import { describe, expect, test } from 'vitest'
import { Permutation, philox, Random, shuffle } from '../../src/core/random.js'

const hex = (numbers: Uint32Array) => [...numbers].map((number) => number.toString(16).padStart(8, '0')).join(' ')

describe('philox', () => {
  // The known answers of the authors' library (Random123, kat_vectors, philox4x32 with 10 rounds).
  test.each([
    [0, 0, [0, 0, 0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [0xffffffff, 0xffffffff, [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    [0xa4093822, 0x299f31d0, [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], 'd16cfe09 94fdcceb 5001e420 24126ea1'],
  ] as const)('key %i %i', (key0, key1, counter, expected) => {
    const out = new Uint32Array(4)
    philox(out, key0, key1, counter)
    expect(hex(out)).toBe(expected)
  })
})

describe('Random', () => {
  const first = (random: Random) => Array.from({ length: 8 }, () => random.uint32())

  test('is the same for the same seed, purpose, epoch, source and row, and another for any other', () => {
    const of = (...args: ConstructorParameters<typeof Random>) => first(new Random(...args)).join()
    expect(of(7, 'order', 0)).toBe(of(7, 'order', 0, 0, 0))
    const all = [
      of(7, 'order', 0),
      of(8, 'order', 0),
      of(7 + 2 ** 40, 'order', 0),
      of(7, 'choice', 0),
      of(7, 'order', 1),
      of(7, 'order', 0, 1),
      of(7, 'order', 0, 0, 1),
    ]
    expect(new Set(all).size).toBe(all.length)
  })

  test('draws each number below n equally often', () => {
    const random = new Random(1, 'order', 0)
    const n = 7
    const draws = 70_000
    const counts = new Array<number>(n).fill(0)
    for (let i = 0; i < draws; i++) counts[random.below(n)]!++
    const expected = draws / n
    const chi = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    expect(chi).toBeLessThan(22.5) // 99.9 % of chi-square with 6 degrees of freedom; the seed is fixed
  })

  test('unit is in [0, 1)', () => {
    const random = new Random(1, 'order', 0)
    let sum = 0
    for (let i = 0; i < 10_000; i++) {
      const unit = random.unit()
      expect(unit >= 0 && unit < 1).toBe(true)
      sum += unit
    }
    expect(Math.abs(sum / 10_000 - 0.5)).toBeLessThan(0.01) // 3.5 standard errors of 0.0029
  })
})

/** Whether every arrangement of four items is equally frequent among many seeds. */
function arrangements(of: (seed: number) => number[]): number {
  const counts = new Map<string, number>()
  const seeds = 24_000
  for (let seed = 0; seed < seeds; seed++) {
    const key = of(seed).join()
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  expect(counts.size).toBe(24)
  return [...counts.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)
}

describe('Permutation', () => {
  const all = (n: number, seed: number) => {
    const permutation = new Permutation(n, new Random(seed, 'order', 0))
    return Array.from({ length: n }, (_, i) => permutation.at(i))
  }

  test.each([1, 2, 3, 5, 127, 128, 129, 256, 1000, 65_537])('has each of %i items once', (n) => {
    expect(all(n, 3).sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i))
  })

  // 99.9 % of chi-square with 23 degrees of freedom; the seeds are fixed.
  test('reaches every arrangement of four items equally often', () => {
    expect(arrangements((seed) => all(4, seed))).toBeLessThan(49.7)
  })

  test('leaves no trace of the order', () => {
    const order = all(100_000, 11)
    let rising = 0
    let fixed = 0
    for (let i = 1; i < order.length; i++) {
      if (order[i]! > order[i - 1]!) rising++
      if (order[i] === i) fixed++
    }
    // Half rise, with a standard deviation of sqrt(n / 12) = 91; the number of fixed items is Poisson with mean 1.
    expect(Math.abs(rising - 50_000)).toBeLessThan(4 * 91)
    expect(fixed).toBeLessThan(8)
  })

  test('goes to 2^31 - 1 items without a table', () => {
    const n = 2 ** 31 - 1
    const permutation = new Permutation(n, new Random(5, 'order', 0))
    const some = new Set(Array.from({ length: 1000 }, (_, i) => permutation.at(n - 1 - i * 1000)))
    expect(some.size).toBe(1000)
    for (const item of some) expect(item >= 0 && item < n).toBe(true)
  })
})

test('shuffle reaches every arrangement equally often', () => {
  const chi = arrangements((seed) => {
    const items = [0, 1, 2, 3]
    shuffle(items, new Random(seed, 'order', 0))
    return items
  })
  expect(chi).toBeLessThan(49.7)
})

test('shuffle changes only its range', () => {
  const items = Array.from({ length: 100 }, (_, i) => i)
  shuffle(items, new Random(1, 'order', 0), 10, 90)
  expect(items.slice(0, 10)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect(items.slice(90)).toEqual([90, 91, 92, 93, 94, 95, 96, 97, 98, 99])
  expect(items.slice(10, 90).sort((a, b) => a - b)).toEqual(Array.from({ length: 80 }, (_, i) => i + 10))
  expect(items[50]).not.toBe(50)
})
