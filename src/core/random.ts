/**
 * Random numbers that depend on a seed alone. Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2,
 * 3", 2011) turns a 64-bit key and a 128-bit counter into 128 bits. There is no hidden state: any number of a sequence
 * can be computed at once, so a sampler resumes from a position alone. All arithmetic is on 32-bit integers.
 *
 * The key is the seed. The counter is [index, row, epoch, site]; the site keeps uses apart that share a seed.
 */

/** What a sequence of random numbers is for. Several sources add their number, in the upper half. */
export const SITES = {
  order: 1,
  mixing: 2,
  choice: 3,
  buffer: 4,
  batches: 5,
  mining: 6,
  resampling: 7,
  signs: 8,
  clusters: 9,
  examples: 10,
  pairs: 11,
  heldOut: 12,
  points: 13,
} as const
export type Site = keyof typeof SITES

const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
const WEYL_0 = 0x9e3779b9
const WEYL_1 = 0xbb67ae85

/** The upper 32 bits of a 64-bit product. */
function high(a: number, b: number): number {
  const [a0, a1, b0, b1] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16]
  const middle = a1 * b0 + ((a0 * b0) >>> 16) // below 2^32
  const carry = a0 * b1 + (middle & 0xffff) // below 2^32
  return (a1 * b1 + (middle >>> 16) + (carry >>> 16)) >>> 0
}

/** Writes the four numbers of a counter to `out`. */
export function philox(
  out: Uint32Array,
  key0: number,
  key1: number,
  counter: readonly [number, number, number, number],
): void {
  let [c0, c1, c2, c3] = counter
  for (let round = 0; round < 10; round++) {
    const h0 = high(MULTIPLIER_0, c0 >>> 0)
    const l0 = Math.imul(MULTIPLIER_0, c0)
    const h1 = high(MULTIPLIER_1, c2 >>> 0)
    const l1 = Math.imul(MULTIPLIER_1, c2)
    c0 = h1 ^ c1 ^ key0
    c1 = l1
    c2 = h0 ^ c3 ^ key1
    c3 = l0
    key0 = (key0 + WEYL_0) | 0
    key1 = (key1 + WEYL_1) | 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}

/** The largest seed: integers above it are not exact. */
export const LARGEST_SEED = Number.MAX_SAFE_INTEGER

/** A sequence of random numbers for one purpose, from its beginning. */
export class Random {
  private readonly key0: number
  private readonly key1: number
  private readonly site: number
  private readonly block = new Uint32Array(4)
  private index = 0
  private left = 0

  constructor(
    seed: number,
    site: Site,
    private readonly epoch: number,
    source = 0,
    private readonly row = 0,
  ) {
    this.key0 = seed >>> 0
    this.key1 = Math.floor(seed / 2 ** 32) >>> 0
    this.site = SITES[site] + source * 0x10000
  }

  /** A uniform integer in [0, 2^32). */
  uint32(): number {
    if (this.left === 0) {
      philox(this.block, this.key0, this.key1, [this.index++, this.row, this.epoch, this.site])
      this.left = 4
    }
    return this.block[4 - this.left--]!
  }

  /** A uniform integer in [0, n), n at most 2^32. Without bias: numbers of the incomplete last run are drawn again. */
  below(n: number): number {
    const limit = 2 ** 32 - (2 ** 32 % n)
    for (;;) {
      const drawn = this.uint32()
      if (drawn < limit) return drawn % n
    }
  }

  /** A uniform number in [0, 1) with 53 random bits. */
  unit(): number {
    const upper = this.uint32() >>> 5
    return (upper * 2 ** 26 + (this.uint32() >>> 6)) / 2 ** 53
  }
}

/** Fisher-Yates, in place, of items [from, to). */
export function shuffle<T>(
  items: { [place: number]: T; readonly length: number },
  random: Random,
  from = 0,
  to = items.length,
): void {
  for (let i = to - 1; i > from; i--) {
    const j = from + random.below(i - from + 1)
    const item = items[i]!
    items[i] = items[j]!
    items[j] = item
  }
}

/** Rounds of the network below; each changes both halves. */
const ROUNDS = 4
/** The longest permutation: its network has 32 bits. */
export const MOST_ROWS = 2 ** 31 - 1

/**
 * A pseudorandom permutation of [0, n) that needs no memory: place i is computed when asked for. An alternating
 * Feistel network permutes a power of two between 2n and 4n, at least 256; a result outside [0, n) is put through it
 * again until it falls inside (cycle walking), which keeps it a permutation. The domain is at least twice as large as n
 * because a network of few bits reaches even permutations only.
 */
export class Permutation {
  private readonly keys = new Uint32Array(4 * ROUNDS)
  private readonly rightBits: number
  private readonly rightMask: number
  private readonly leftMask: number

  constructor(
    readonly length: number,
    random: Random,
  ) {
    let bits = 8
    while (2 ** bits < 2 * length) bits++
    this.rightBits = bits >>> 1
    this.rightMask = 2 ** this.rightBits - 1
    this.leftMask = 2 ** (bits - this.rightBits) - 1
    for (let i = 0; i < this.keys.length; i++) this.keys[i] = random.uint32()
  }

  /** The item at place i, for i in [0, n). */
  at(i: number): number {
    let item = i
    do item = this.permute(item)
    while (item >= this.length)
    return item
  }

  private permute(item: number): number {
    let left = item >>> this.rightBits
    let right = item & this.rightMask
    for (let k = 0; k < this.keys.length; k += 4) {
      left ^= mix(right, this.keys[k]!, this.keys[k + 1]!) & this.leftMask
      right ^= mix(left, this.keys[k + 2]!, this.keys[k + 3]!) & this.rightMask
    }
    return ((left << this.rightBits) | right) >>> 0
  }
}

/** 32 bits that depend on every bit of the value and of both keys: the finaliser of MurmurHash3 between two keys. */
function mix(value: number, key: number, other: number): number {
  let bits = (value + key) | 0
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = (bits ^ (bits >>> 13) ^ other) | 0
  bits = Math.imul(bits, 0xc2b2ae35)
  return bits ^ (bits >>> 16)
}
