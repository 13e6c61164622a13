/** Batches ready for a step: columns, prompts, draws, and the queue before the step. */
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { EmbedCoreError } from '../../src/core/errors.js'
import { checkOptions } from '../../src/core/options.js'
import { chooseTexts } from '../../src/train/data/choice.js'
import { DATA_RULES, openBatches } from '../../src/train/data/batches.js'
import { BatchLoader, type LoaderOptions, type TrainingBatch } from '../../src/train/data/loader.js'
import { type OpenOptions, openData } from '../../src/train/data/open.js'
import type { TrainingSources } from '../../src/train/data/sources.js'
import type { ColumnTokenizer } from '../../src/train/data/tokenize-column.js'
import { TextTokenizer } from '../../src/model/tokenizer.js'
import { type SamplerOptions, samplerNeeds } from '../../src/train/samplers/options.js'
import { BatchSampler } from '../../src/train/samplers/sampler.js'
import { GOLDEN } from '../support/golden.js'

let tokenizer: TextTokenizer
beforeAll(async () => {
  const directory = path.join(GOLDEN, 'stack/mean-normalize')
  tokenizer = await TextTokenizer.load(directory, { lowerCase: null, maxTokens: 24 })
})

interface Given extends Partial<LoaderOptions> {
  open?: OpenOptions
  epochs?: number
}

async function loaderOf(
  data: TrainingSources,
  options: SamplerOptions = {},
  { open, epochs = 1, ...rest }: Given = {},
) {
  const opened = await openData(data, { needs: samplerNeeds(options.sampler ?? 'random'), ...open })
  const sampler = await BatchSampler.create(opened, options, epochs)
  return new BatchLoader(opened, sampler, { tokenizer, ...rest })
}

async function all(loader: BatchLoader): Promise<TrainingBatch[]> {
  const batches: TrainingBatch[] = []
  for await (const batch of loader) batches.push(batch)
  return batches
}

const WORDS = ['quick', 'brown', 'fox', 'lazy', 'dog', 'captain', 'harbour', 'phone']
const words = (i: number) => `${WORDS[i % 8]} ${WORDS[(i * 3 + 1) % 8]} ${i % 5 === 0 ? WORDS[(i + 2) % 8] : ''}`.trim()
const PAIRS = Array.from({ length: 50 }, (_, i) => ({ anchor: words(i), positive: words(i + 11) }))

/** The texts of a column, as the vocabulary writes them. */
function texts({ columns }: TrainingBatch, column: number, from = tokenizer): string[] {
  const { ids, offsets } = columns[column]!.tokens
  return Array.from({ length: offsets.length - 1 }, (_, i) =>
    from.tokens(ids.subarray(offsets[i], offsets[i + 1])).join(' '),
  )
}
const expectedText = async (text: string, prompt = '') => {
  const { ids } = await tokenizer.encodeBatch([text], { wantOffsets: false, prompt })
  return tokenizer.tokens(ids).join(' ')
}

describe('a batch', () => {
  test('has the tokens of its rows, a column at a time', async () => {
    const batches = await all(await loaderOf(PAIRS, { batchSize: 16 }))
    expect(batches.map(({ rows }) => rows.length)).toEqual([16, 16, 16, 2])
    for (const batch of batches) {
      expect(batch.columns.map(({ name }) => name)).toEqual(['anchor', 'positive'])
      expect([batch.kind, batch.source, batch.globalRows, batch.firstRow]).toEqual([
        'pairs',
        'rows',
        batch.rows.length,
        0,
      ])
      for (const [c, column] of (['anchor', 'positive'] as const).entries())
        expect(texts(batch, c)).toEqual(
          await Promise.all([...batch.rows].map((row) => expectedText(PAIRS[row]![column]))),
        )
      expect(batch.place(1)).toBe(`rows[${batch.rows[1]}]`)
      expect([batch.scores, batch.labels, batch.ids, batch.categories, batch.languages]).toEqual([
        null,
        null,
        null,
        null,
        null,
      ])
    }
  })

  test('has prompts by column, of the call and of a source', async () => {
    const sources = { one: PAIRS.slice(0, 2), two: { rows: PAIRS.slice(2, 4), prompts: { positive: 'best ' } } }
    const open = { prompts: { anchor: 'query: ', positive: 'document ' } }
    const batches = await all(await loaderOf(sources, { sampler: 'sequential', batchSize: 2 }, { open }))
    for (const batch of batches) {
      const first = batch.source === 'one' ? 0 : 2
      const prompt = batch.source === 'one' ? 'document ' : 'best '
      expect(texts(batch, 0)[0]).toBe(await expectedText(PAIRS[first]!.anchor, 'query: '))
      expect(texts(batch, 1)[0]).toBe(await expectedText(PAIRS[first]!.positive, prompt))
      expect(batch.columns[1]!.tokens.promptTokens[0]).toBeGreaterThan(1)
    }
    const negatives = [{ anchor: 'fox', positive: 'dog', negative_1: 'phone', negative_2: 'captain' }]
    const [batch] = await all(await loaderOf(negatives, {}, { open: { prompts: { negative: 'best ' } } }))
    expect(texts(batch!, 3)[0]).toBe(await expectedText('captain', 'best '))
    await expect(loaderOf(PAIRS, {}, { open: { prompts: { negative: 'best ' } } })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_UNKNOWN_OPTION',
      message: 'Expected a column of the data in prompts but received "negative"; the columns are anchor, positive',
    })
  })

  test('has scores, labels, and the numbers of other columns', async () => {
    const rows = Array.from({ length: 6 }, (_, i) => ({
      sentence1: words(i),
      sentence2: words(i + 1),
      score: i / 8,
      group: `g${i % 2}`,
      category: i % 3,
      lang: i < 3 ? 'en' : 'zh',
      id: `id ${i % 4}`,
    }))
    const [batch] = await all(await loaderOf(rows, { sampler: 'sequential' }))
    expect([...batch!.scores!]).toEqual([0, 0.125, 0.25, 0.375, 0.5, 0.625])
    expect(batch!.scoresPerRow).toBe(1)
    expect([...batch!.labels!]).toEqual([0, 1, 0, 1, 0, 1])
    expect([...batch!.categories!]).toEqual([0, 1, 2, 0, 1, 2])
    expect([...batch!.languages!]).toEqual([0, 0, 0, 1, 1, 1])
    expect(new Set(batch!.ids!).size).toBe(4)
    expect(batch!.ids![0]).toBe(batch!.ids![4])

    const labelled = [
      { sentence: 'fox', label: 'x' },
      { sentence: 'dog', label: 3 },
      { sentence: 'cup', label: 'x' },
    ]
    const [classes] = await all(await loaderOf(labelled, { sampler: 'sequential' }))
    expect([...classes!.labels!]).toEqual([0, 1, 0])
    const vectors = [
      { sentence: 'fox', label: [1, 2] },
      { sentence: 'dog', label: [3, 4] },
    ]
    const [taught] = await all(await loaderOf(vectors, { sampler: 'sequential' }))
    expect([[...taught!.scores!], taught!.scoresPerRow]).toEqual([[1, 2, 3, 4], 2])
  })

  test('is the same whole and in shards', async () => {
    const [whole] = await all(await loaderOf(PAIRS, { batchSize: 50 }))
    const parts: TrainingBatch[] = []
    for (const rank of [0, 1, 2])
      parts.push(...(await all(await loaderOf(PAIRS, { batchSize: 50 }, { shard: { rank, count: 3 } }))))
    expect(parts.map(({ firstRow, globalRows, rows }) => [firstRow, rows.length, globalRows])).toEqual([
      [0, 16, 50],
      [16, 17, 50],
      [33, 17, 50],
    ])
    for (const column of [0, 1]) expect(parts.flatMap((part) => texts(part, column))).toEqual(texts(whole!, column))
  })

  test('continues after a batch with the same batches', async () => {
    const options: SamplerOptions = { sampler: 'no-duplicates', batchSize: 8 }
    const batches = await all(await loaderOf(PAIRS, options, { epochs: 3 }))
    const opened = await openData(PAIRS, { needs: samplerNeeds('no-duplicates') })
    const sampler = await BatchSampler.create(opened, options, 3)
    await sampler.restore(batches[9]!.state)
    const rest = await all(new BatchLoader(opened, sampler, { tokenizer, ahead: 5 }))
    const plain = (some: readonly TrainingBatch[]) => some.map(({ place: _, ...data }) => data)
    expect(plain(rest)).toEqual(plain(batches.slice(10)))
  })
})

describe('FlagEmbedding rows', () => {
  const rows = Array.from({ length: 12 }, (_, i) => ({
    query: words(i),
    pos: [words(i + 20), words(i + 21), words(i + 22)],
    neg: [`lazy ${words(i)}`, `dog ${words(i)}`, `fox ${words(i)}`, `cup ${words(i)}`],
    pos_scores: [1, 2, 3],
    neg_scores: [4, 5, 6, 7],
    ...(i % 2 === 0 ? { prompt: 'query: ' } : {}),
  }))
  const withPrompts = rows.map((row) => ({ prompt: null, ...row }) as never)

  test('draw other texts in every epoch, with their numbers and prompts', async () => {
    const source = { rows: withPrompts, negatives: 3, prompts: { anchor: 'document ' } }
    const seed = 5
    const batches = await all(
      await loaderOf(source, { sampler: 'sequential', batchSize: 12, seed }, { epochs: 3, open: { seed } }),
    )
    expect(batches[0]!.columns.map(({ name }) => name)).toEqual([
      'anchor',
      'positive',
      'negative_1',
      'negative_2',
      'negative_3',
    ])
    const seen: string[] = []
    for (const batch of batches) {
      expect(batch.scoresPerRow).toBe(4)
      for (let i = 0; i < 12; i++) {
        const { query, pos, neg } = rows[i]!
        expect(texts(batch, 0)[i]).toBe(await expectedText(query, i % 2 === 0 ? 'query: ' : 'document '))
        const scores = [...batch.scores!.subarray(4 * i, 4 * i + 4)]
        expect(texts(batch, 1)[i]).toBe(await expectedText(pos[scores[0]! - 1]!))
        for (const [j, score] of scores.slice(1).entries())
          expect(texts(batch, 2 + j)[i]).toBe(await expectedText(neg[score - 4]!))
        expect(new Set(scores).size).toBe(4)
      }
      seen.push(batch.scores!.join())
    }
    expect(new Set(seen).size).toBe(3)
  })

  test('repeat negatives where there are too few', () => {
    for (let row = 0; row < 50; row++) {
      const chosen = chooseTexts({ seed: 1, source: 0, negatives: 7 }, 0, row, 1, 1 + 1 + 3)
      expect(chosen.slice(0, 2)).toEqual([0, 1])
      const counts = [2, 3, 4].map((text) => chosen.slice(2).filter((other) => other === text).length)
      expect(counts.reduce((sum, count) => sum + count)).toBe(7)
      expect(Math.max(...counts)).toBeLessThanOrEqual(3)
    }
  })
})

describe('openBatches', () => {
  test('opens data and their sampler from one set of options', async () => {
    const options = checkOptions({ sampler: 'no-duplicates', batchSize: 5, prompts: { anchor: 'query: ' } }, DATA_RULES)
    const { data, sampler } = await openBatches(PAIRS, options, { epochs: 2 })
    const batches = await all(new BatchLoader(data, sampler, { tokenizer }))
    expect(batches.reduce((sum, { rows }) => sum + rows.length, 0)).toBe(2 * PAIRS.length)
    expect(texts(batches[0]!, 0)[0]).toBe(await expectedText(PAIRS[batches[0]!.rows[0]!]!.anchor, 'query: '))
    await data.close()
    await expect(openBatches(PAIRS, { sampler: 'cross-language' }, { epochs: 1 })).rejects.toThrow(
      /a category in "rows"/,
    )
  })

  test.each([
    [{ onBadRow: 'ignore' }, /one of 'error', 'skip' for onBadRow/],
    [{ prompts: 5 }, /^Expected a string, or an object of strings for prompts but received 5/],
    [{ tmpDir: '' }, /for tmpDir/],
    [{ batch_size: 4 }, /did you mean "batchSize"\?/],
  ])('%j is refused', (options, message) => {
    expect(() => checkOptions(options, DATA_RULES)).toThrow(message)
  })
})

describe('ahead of the step', () => {
  /** Counts calls and lets the test decide when and how they end. */
  function slow(end: (call: number) => Promise<void>): { tokenizer: ColumnTokenizer; calls: () => number } {
    let calls = 0
    return {
      calls: () => calls,
      tokenizer: {
        async encodeBatch(some, request) {
          await end(calls++)
          return tokenizer.encodeBatch(some, request)
        },
      },
    }
  }

  test.each([1, 2, 4])('%i batches are made before they are asked for, and no more', async (ahead) => {
    const counted = slow(async () => undefined)
    const loader = await loaderOf(PAIRS, { batchSize: 2 }, { tokenizer: counted.tokenizer, ahead })
    await loader.next()
    await expect.poll(counted.calls).toBe(2 * (1 + ahead))
    await delay(50) // nothing more comes of itself
    expect(counted.calls()).toBe(2 * (1 + ahead))
    await loader.next()
    await expect.poll(counted.calls).toBe(2 * (2 + ahead))
    await loader.close()
  })

  test('an error comes in the place of its batch, and stays', async () => {
    const failing = slow(async (call) => {
      if (call === 5) throw new EmbedCoreError('ERR_EMBEDCORE_TEXT_TOO_LONG', 'Expected less for text 1')
    })
    const loader = await loaderOf(
      PAIRS,
      { sampler: 'sequential', batchSize: 2 },
      { tokenizer: failing.tokenizer, ahead: 4 },
    )
    expect((await loader.next())!.index).toBe(0)
    expect((await loader.next())!.index).toBe(1)
    for (let i = 0; i < 2; i++)
      await expect(loader.next()).rejects.toMatchObject({
        code: 'ERR_EMBEDCORE_TEXT_TOO_LONG',
        message: 'rows[5]: Expected less for text 1',
      })
    await loader.close()
  })

  test('a row that changed fails its step with its place', async () => {
    const rows = PAIRS.map((row) => ({ ...row }))
    const loader = await loaderOf(rows, { sampler: 'sequential', batchSize: 5 }, { ahead: 1 })
    rows[22]!.anchor = ''
    const seen: number[] = []
    const reading = (async () => {
      for await (const { index } of loader) seen.push(index)
    })()
    await expect(reading).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringContaining('rows[22] expected a text but found an empty one') as string,
    })
    expect(seen).toEqual([0, 1, 2, 3])
  })

  test('a signal ends a step that waits, and what is under way', async () => {
    const stop = new AbortController()
    const never = slow(
      () => new Promise((_, reject) => stop.signal.addEventListener('abort', () => reject(new Error('ended')))),
    )
    const loader = await loaderOf(PAIRS, {}, { tokenizer: never.tokenizer, signal: stop.signal })
    const waiting = loader.next()
    await expect.poll(never.calls).toBe(1)
    stop.abort('enough')
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED', cause: 'enough' })
    await expect(loader.next()).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    await loader.close()
    const late = await loaderOf(PAIRS, {}, { signal: stop.signal })
    await expect(late.next()).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    await late.close()
  })

  test('leaving the loop ends it', async () => {
    const counted = slow(async () => undefined)
    const loader = await loaderOf(PAIRS, { batchSize: 2 }, { tokenizer: counted.tokenizer })
    for await (const { index } of loader) if (index === 2) break
    const calls = counted.calls()
    await delay(20) // nothing runs on
    expect(counted.calls()).toBe(calls)
  })

  test('the end comes once and stays', async () => {
    const loader = await loaderOf(PAIRS.slice(0, 3), { batchSize: 2 })
    const indices = [await loader.next(), await loader.next(), await loader.next(), await loader.next()]
    expect(indices.map((batch) => batch?.index)).toEqual([0, 1, undefined, undefined])
    await loader.close()
  })

  test('texts that are too long are refused with their place, or cut', async () => {
    const long = [...PAIRS.slice(0, 3), { anchor: 'fox '.repeat(100), positive: 'dog' }]
    const cut = await all(await loaderOf(long, { sampler: 'sequential', batchSize: 4 }, { maxTokens: 10 }))
    expect(cut[0]!.columns[0]!.tokens.omitted[3]).toBe(92)
    const refused = await loaderOf(long, { sampler: 'sequential', batchSize: 4 }, { maxTokens: 10, truncate: false })
    await expect(refused.next()).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_TEXT_TOO_LONG',
      message: expect.stringMatching(/^rows\[3\]: Expected at most 10 tokens for text 3/) as string,
    })
    await refused.close()
  })
})
