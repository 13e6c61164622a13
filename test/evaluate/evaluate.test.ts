/** What evaluate does besides metrics: wrong calls, order of work, memory, abort, progress, several evaluators. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Encoder, evaluate, type EvaluateProgress, type Evaluator, load, type Model } from '../../src/index.js'
import { lookup } from './support/table.js'

const PAIRS: Evaluator = {
  task: 'sts',
  data: [
    { sentence1: 'a', sentence2: 'b', score: 1 },
    { sentence1: 'b', sentence2: 'd', score: 3 },
    { sentence1: 'c', sentence2: 'c', score: 2 },
  ],
}
const RETRIEVAL: Evaluator = {
  task: 'retrieval',
  queries: { q: 'a' },
  corpus: { d: 'b', e: 'c' },
  relevantDocs: { q: ['d'] },
}
const TRIPLETS: Evaluator = { task: 'triplet', data: [{ anchor: 'a', positive: 'b', negative: 'q' }] }
const BITEXT: Evaluator = { task: 'bitext', data: [{ source_sentence: 'a', target_sentence: 'b' }] }
const TASKS = { sts: PAIRS, retrieval: RETRIEVAL, triplet: TRIPLETS, bitext: BITEXT }
const letters = (text: string): number[] => [1, text.length, (text.codePointAt(0) ?? 0) / 97]

describe('wrong calls', () => {
  const model = lookup(letters)
  const { data } = PAIRS as { data: readonly object[] }
  test.each<[unknown, string]>([
    [undefined, "Expected an evaluator, such as { task: 'sts', data: 'pairs.csv' }, but received undefined"],
    [{}, "Expected one of 'sts', 'retrieval', 'triplet', 'bitext' for task but received undefined"],
    [{ task: 'stss' }, `received "stss"; did you mean 'sts'?`],
    [{ task: 'sts' }, 'Expected the path of a file or a list of rows for data but received undefined'],
    [{ task: 'sts', data, scores: [] }, 'received "scores"; rows are in data, as { sentence1, sentence2, score }'],
    [{ task: 'sts', data, truncate_dim: 5 }, 'received "truncate_dim"; use dimensions'],
    [{ task: 'sts', data, main_similarity: 'dot' }, 'did you mean "mainSimilarity"?'],
    [{ task: 'sts', data, mainSimilarityFunction: 'dot' }, 'use mainSimilarity'],
    [{ task: 'sts', data, similarityFnNames: ['cosine', 'cos'] }, 'for similarityFnNames but received an array of 2'],
    [{ task: 'sts', data, similarityFnNames: 'cosinus' }, "did you mean 'cosine'?"],
    [
      { task: 'sts', data, similarityFnNames: ['cosine', 'dot'], mainSimilarity: 'manhattan' },
      'Expected one of similarityFnNames (cosine, dot) for mainSimilarity but received "manhattan"',
    ],
    [{ task: 'sts', data, precision: 'int4' }, 'for precision but received "int4"'],
    [{ task: 'sts', data, columns: ['a', 'b'] }, 'Expected 3 columns for columns but received an array of 2'],
    [{ task: 'sts', data, columns: [1, 2, 3] }, 'Expected names, as rows in memory have, for columns but received 1'],
    [{ task: 'sts', data, quote: 'double' }, `Expected one character or 'none' for quote but received "double"`],
    [{ task: 'bitext', data, precision: 'int8' }, 'Expected a known option but received "precision"'],
    [{ task: 'triplet', data, margin: { cosin: 1 } }, 'received "cosin"; did you mean "cosine"?'],
    [{ task: 'triplet', data, margin: NaN }, 'for margin but received NaN'],
    [{ task: 'retrieval' }, 'for queries but received undefined'],
    [{ task: 'retrieval', queries: {}, corpus: 5 }, 'for corpus but received 5'],
    [{ task: 'retrieval', queries: {}, corpus: {} }, 'for relevantDocs but received undefined'],
    [{ task: 'retrieval', data: 'x', corpus: {} }, 'Expected nothing beside data for corpus but received an object'],
    [{ ...RETRIEVAL, split: 'dev' }, 'Expected nothing without data for split but received "dev"'],
    [{ ...RETRIEVAL, mapAtK: [0] }, 'for mapAtK but received an array of 1'],
    [{ ...RETRIEVAL, mrrAtK: [] }, 'for mrrAtK but received an array of 0'],
    [{ ...RETRIEVAL, corpus_chunk_size: 5 }, 'use batchSize'],
    [{ ...RETRIEVAL, queryPrompt: 'a', queryPromptName: 'b' }, 'Expected either queryPrompt or queryPromptName'],
    [[], 'Expected an evaluator or more but received an empty list'],
    [[PAIRS, RETRIEVAL, PAIRS], 'Expected another name for each of the evaluators of sts for name but received ""'],
  ])('%j', async (evaluator, message) => {
    await expect(evaluate(model, evaluator as Evaluator)).rejects.toMatchObject({
      code: expect.stringMatching(/_(INVALID|UNKNOWN)_OPTION$/) as string,
      message: expect.stringContaining(message) as string,
    })
    expect(model.calls).toEqual([])
  })

  test.each<[unknown, string]>([
    [{ batchSize: 0 }, 'for batchSize but received 0'],
    [{ batch_size: 5 }, 'did you mean "batchSize"?'],
    [{ encode: { dimensions: 5 } }, 'Expected nothing (it is an option of the evaluator) for encode.dimensions'],
    [{ encode: { poling: 'mean' } }, 'did you mean "pooling"?'],
    [{ mainScoreFunction: 5 }, 'Expected a function for mainScoreFunction'],
  ])('options %j', async (options, message) => {
    await expect(evaluate(model, PAIRS, options as object)).rejects.toThrow(message)
  })

  test.each([undefined, null, 5, 'model', {}])('model %j', async (given) => {
    await expect(evaluate(given as unknown as Encoder, PAIRS)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringMatching(/^Expected a model of load\(\), or an object with an encode function/) as string,
    })
  })
})

describe('encoders that are wrong', () => {
  const of = (encode: () => unknown, info = {}): Encoder => ({ info, encode: async () => encode() as never }) as Encoder
  test.each<[string, Encoder, string, string]>([
    [
      'nothing',
      of(() => undefined),
      'SHAPE_MISMATCH',
      'Expected 6 float32 vectors from the encoder but received undefined',
    ],
    [
      'too few rows',
      of(() => ({ data: new Float32Array(4), shape: [2, 2] })),
      'SHAPE_MISMATCH',
      'received a Float32Array of 4 with the shape [2, 2]',
    ],
    [
      'quantised rows',
      of(() => ({ data: new Int8Array(12), shape: [6, 2] })),
      'SHAPE_MISMATCH',
      'received an Int8Array',
    ],
    [
      'NaN',
      of(() => ({ data: new Float32Array(12).fill(NaN, 7), shape: [6, 2] })),
      'NON_FINITE',
      'NaN in the vector of text 3',
    ],
    [
      'a failure',
      of(() => {
        throw new Error('mine')
      }),
      'INVALID_OPTION',
      'The encoder threw: mine',
    ],
    [
      'a measure',
      of(() => undefined, { similarity: 'cos' }),
      'INVALID_OPTION',
      'for info.similarity of the encoder but received "cos"',
    ],
  ])('%s', async (_, encoder, code, message) => {
    await expect(evaluate(encoder, PAIRS)).rejects.toMatchObject({
      code: `ERR_EMBEDCORE_${code}`,
      message: expect.stringContaining(message) as string,
    })
  })

  test('vectors of changing sizes', async () => {
    let width = 1
    const encoder: Encoder = {
      encode: async (texts) => ({ data: new Float32Array(texts.length * ++width), shape: [texts.length, width] }),
    }
    await expect(evaluate(encoder, PAIRS, { batchSize: 1 })).rejects.toThrow(
      'Expected vectors of 2 numbers from the encoder but received vectors of 3',
    )
  })
})

describe('what the encoder gets', () => {
  test('texts, dimensions, and options of encode', async () => {
    const model = lookup(letters)
    await evaluate(model, { ...PAIRS, dimensions: 2 } as Evaluator, { encode: { maxTokens: 7, promptName: 'x' } })
    expect(model.calls).toMatchObject([
      {
        kind: 'text',
        texts: ['a', 'b', 'c', 'b', 'd', 'c'],
        options: { dimensions: 2, maxTokens: 7, promptName: 'x' },
      },
    ])
    expect(model.calls[0]!.options).not.toHaveProperty('normalize')
  })

  test('queries and documents, each with its prompt', async () => {
    const model = lookup(letters)
    await evaluate(model, { ...RETRIEVAL, queryPrompt: 'q: ', corpusPromptName: 'passage' } as Evaluator, {
      encode: { prompt: 'all: ' },
    })
    const [query, documents] = model.calls
    expect([query!.kind, query!.texts, query!.options.prompt]).toEqual(['query', ['a'], 'q: '])
    expect([documents!.kind, documents!.texts, documents!.options.promptName]).toEqual([
      'document',
      ['b', 'c'],
      'passage',
    ])
    expect(query!.options).not.toHaveProperty('promptName')
    expect(documents!.options).not.toHaveProperty('prompt')
  })

  test('an encoder without methods for queries and documents encodes them as texts', async () => {
    const { encode, calls } = lookup(letters)
    await evaluate({ encode }, RETRIEVAL)
    expect(calls.map(({ kind }) => kind)).toEqual(['text', 'text'])
  })

  test('no more than a few batches at a time', async () => {
    const data = Array.from({ length: 100 }, (_, i) => ({ sentence1: `${i}`, sentence2: 'x', score: i % 3 }))
    let [now, most] = [0, 0]
    const encoder: Encoder = {
      encode: async (texts) => {
        most = Math.max(most, ++now)
        expect(texts.length).toBeLessThanOrEqual(20)
        await new Promise(setImmediate)
        now--
        return { data: Float32Array.from(texts, (text) => text.length), shape: [texts.length, 1] }
      },
    }
    await evaluate(encoder, { task: 'sts', data, similarityFnNames: 'euclidean' }, { batchSize: 10 })
    expect([now, most]).toEqual([0, 3])
  })
})

describe('abort', () => {
  test.each(Object.entries(TASKS))('before the call: %s', async (_, evaluator) => {
    const model = lookup(letters)
    const call = evaluate(model, evaluator, { signal: AbortSignal.abort('mine') })
    await expect(call).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED', name: 'AbortError', cause: 'mine' })
    expect(model.calls).toEqual([])
  })

  test.each(Object.entries(TASKS))('in the first batch: %s', async (_, evaluator) => {
    const stop = new AbortController()
    const { encode } = lookup(letters)
    const encoder: Encoder = {
      encode: (texts, options) => {
        stop.abort('mine')
        return encode(texts, options)
      },
    }
    const call = evaluate(encoder, evaluator, { signal: stop.signal })
    await expect(call).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED', cause: 'mine' })
  })

  test('nothing runs any more once a failure is told, and what was begun was stopped', async () => {
    let running = 0
    const stopped: boolean[] = []
    const encoder: Encoder = {
      encode: async (texts, options) => {
        running++
        const mine = running
        await new Promise((resolve) => setTimeout(resolve, 5 * mine))
        running--
        stopped.push(options!.signal!.aborted)
        if (mine === 1) throw new Error('mine')
        return { data: new Float32Array(texts.length), shape: [texts.length, 1] }
      },
    }
    const data = Array.from({ length: 9 }, (_, i) => ({ sentence1: 'a', sentence2: 'b', score: i }))
    await expect(evaluate(encoder, { task: 'sts', data }, { batchSize: 1 })).rejects.toThrow('mine')
    expect(running).toBe(0)
    expect(stopped).toEqual([false, true, true])
  })
})

describe('progress', () => {
  test.each(Object.entries(TASKS))('of %s', async (task, evaluator) => {
    const seen: EvaluateProgress[] = []
    const result = await evaluate(
      lookup(letters),
      [
        { ...evaluator, name: 'one' },
        { ...evaluator, name: 'two' },
      ],
      {
        onProgress: (progress) => seen.push(progress),
        batchSize: 1,
      },
    )
    for (const [i, name] of ['one', 'two'].entries()) {
      const mine = seen.filter(({ evaluator: number }) => number === i)
      const { texts } = result.evaluations[i]!
      expect(mine.at(-1)).toEqual({
        evaluator: i,
        evaluators: 2,
        task,
        name,
        done: texts,
        total: texts,
        tokens: 0,
        share: 1,
      })
      expect(mine.map(({ done }) => done)).toEqual([...mine.map(({ done }) => done)].sort((a, b) => a - b))
    }
  })

  test('an onProgress that throws ends the evaluation', async () => {
    const mine = new Error('mine')
    const options = {
      onProgress: () => {
        throw mine
      },
    }
    const refused = {
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: "The call's onProgress threw: mine",
      cause: mine,
    }
    await expect(evaluate(lookup(letters), PAIRS, options)).rejects.toMatchObject(refused)
    await using model = await load()
    await expect(evaluate(model, PAIRS, options)).rejects.toMatchObject(refused)
  })
})

describe('results', () => {
  test.each(Object.entries(TASKS))('of %s are data', async (task, evaluator) => {
    const result = await evaluate(lookup(letters, 'euclidean'), { ...evaluator, name: 'x' } as Evaluator)
    expect(JSON.parse(JSON.stringify(result))).toEqual(result)
    expect(structuredClone(result)).toEqual(result)
    expect(result).toMatchObject({ task, name: 'x', score: result.metrics[result.primaryMetric] })
    expect(result.seconds).toBeGreaterThan(0)
    for (const name of Object.keys(result.metrics)) expect(name).toMatch(/^x_/)
  })

  test('of several: all metrics, and the score of the last', async () => {
    const evaluators = Object.values(TASKS)
    const model = lookup(letters)
    const all = await evaluate(model, evaluators)
    const one = await Promise.all(evaluators.map((evaluator) => evaluate(model, evaluator)))
    expect(all.metrics).toEqual({
      ...Object.assign({}, ...one.map(({ metrics }) => metrics)),
      sequential_score: one.at(-1)!.score,
    })
    expect(all).toMatchObject({ primaryMetric: 'sequential_score', score: one.at(-1)!.score })
    expect(all.evaluations.map(({ task }) => task)).toEqual(Object.keys(TASKS))
    expect(all.texts).toBe(one.reduce((sum, { texts }) => sum + texts, 0))
    const mean = (scores: readonly number[]): number => scores.reduce((sum, score) => sum + score, 0) / scores.length
    const { score } = await evaluate(model, evaluators, { mainScoreFunction: mean })
    expect(score).toBe(mean(one.map((result) => result.score)))
    await expect(evaluate(model, evaluators, { mainScoreFunction: () => 'x' as never })).rejects.toThrow(
      'Expected a number from mainScoreFunction but received "x"',
    )
  })

  test('a model whose vectors are all the same has no correlation', async () => {
    const result = await evaluate(
      lookup(() => [1, 2]),
      PAIRS,
    )
    expect(result.score).toBeNaN()
    expect(JSON.parse(JSON.stringify(result))).toMatchObject({ score: null })
  })
})

describe('a loaded model', () => {
  let model: Model
  beforeAll(async () => {
    model = await load()
  })
  afterAll(() => model.dispose())

  test('is an encoder, and its tokens are counted', async () => {
    const texts = ['a red apple', 'tax law', 'a pear']
    const data = texts.map((text, i) => ({ sentence1: text, sentence2: texts[0]!, score: i }))
    const { tokenCounts } = await model.encode(texts)
    const { tokens } = await evaluate(model, { task: 'sts', data }, { batchSize: 2 })
    expect(tokens).toBe(tokenCounts.reduce((sum, count) => sum + count, 0) + 3 * tokenCounts[0]!)
  })

  test('uses the options of encode', async () => {
    const plain = await evaluate(model, PAIRS)
    const prompted = await evaluate(model, PAIRS, { encode: { prompt: 'some other words: ' } })
    expect(prompted.metrics).not.toEqual(plain.metrics)
    await expect(evaluate(model, PAIRS, { encode: { promptName: 'none' } })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
    })
  })

  test('is refused once it is disposed', async () => {
    const gone = await load()
    await gone.dispose()
    await expect(evaluate(gone, PAIRS)).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_DISPOSED' })
  })
})

test('the event loop is free while 300,000 pairs are ranked', async () => {
  const count = 300_000
  const data = Array.from({ length: count }, (_, i) => ({
    sentence1: `${i}`,
    sentence2: 'x',
    score: (i * 7919) % 1000,
  }))
  const encoder: Encoder = {
    encode: async (texts) => ({
      data: Float32Array.from(texts, (text) => (Number(text) * 31) % 1009 || 0),
      shape: [texts.length, 1],
    }),
  }
  let [encoded, turns] = [false, 0]
  const turn = (): void => {
    if (encoded) turns++
    timer = setImmediate(turn)
  }
  let timer = setImmediate(turn)
  const onProgress = ({ done }: EvaluateProgress): void => void (encoded = done === 2 * count)
  const { rows } = await evaluate(encoder, { task: 'sts', data, similarityFnNames: 'dot' }, { onProgress })
  clearImmediate(timer)
  expect(rows).toBe(count)
  // In one go, the loop turns once or twice. In slices of a few milliseconds it turns dozens of times on any machine.
  expect(turns).toBeGreaterThan(9)
})
