/** Calls, evaluators and encoders that are wrong: refused with a code and the wrong value, before any work. */
import { describe, expect, test } from 'vitest'
import { type Encoder, evaluate, type Evaluator } from '../../src/index.js'
import { letters, PAIRS, RETRIEVAL } from './support/evaluators.js'
import { lookup } from './support/table.js'

describe('wrong calls', () => {
  const model = lookup(letters)
  const { data } = PAIRS as { data: readonly object[] }
  test.each<[unknown, string]>([
    [undefined, "Expected an evaluator, such as { task: 'sts', data: 'pairs.csv' }, but received undefined"],
    [{}, "'token-classification', 'geometry' for task but received undefined"],
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
