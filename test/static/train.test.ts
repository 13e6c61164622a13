/** trainStatic: what it learns, that it does so again, and what it refuses. */
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterAll, describe, expect, it } from 'vitest'
import {
  loadStatic,
  type StaticTrainingEvent,
  type StaticVectors,
  trainStatic,
  type TrainStaticOptions,
} from '../../src/index.js'

const GOLDEN = path.join(import.meta.dirname, '..', 'golden', 'static')
const golden = JSON.parse(readFileSync(path.join(GOLDEN, 'golden.json'), 'utf8'))
const scratch = mkdtempSync(path.join(tmpdir(), 'embedcore-static-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
const file = (name: string): string => path.join(scratch, name)

/** Numbers from 0 to 1, the same in every run (mulberry32). */
function generator(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
}

const TOPICS = 8
const WORDS_OF_TOPIC = 12

/** Sentences each of one topic; words of a topic stand together, words of different topics never. */
function topicSentences(sentences = 3000): string[][] {
  const random = generator(7)
  return Array.from({ length: sentences }, () => {
    const topic = Math.floor(random() * TOPICS)
    return Array.from({ length: 4 + Math.floor(random() * 8) }, () => {
      // Falling frequencies, so that subsampling and draws have something to do.
      return `t${topic}w${Math.floor(random() ** 2 * WORDS_OF_TOPIC)}`
    })
  })
}
const SENTENCES = topicSentences()
const CORPUS = file('topics.txt')
writeFileSync(CORPUS, SENTENCES.map((words) => `${words.join(' ')}\n`).join(''))

const SMALL = { corpus: CORPUS, vectorSize: 20, epochs: 4, sample: 0, alpha: 0.05, deterministic: true } as const

/** The share of nearest words that are of the same topic. */
async function sameTopic(vectors: StaticVectors): Promise<number> {
  let same = 0
  const words = vectors.words()
  for (const word of words) {
    const [nearest] = await vectors.nearest(word, { count: 1 })
    if (nearest!.word.slice(0, 2) === word.slice(0, 2)) same++
  }
  return same / words.length
}

async function digest(options: TrainStaticOptions): Promise<string> {
  const { vectors } = await trainStatic(options)
  const { data } = await vectors.vectors(vectors.words())
  vectors.dispose()
  return createHash('sha256').update(data).digest('hex')
}

describe('what is learnt', () => {
  it.each<[string, Partial<TrainStaticOptions>]>([
    ['skip-gram', { sg: true }],
    ['skip-gram with hierarchical softmax', { sg: true, hs: true }],
    ['CBOW', { epochs: 12 }],
    ['CBOW with hierarchical softmax', { hs: true, epochs: 12 }],
    ['CBOW of sums', { cbowMean: false, epochs: 12 }],
    ['CBOW with the exact gradient', { cbowUpdate: 'exact', epochs: 12, alpha: 0.15 }],
    ['skip-gram with subwords', { sg: true, minN: 2, maxN: 4, bucket: 500 }],
    ['CBOW with subwords', { minN: 2, maxN: 4, bucket: 500 }],
    ['two threads', { sg: true, deterministic: false, threads: 2 }],
    ['fixed windows, subsampling', { sg: true, shrinkWindows: false, sample: 0.01 }],
  ])('%s finds the topics', async (_, options) => {
    const { vectors, words, loss } = await trainStatic({ ...SMALL, ...options })
    expect(words).toBe(TOPICS * WORDS_OF_TOPIC)
    // By chance, 11 of 95 other words are of the same topic.
    expect(await sameTopic(vectors)).toBeGreaterThan(0.9)
    expect(loss).toBeGreaterThan(0)
  })

  it('counts the vocabulary and tells how the run goes', async () => {
    const run = trainStatic({ ...SMALL, minCount: 30, progressSeconds: 1e-6 })
    const events: StaticTrainingEvent[] = []
    for await (const event of run) events.push(event)
    const { vectors, ...result } = await run
    const counts = new Map<string, number>()
    for (const word of SENTENCES.flat()) counts.set(word, (counts.get(word) ?? 0) + 1)
    const kept = [...counts].filter(([, count]) => count >= 30).sort((a, b) => b[1] - a[1])
    expect(vectors.words()).toEqual(kept.map(([word]) => word))
    expect(Array.from(vectors.counts()!)).toEqual(kept.map(([, count]) => count))
    expect(result).toMatchObject({
      corpusTokens: SENTENCES.flat().length,
      sentences: SENTENCES.length,
      words: kept.length,
      tokens: kept.reduce((sum, [, count]) => sum + count, 0),
      minCount: 30,
      epochs: 4,
    })
    expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(['reading', 'vocabulary', 'progress']))
    const progress = events.filter((event) => event.type === 'progress')
    expect(progress.at(-1)).toMatchObject({ epoch: 4, epochs: 4, tokens: result.tokens * 4, alpha: 1e-4 })
    const rates = progress.map(({ alpha }) => alpha)
    expect(rates).toEqual([...rates].sort((a, b) => b - a))
  })

  it('keeps the most frequent words', async () => {
    const { vectors, minCount } = await trainStatic({ ...SMALL, epochs: 1, maxFinalVocab: 10 })
    expect(vectors.size).toBeLessThanOrEqual(10)
    expect(vectors.counts()!.at(-1)).toBeGreaterThanOrEqual(minCount)
  })
})

describe('corpora', () => {
  const options = { ...SMALL, epochs: 1 }
  it('are the same from a file, packed files, texts and words', async () => {
    const text = readFileSync(CORPUS)
    const lines = text.toString().split('\n')
    const half = lines.slice(0, 1500).join('\n')
    writeFileSync(file('a.txt'), `\ufeff${half}`)
    writeFileSync(file('b.txt.gz'), gzipSync(lines.slice(1500).join('\r\n')))
    writeFileSync(file('c.txt.br'), brotliCompressSync(text))
    const expected = await digest(options)
    const others: TrainStaticOptions['corpus'][] = [
      [file('a.txt'), file('b.txt.gz')],
      file('c.txt.br'),
      { texts: SENTENCES },
      { texts: lines },
      { texts: [text.toString()] },
      {
        texts: (async function* () {
          yield* SENTENCES
        })(),
      },
    ]
    for (const corpus of others) expect(await digest({ ...options, corpus })).toBe(expected)
    const upper = { texts: lines.map((line) => line.toUpperCase()) }
    expect(await digest({ ...options, corpus: upper, lowercase: true })).toBe(expected)
    expect(await digest({ ...options, tokenizer: (line) => line.split(' ').filter((word) => word !== '') })).toBe(
      expected,
    )
  })

  it('of Chinese are cut into words', async () => {
    const texts = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? '我喜欢苹果手机' : '北京是中国的首都。'))
    const { vectors } = await trainStatic({ ...options, corpus: { texts }, tokenizer: 'words' })
    expect(vectors.words()).toEqual(expect.arrayContaining(['苹果', '手机', '北京', '中国']))
    const characters = await trainStatic({ ...options, corpus: { texts }, tokenizer: 'characters' })
    expect(characters.vectors.words()).toContain('苹')
  })

  it.each(['default', 'npmi'] as const)('have the phrases that gensim finds: %s', async (name) => {
    const { options: gensim, counts } = golden.phrases[name]
    const { vectors, phrases } = await trainStatic({
      ...options,
      corpus: path.join(GOLDEN, 'phrases.txt'),
      minCount: 1,
      phrases: {
        minCount: gensim.min_count,
        threshold: gensim.threshold,
        scoring: name === 'npmi' ? 'npmi' : 'original',
      },
    })
    const found = vectors.counts()!
    expect(Object.fromEntries(vectors.words().map((word, i) => [word, found[i]]))).toEqual(counts)
    expect(phrases).toBe(Object.keys(counts).filter((word) => word.includes('_')).length)
    expect(phrases).toBeGreaterThan(0)
  })
})

describe('repetition', () => {
  it.each<[string, Partial<TrainStaticOptions>]>([
    ['skip-gram', { sg: true }],
    ['CBOW, hierarchical softmax, subwords', { hs: true, maxN: 4, minN: 2, bucket: 300 }],
  ])('%s gives the same bits with a seed, others with another', async (_, options) => {
    const first = await digest({ ...SMALL, ...options })
    expect(await digest({ ...SMALL, ...options, progressSeconds: 1e-6 })).toBe(first)
    expect(await digest({ ...SMALL, ...options, seed: 2 })).not.toBe(first)
  })

  it('goes on from a checkpoint with the same bits', async () => {
    // Long enough for an abort that arrives in its midst on a busy machine.
    const options = { ...SMALL, sg: true, epochs: 60, progressSeconds: 1e-6 }
    const expected = await digest(options)
    const checkpoint = file('run.state')
    const stop = new AbortController()
    const run = trainStatic({ ...options, checkpoint, signal: stop.signal })
    const events: string[] = []
    const failure = await (async () => {
      for await (const event of run) {
        events.push(event.type)
        if (event.type === 'progress' && event.epoch > 1) stop.abort()
      }
    })().catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED' })
    expect(events).toContain('checkpoint')
    expect(existsSync(checkpoint)).toBe(true)
    for (const [wrong, message] of [
      [{ window: 4 }, /window is 4 and was 5/],
      [{ corpus: { texts: [...SENTENCES].reverse() } }, /another corpus/],
    ] as const)
      await expect(trainStatic({ ...options, ...wrong, checkpoint, resume: true })).rejects.toMatchObject({
        code: 'ERR_EMBEDCORE_INVALID_OPTION',
        message: expect.stringMatching(message),
      })
    const begun = trainStatic({ ...options, checkpoint, resume: true })
    let first: number | null = null
    for await (const event of begun) if (event.type === 'progress') first ??= event.epoch
    expect(first).toBeGreaterThan(1)
    const { vectors } = await begun
    const { data } = await vectors.vectors(vectors.words())
    expect(createHash('sha256').update(data).digest('hex')).toBe(expected)
    expect(existsSync(checkpoint)).toBe(false)
    // Without a checkpoint, resume begins anew.
    expect(await digest({ ...options, checkpoint, resume: true })).toBe(expected)
  })
})

describe('files', () => {
  it('of fastText have the subwords and the output layer', async () => {
    const { vectors } = await trainStatic({ ...SMALL, sg: true, minN: 2, maxN: 4, bucket: 500 })
    await vectors.save(file('own.bin'), { format: 'fasttext' })
    await vectors.save(file('own.txt'))
    const [bin, text] = [await loadStatic(file('own.bin')), await loadStatic(file('own.txt'))]
    expect(bin.info.subwords).toEqual({ minN: 2, maxN: 4, bucket: 500 })
    const words = vectors.words()
    const { data } = await vectors.vectors(words)
    expect((await bin.vectors(words)).data).toEqual(data)
    expect((await text.vectors(words)).data).toEqual(data)
    expect(bin.vector('t1w99')).toEqual(vectors.vector('t1w99'))
    expect((await bin.nearest('t1w99', { count: 1 }))[0]!.word).toMatch(/^t1/)
  })
})

describe('what is refused', () => {
  const wrong = (options: unknown): Promise<unknown> =>
    Promise.resolve(trainStatic(options as TrainStaticOptions)).catch((error: unknown) => error)
  it.each([
    [{}, 'INVALID_OPTION', /corpus/],
    [{ corpus: [] }, 'INVALID_OPTION', /corpus/],
    [{ ...SMALL, vector_size: 3 }, 'UNKNOWN_OPTION', /did you mean "vectorSize"/],
    [{ ...SMALL, hs: true, negative: 5 }, 'INVALID_OPTION', /negative 0 with hs/],
    [{ ...SMALL, negative: 0 }, 'INVALID_OPTION', /hs: true/],
    [{ ...SMALL, sample: 1 }, 'INVALID_OPTION', /sample/],
    [{ ...SMALL, minAlpha: 1 }, 'INVALID_OPTION', /minAlpha/],
    [{ ...SMALL, sg: true, cbowMean: true }, 'INVALID_OPTION', /cbowMean is for CBOW/],
    [{ ...SMALL, minN: 3 }, 'INVALID_OPTION', /maxN/],
    [{ ...SMALL, minN: 4, maxN: 3 }, 'INVALID_OPTION', /minN of at most maxN/],
    [{ ...SMALL, threads: 2 }, 'INVALID_OPTION', /threads 1 with deterministic/],
    [{ ...SMALL, resume: true }, 'INVALID_OPTION', /checkpoint/],
    [{ ...SMALL, phrases: { scoring: 'npmi' } }, 'INVALID_OPTION', /threshold/],
    [{ ...SMALL, phrases: { treshold: 1 } }, 'UNKNOWN_OPTION', /threshold/],
    [{ ...SMALL, corpus: '/nowhere/corpus.txt' }, 'NOT_FOUND', /corpus.txt/],
    [{ ...SMALL, corpus: tmpdir() }, 'INVALID_FILE', /Cannot read/],
    [{ ...SMALL, corpus: { texts: [] } }, 'INVALID_DATA', /has 0 tokens/],
    [{ ...SMALL, corpus: { texts: ['a b c'] } }, 'INVALID_DATA', /of which 0 come 5 times or more/],
    [{ ...SMALL, corpus: { texts: [['a b']] } }, 'INVALID_DATA', /without white space/],
    [{ ...SMALL, corpus: { texts: [3] } }, 'INVALID_OPTION', /a text of the corpus/],
    [{ ...SMALL, tokenizer: () => 'abc' }, 'INVALID_OPTION', /a list of words from the tokenizer/],
    [{ ...SMALL, scratch: '/nowhere' }, 'WRITE_FAILED', /nowhere/],
    [{ ...SMALL, signal: AbortSignal.abort() }, 'ABORTED', /aborted/],
  ])('%j', async (options, code, message) => {
    expect(await wrong(options)).toMatchObject({
      code: `ERR_EMBEDCORE_${code}`,
      message: expect.stringMatching(message),
    })
  })

  it('bytes that are not UTF-8, unless they are skipped and counted', async () => {
    const text = Buffer.concat([
      Buffer.from('good word\n'.repeat(10)),
      Buffer.from([0x62, 0xff, 0x20]),
      Buffer.from('word\n'),
    ])
    writeFileSync(file('bytes.txt'), text)
    writeFileSync(file('cut.txt.gz'), gzipSync(text).subarray(0, 30))
    const options = { ...SMALL, corpus: file('bytes.txt') }
    expect(await wrong(options)).toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringMatching(/line 11/),
    })
    for (const tokenizer of ['whitespace', 'words'] as const)
      expect(await trainStatic({ ...options, tokenizer, invalidUtf8: 'skip' })).toMatchObject({ words: 2 })
    expect(await trainStatic({ ...options, invalidUtf8: 'skip' })).toMatchObject({ invalidTokens: 1 })
    expect(await wrong({ ...SMALL, corpus: file('cut.txt.gz'), invalidUtf8: 'skip' })).toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_FILE',
    })
  })

  it('checkpoints that are something else', async () => {
    writeFileSync(file('other.state'), 'something else')
    expect(await wrong({ ...SMALL, checkpoint: file('other.state'), resume: true })).toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_FILE',
    })
  })

  it('an iterable that fails', async () => {
    const texts = (async function* () {
      yield 'a b c'
      throw new Error('the line is dead')
    })()
    expect(await wrong({ ...SMALL, corpus: { texts } })).toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_DATA',
      message: expect.stringMatching(/the line is dead/),
    })
  })
})
