/** Batches: what each sampler promises, the same for the same seed, and exactly resumed. */
import { describe, expect, test } from 'vitest'
import { type OpenOptions, openData, type TrainingData } from '../../src/train/data/open.js'
import type { TrainingRow } from '../../src/train/data/rows.js'
import type { TrainingSources } from '../../src/train/data/sources.js'
import { type SamplerName, type SamplerOptions, SAMPLERS, samplerNeeds } from '../../src/train/samplers/options.js'
import { BatchSampler, type SampledBatch } from '../../src/train/samplers/sampler.js'
import { shardOf } from '../../src/train/samplers/shard.js'
import { numbers } from './support.js'

const LANGUAGES = ['en', 'zh', 'fr', 'es']
/** Products of 12 categories in four languages of unequal share, with repeated texts and labels of unequal size. */
function products(count: number): TrainingRow[] {
  const next = numbers(5)
  return Array.from({ length: count }, (_, i) => {
    const language = LANGUAGES[Math.floor(next() ** 2 * 4)]!
    return {
      anchor: `anchor ${i % Math.floor(count * 0.9)}`,
      positive: `positive ${Math.floor(next() * count)} ${'x'.repeat(Math.floor(next() * 50))}`,
      category: `c${Math.floor(next() ** 2 * 12)}`,
      language,
      id: Math.floor(i / 3),
      group: `g${Math.floor(next() ** 2 * 40)}`,
    }
  })
}

async function open(data: TrainingSources, sampler: SamplerName = 'random', options: OpenOptions = {}) {
  return openData(data, { needs: samplerNeeds(sampler), ...options })
}

async function batches(data: TrainingData, options: SamplerOptions, epochs = 1): Promise<SampledBatch[]> {
  const sampler = await BatchSampler.create(data, options, epochs)
  const all: SampledBatch[] = []
  for (let batch = await sampler.next(); batch !== null; batch = await sampler.next()) all.push(batch)
  return all
}
const plain = (all: readonly SampledBatch[]) =>
  all.map(({ epoch, index, source, rows, sourceEpoch }) => [epoch, index, source, [...rows], sourceEpoch])
const sorted = (all: readonly SampledBatch[]) => all.flatMap(({ rows }) => [...rows]).sort((a, b) => a - b)

const ROWS = products(1003)

describe.each(SAMPLERS)('%s', (sampler) => {
  test('gives the same batches for the same seed, and others in another epoch or with another seed', async () => {
    const data = await open(ROWS, sampler)
    const options = { sampler, batchSize: 16, seed: 3 }
    const first = await batches(data, options, 2)
    expect(plain(await batches(data, options, 2))).toEqual(plain(first))
    const epochs = [0, 1].map((epoch) => first.filter((batch) => batch.epoch === epoch).map(({ rows }) => [...rows]))
    const other = await batches(data, { ...options, seed: 4 })
    if (sampler === 'sequential') expect(epochs[1]).toEqual(epochs[0])
    else {
      expect(epochs[1]).not.toEqual(epochs[0])
      expect(other.map(({ rows }) => [...rows])).not.toEqual(epochs[0])
    }
  })

  test('uses a row at most once in an epoch, and says what it does not use', async () => {
    const data = await open(ROWS, sampler)
    for (const dropLast of [false, true]) {
      const created = await BatchSampler.create(data, { sampler, batchSize: 16, dropLast }, 1)
      const all = await batches(data, { sampler, batchSize: 16, dropLast })
      const rows = sorted(all)
      expect(new Set(rows).size).toBe(rows.length)
      const unused = created.unused.reduce((sum, some) => sum + some.rows, 0)
      if (!dropLast || sampler === 'group-by-label' || sampler === 'cross-language' || sampler === 'length-aware')
        expect(rows.length + unused).toBe(ROWS.length)
      else expect(rows.length).toBeGreaterThan(ROWS.length - 16 * (sampler === 'no-duplicates' ? 8 : 1))
      for (const { rows: batch } of all) expect(batch.length).toBeLessThanOrEqual(16)
      if (dropLast && sampler !== 'cross-language') for (const { rows: batch } of all) expect(batch).toHaveLength(16)
      expect(all.map(({ index }) => index)).toEqual(all.map((_, i) => i))
      if (sampler !== 'no-duplicates') expect(all).toHaveLength(created.batchesPerEpoch!)
    }
  })

  test('resumes after any batch with the same batches', async () => {
    const sources: TrainingSources = { one: ROWS.slice(0, 300), two: ROWS.slice(300, 420) }
    const data = await open(sources, sampler)
    for (const mixing of ['proportional', 'round-robin', 'weighted', 'temperature'] as const) {
      const options: SamplerOptions = { sampler, batchSize: 12, seed: 9, mixing }
      const all = await batches(data, options, 2)
      for (let at = 0; at < all.length; at += mixing === 'proportional' ? 3 : 11) {
        const sampler = await BatchSampler.create(data, options, 2)
        await sampler.restore(JSON.parse(JSON.stringify(all[at]!.state)))
        const rest: SampledBatch[] = []
        for (let batch = await sampler.next(); batch !== null; batch = await sampler.next()) rest.push(batch)
        expect(plain(rest)).toEqual(plain(all.slice(at + 1)))
        expect(rest.map(({ state }) => state)).toEqual(all.slice(at + 1).map(({ state }) => state))
      }
    }
  })
})

describe('what a batch is', () => {
  const facts = (all: readonly SampledBatch[], key: keyof TrainingRow) =>
    all.map(({ rows }) => [...rows].map((row) => String(ROWS[row]![key])))

  test('sequential: in the order of the source', async () => {
    const all = await batches(await open(ROWS), { sampler: 'sequential', batchSize: 100 })
    expect(all.flatMap(({ rows }) => [...rows])).toEqual(ROWS.map((_, i) => i))
  })

  test('no-duplicates: no text twice, in whatever columns', async () => {
    const rows = [
      ...ROWS,
      ...ROWS.slice(0, 50).map(({ anchor, positive }) => ({ anchor: positive!, positive: anchor! })),
    ]
    const pairs = rows.map(({ anchor, positive }) => ({ anchor, positive }))
    const all = await batches(await open(pairs, 'no-duplicates'), { sampler: 'no-duplicates', batchSize: 64 })
    for (const batch of all) {
      const texts = [...batch.rows].flatMap((row) => [...new Set(Object.values(pairs[row]!))])
      expect(new Set(texts).size).toBe(texts.length)
    }
    expect(sorted(all)).toEqual(pairs.map((_, i) => i))
    // Rows that wait come first in the next batch, so all but the last batches are full.
    expect(all.slice(0, -2).every(({ rows }) => rows.length === 64)).toBe(true)
  })

  test('no-duplicates: the batches of sentence-transformers for the same permutation', async () => {
    // NoDuplicatesBatchSampler: go through what is left, take what shares no text with the batch, begin again.
    const pairs = ROWS.map(({ anchor, positive }, i) => ({
      anchor,
      positive: i % 7 === 0 ? `same ${i % 3}` : positive,
    }))
    const order = await batches(await open(pairs), { sampler: 'random', batchSize: 1, seed: 6 })
    for (const dropLast of [false, true]) {
      const expected: number[][] = []
      let left = order.map(({ rows }) => rows[0]!)
      while (left.length > 0) {
        const batch: number[] = []
        const texts = new Set<string>()
        for (const row of left) {
          const own = Object.values(pairs[row]!) as string[]
          if (batch.length === 32 || own.some((text) => texts.has(text))) continue
          batch.push(row)
          for (const text of own) texts.add(text)
        }
        left = left.filter((row) => !batch.includes(row))
        if (batch.length === 32 || !dropLast) expected.push(batch)
      }
      const data = await open(pairs, 'no-duplicates')
      const ours = await batches(data, { sampler: 'no-duplicates', batchSize: 32, seed: 6, dropLast })
      expect(ours.map(({ rows }) => [...rows])).toEqual(expected)
    }
  })

  test('no-duplicates: of rows that all share a text, one a batch, or an error', async () => {
    const same = Array.from({ length: 10 }, (_, i) => ({ anchor: `a${i}`, positive: 'same' }))
    const data = await open(same, 'no-duplicates')
    const all = await batches(data, { sampler: 'no-duplicates', batchSize: 4 })
    expect(all.map(({ rows }) => rows.length)).toEqual(new Array(10).fill(1))
    await expect(batches(data, { sampler: 'no-duplicates', batchSize: 4, dropLast: true })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
    })
  })

  test('no-duplicates: of flag-embedding, the texts that the epoch draws', async () => {
    const rows = Array.from({ length: 60 }, (_, i) => ({
      query: `q${i}`,
      pos: [`p${i % 20}`, `r${i}`],
      neg: [`n${i % 7}`, `m${i}`, `k${i}`],
    }))
    const data = await openData({ rows, negatives: 2 }, { needs: samplerNeeds('no-duplicates'), seed: 4 })
    const all = await batches(data, { sampler: 'no-duplicates', batchSize: 10, seed: 4 }, 2)
    const keys = data.sources[0]!.rows!.facts.keys!
    for (const { rows: batch, sourceEpoch } of all) {
      const drawn = [...batch].flatMap((row) => [...new Set(Array.from(keys(row, sourceEpoch)))])
      expect(new Set(drawn).size).toBe(drawn.length)
    }
  })

  test('group-by-label: every label at least twice, and at least two labels', async () => {
    const data = await open(ROWS, 'group-by-label')
    for (const batchSize of [4, 6, 32])
      for (const batch of facts(await batches(data, { sampler: 'group-by-label', batchSize }, 3), 'group')) {
        const counts = new Map<string, number>()
        for (const group of batch) counts.set(group, (counts.get(group) ?? 0) + 1)
        expect(counts.size).toBeGreaterThanOrEqual(2)
        expect(Math.min(...counts.values())).toBeGreaterThanOrEqual(2)
      }
  })

  test('cross-language: every row has one of its category in another language, and no id is there twice', async () => {
    const data = await open(ROWS, 'cross-language')
    for (const batchSize of [4, 16, 64]) {
      const all = await batches(data, { sampler: 'cross-language', batchSize }, 2)
      for (const { rows } of all) {
        const batch = [...rows].map((row) => ROWS[row]!)
        for (const { category, language } of batch)
          expect(batch.some((other) => other.category === category && other.language !== language)).toBe(true)
        expect(new Set(batch.map(({ id }) => id)).size).toBe(batch.length)
      }
      // Full but for what small categories leave: the mean batch has most of its rows.
      expect(all.reduce((sum, { rows }) => sum + rows.length, 0)).toBeGreaterThan(all.length * batchSize * 0.85)
    }
  })

  test('cross-language: languages of a category are spread over its batches', async () => {
    const rows = Array.from({ length: 400 }, (_, i) => ({
      anchor: `a${i}`,
      positive: `p${i}`,
      category: 'one',
      language: i % 10 === 0 ? 'fr' : 'en',
    }))
    const all = await batches(await open(rows, 'cross-language'), { sampler: 'cross-language', batchSize: 40 })
    expect(all).toHaveLength(10)
    for (const batch of all) {
      const french = [...batch.rows].filter((row) => row % 10 === 0).length
      expect(french).toBeGreaterThanOrEqual(3)
      expect(french).toBeLessThanOrEqual(5)
    }
  })

  test('length-aware: lengths are alike within a batch and not in order', async () => {
    const rows = Array.from({ length: 2048 }, (_, i) => ({ sentence: 'x'.repeat(1 + ((i * 37) % 500)) }))
    const all = await batches(await open(rows, 'length-aware'), { sampler: 'length-aware', batchSize: 16 })
    const spans = all.map(({ rows: batch }) => {
      const lengths = [...batch].map((row) => rows[row]!.sentence.length)
      return Math.max(...lengths) - Math.min(...lengths)
    })
    // 1,024 texts are sorted together: a batch is 1/64 of their range of 500, so 8; random batches span about 440.
    expect(spans.reduce((sum, span) => sum + span, 0) / spans.length).toBeLessThan(16)
    const first = all.map(({ rows: batch }) => rows[batch[0]!]!.sentence.length)
    expect(first.filter((length, i) => i > 0 && length < first[i - 1]!).length).toBeGreaterThan(all.length / 4)
  })
})

describe('several sources', () => {
  const sources: TrainingSources = {
    large: { rows: ROWS.slice(0, 800), weight: 1 },
    small: { rows: ROWS.slice(800, 1000), weight: 3 },
  }
  const shares = (all: readonly SampledBatch[]) => [0, 1].map((of) => all.filter(({ source }) => source === of).length)

  test('proportional: every batch of every source once, mixed', async () => {
    const all = await batches(await open(sources), { batchSize: 10 }, 2)
    expect(shares(all)).toEqual([160, 40])
    for (const epoch of [0, 1])
      for (const source of [0, 1])
        expect(sorted(all.filter((batch) => batch.epoch === epoch && batch.source === source))).toEqual(
          Array.from({ length: source === 0 ? 800 : 200 }, (_, i) => i),
        )
    const order = all.slice(0, 100).map(({ source }) => source)
    expect(order.slice(0, 50).filter((source) => source === 1).length).toBeGreaterThan(2)
  })

  test('round-robin: in turns, until one is exhausted', async () => {
    const all = await batches(await open(sources), { batchSize: 10, mixing: 'round-robin' })
    expect(all.map(({ source }) => source)).toEqual(Array.from({ length: 40 }, (_, i) => i % 2))
  })

  test('weighted: by weight; a source that is exhausted begins anew', async () => {
    const data = await open(sources)
    const all = await batches(data, { batchSize: 10, mixing: 'weighted' }, 4)
    expect(all).toHaveLength(400)
    const [large, small] = shares(all)
    // 300 of 400 expected; the standard deviation of the binomial is 8.7.
    expect(Math.abs(small! - 300)).toBeLessThan(35)
    expect(large! + small!).toBe(400)
    const ofSmall = all.filter(({ source }) => source === 1)
    for (let i = 0; i + 20 <= ofSmall.length; i += 20) expect(new Set(sorted(ofSmall.slice(i, i + 20))).size).toBe(200)
    expect(ofSmall.at(-1)!.sourceEpoch).toBe(Math.ceil(ofSmall.length / 20) - 1)
  })

  test('temperature: by n^(1 / T)', async () => {
    const data = await open(sources)
    const share = async (temperature: number) =>
      shares(await batches(data, { batchSize: 10, mixing: 'temperature', temperature }, 10))[1]! / 1000
    // Shares of 200 among 200 and 800 rows; the standard deviation of 1,000 draws is at most 0.016.
    expect(Math.abs((await share(1)) - 0.2)).toBeLessThan(0.06)
    expect(Math.abs((await share(2)) - 1 / 3)).toBeLessThan(0.06)
    expect(Math.abs((await share(1000)) - 0.5)).toBeLessThan(0.06)
  })
})

describe('iterables', () => {
  const rows = ROWS.slice(0, 200).map(({ anchor, positive }) => ({ anchor, positive }))
  const source = async function* () {
    yield* rows
  }

  test.each(['random', 'sequential', 'no-duplicates'] as const)('%s', async (sampler) => {
    const options: SamplerOptions = { sampler, batchSize: 16, shuffleBuffer: 50, seed: 2 }
    const all = await batches(await open(source), options, 2)
    expect(sorted(all.filter(({ epoch }) => epoch === 1))).toEqual(rows.map((_, i) => i))
    for (const { rows: numbers, read } of all)
      expect(read!.map(({ texts }) => texts[0])).toEqual([...numbers].map((i) => rows[i]!.anchor))
    const order = all.filter(({ epoch }) => epoch === 0).flatMap(({ rows: numbers }) => [...numbers])
    if (sampler === 'sequential') expect(order).toEqual(rows.map((_, i) => i))
    else expect(order).not.toEqual(rows.map((_, i) => i))
    for (const at of [0, 5, 12, 13, 20]) {
      const resumed = await BatchSampler.create(await open(source), options, 2)
      await resumed.restore(JSON.parse(JSON.stringify(all[at]!.state)))
      const rest: SampledBatch[] = []
      for (let batch = await resumed.next(); batch !== null; batch = await resumed.next()) rest.push(batch)
      expect(plain(rest)).toEqual(plain(all.slice(at + 1)))
    }
  })

  test('have one epoch unless a function gives them anew', async () => {
    await expect(BatchSampler.create(await open(source()), {}, 2)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringContaining('Expected a function that returns the rows of rows for 2 epochs') as string,
    })
    const sampler = await BatchSampler.create(await open(source()), { batchSize: 200 })
    expect((await sampler.next())!.rows).toHaveLength(200)
    await expect(sampler.next()).rejects.toThrow(/for more than one epoch but received an iterable/)
  })

  test.each(['group-by-label', 'cross-language', 'length-aware'] as const)('are refused by %s', async (sampler) => {
    await expect(BatchSampler.create(await open(source), { sampler })).rejects.toThrow(
      `Expected a file or a list of rows for the sampler '${sampler}' but the rows of "rows" are an iterable`,
    )
  })

  test.each(['weighted', 'temperature'] as const)('are refused by mixing %s', async (mixing) => {
    const data = await open({ one: source, two: rows })
    await expect(BatchSampler.create(data, { mixing })).rejects.toThrow(/whose number is not known/)
  })

  test('mix with files', async () => {
    const all = await batches(await open({ one: source, two: rows }), { batchSize: 16 }, 2)
    for (const of of [0, 1]) expect(all.filter(({ source }) => source === of)).toHaveLength(26)
  })
})

describe('what cannot be sampled', () => {
  const pairs = [
    { anchor: 'a', positive: 'b' },
    { anchor: 'c', positive: 'd' },
  ]
  test.each([
    [
      { sampler: 'group-by-label' },
      'INVALID_OPTION',
      /a label or a group in "rows" for the sampler 'group-by-label' but its columns are anchor, positive/,
    ],
    [{ sampler: 'cross-language' }, 'INVALID_OPTION', /a category in "rows"/],
    [{ sampler: 'group-by-label', batchSize: 5 }, 'INVALID_OPTION', /an even number from 4/],
    [{ sampler: 'cross-language', batchSize: 1 }, 'INVALID_OPTION', /at least 2/],
    [{ batchSize: 4, dropLast: true }, 'INVALID_OPTION', /at least 4 rows \(batchSize\)/],
    [{ sampler: 'no_duplicates' }, 'INVALID_OPTION', /did you mean 'no-duplicates'\?/],
    [{ samplr: 'random' }, 'UNKNOWN_OPTION', /did you mean "sampler"\?/],
    [{ drop_last: true }, 'UNKNOWN_OPTION', /did you mean "dropLast"\?/],
    [{ seed: -1 }, 'INVALID_OPTION', /for seed/],
    [{ temperature: 2 }, 'INVALID_OPTION', /nothing without mixing: 'temperature'/],
    [{ temperature: 0, mixing: 'temperature' }, 'INVALID_OPTION', /a number above 0 for temperature/],
    [{ bucketBatches: 2 }, 'INVALID_OPTION', /nothing without sampler: 'length-aware'/],
  ])('%j', async (options, code, message) => {
    await expect(BatchSampler.create(await open(pairs), options as SamplerOptions)).rejects.toMatchObject({
      code: `ERR_EMBEDCORE_${code}`,
      message: expect.stringMatching(message) as string,
    })
  })

  test('labels without a second row, categories of one language', async () => {
    const rows = pairs.map((row, i) => ({ ...row, group: i, category: 'c', language: 'en' }))
    await expect(BatchSampler.create(await open(rows), { sampler: 'group-by-label' })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringContaining('at least two labels with two rows or more') as string,
    })
    await expect(BatchSampler.create(await open(rows), { sampler: 'cross-language' })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringContaining('a category with rows of two languages') as string,
    })
  })

  test('a state of other data or options', async () => {
    const sampler = await BatchSampler.create(await open(pairs), { batchSize: 1 })
    const { state } = (await sampler.next())!
    const other = await BatchSampler.create(await open(pairs), { batchSize: 2 })
    await expect(other.restore(state)).rejects.toThrow(
      /made with the same data and options \(.*batchSize 2.*\) but received one made with .*batchSize 1/,
    )
    const more = await BatchSampler.create(await open([...pairs, ...pairs]), { batchSize: 1 })
    await expect(more.restore(state)).rejects.toThrow(/rows: 4 rows/)
    await expect(other.restore({} as never)).rejects.toThrow(/Expected a state of the order of the data/)
  })
})

test('shards are the batch', () => {
  for (const rows of [1, 2, 7, 32, 33])
    for (const count of [1, 2, 3, 8]) {
      const parts = Array.from({ length: count }, (_, rank) => shardOf(rows, { rank, count }))
      expect(parts[0]!.from).toBe(0)
      expect(parts.at(-1)!.to).toBe(rows)
      for (let i = 1; i < count; i++) expect(parts[i]!.from).toBe(parts[i - 1]!.to)
      const sizes = parts.map(({ from, to }) => to - from)
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
    }
})
