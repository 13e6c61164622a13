/** What evaluate does besides metrics: order of work, memory, abort, progress, several evaluators. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Encoder, evaluate, type EvaluateProgress, type Evaluator, load, type Model } from '../../src/index.js'
import { letters, PAIRS, RETRIEVAL, TASKS } from './support/evaluators.js'
import { lookup } from './support/table.js'

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

describe('ties', () => {
  /** Signs in 13 dimensions, from the bits of a number: products are whole, lengths equal, many similarities too. */
  const signs = (bits: number): number[] => Array.from({ length: 13 }, (_, d) => ((bits >> d) & 1) * 2 - 1)

  test('of translations: the first counts, also over blocks', async () => {
    const count = 5000
    const source = (i: number): number => i
    const target = (i: number): number => (i % 3 === 0 ? i : (i * 101) % count)
    const data = Array.from({ length: count }, (_, i) => ({
      source_sentence: `${source(i)}`,
      target_sentence: `${target(i)}`,
    }))
    const model = lookup((text) => signs(Number(text)))
    const { metrics } = await evaluate(model, { task: 'bitext', data })
    const differing = (a: number, b: number): number => {
      let bits = 0
      for (let rest = a ^ b; rest > 0; rest >>= 1) bits += rest & 1
      return bits
    }
    const right = (from: (i: number) => number, to: (i: number) => number): number => {
      // The first place of every vector; equal vectors further on never count.
      const first = new Map<number, number>()
      for (let i = count - 1; i >= 0; i--) first.set(to(i), i)
      let hits = 0
      for (let i = 0; i < count; i++) {
        let best = { distance: Infinity, place: -1 }
        for (const [vector, place] of first) {
          const distance = differing(from(i), vector)
          if (distance < best.distance || (distance === best.distance && place < best.place)) best = { distance, place }
        }
        if (best.place === i) hits++
      }
      return hits / count
    }
    expect(right(source, target)).toBeGreaterThan(0)
    expect(metrics.src2trg_accuracy).toBe(right(source, target))
    expect(metrics.trg2src_accuracy).toBe(right(target, source))
    const three = [
      { source_sentence: '0', target_sentence: '0' },
      { source_sentence: '8191', target_sentence: '8191' },
      { source_sentence: '8191', target_sentence: '0' },
    ]
    expect((await evaluate(model, { task: 'bitext', data: three })).metrics.src2trg_accuracy).toBe(2 / 3)
  })

  test('of documents: the metrics do not depend on batches and blocks', async () => {
    const queries = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`q${i}`, `${i}`]))
    const corpus = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`d${i}`, `${(i * 1237) % 8192}`]))
    const relevantDocs = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`q${i}`, [`d${(i * 7) % 300}`]]))
    const model = lookup((text) => signs(Number(text)))
    const evaluator: Evaluator = { task: 'retrieval', queries, corpus, relevantDocs }
    const { metrics, score } = await evaluate(model, evaluator, { batchSize: 300 })
    expect(score).toBeGreaterThan(0)
    expect((await evaluate(model, evaluator, { batchSize: 7 })).metrics).toEqual(metrics)
  })

  test('of measures: the primary metric is that of the first by name', async () => {
    const { primaryMetric } = await evaluate(lookup(letters), {
      ...RETRIEVAL,
      similarityFnNames: ['manhattan', 'dot', 'euclidean'],
      relevantDocs: { q: ['d', 'e'] },
    } as Evaluator)
    expect(primaryMetric).toBe('dot_ndcg@10')
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
