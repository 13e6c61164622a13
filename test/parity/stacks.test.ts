/**
 * Complete sentence-transformers directories through the public API: ids, vectors and similarities compared with the
 * reference.
 */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { embedCore, type EncodeOptions, type Model } from '../../src/index.js'
import {
  complaint,
  describeDeviation,
  deviation,
  GOLDEN,
  NONE,
  readJson,
  similarityBound,
  Tensors,
  tolerance,
  worse,
} from '../support/golden.js'

interface Case {
  name: string
  method: 'encode' | 'encode_query' | 'encode_document'
  options: { normalize_embeddings?: boolean; truncate_dim?: number; prompt?: string; prompt_name?: string }
  prompt: string
  max_seq_length?: number
  ids: number[][]
}
interface Golden {
  max_seq_length: number | null
  dimensions: number
  similarity_fn_name: Model['info']['similarity']
  texts: string[]
  cases: Case[]
}

const STACKS = path.join(GOLDEN, 'stack')
const withGolden = readdirSync(STACKS).filter((name) => !name.startsWith('refused-'))

describe.each(withGolden)('%s', (name) => {
  const directory = path.join(STACKS, name)
  const golden = readJson<Golden>(path.join(directory, 'golden.json'))
  const tensors = new Tensors(path.join(directory, 'golden.safetensors'))
  let model: Model
  let worst = NONE
  beforeAll(async () => {
    model = await embedCore.load(directory)
  })
  afterAll(async () => {
    await model.dispose()
    console.log(`parity of the stack ${name}: worst ${describeDeviation(worst)}`)
  })

  test('what the model says of itself', () => {
    expect(model.info).toMatchObject({
      dimension: golden.dimensions,
      similarity: golden.similarity_fn_name,
      maxTokens: golden.max_seq_length ?? 0,
    })
  })

  test.each(golden.cases)('$name', async (each) => {
    const expected = tensors.float(goldenName(each, model))
    const found = await encode(model, golden.texts, each)
    expect(found.shape).toEqual(expected.shape)
    expect([...found.tokenCounts]).toEqual(each.ids.map((ids) => ids.length))
    const far = deviation(found.data, expected.data, found.shape[1])
    worst = worse(worst, far)
    expect(complaint(each.name, far, tolerance(model.info.layers))).toBeNull()
  })

  test('token ids of every case, and each text alone gives the same bits', async () => {
    for (const each of golden.cases) {
      const { prompt, max_seq_length: maxTokens } = each
      const tokens = await model.encode(golden.texts, {
        prompt,
        output: 'token',
        ...(maxTokens === undefined ? {} : { maxTokens }),
      })
      expect(golden.texts.map((_, i) => [...tokens.text(i).ids])).toEqual(each.ids)
      const together = await encode(model, golden.texts, each)
      for (const [i, text] of golden.texts.entries())
        expect((await encode(model, [text], each)).row(0)).toEqual(together.row(i))
    }
  })

  test.each(golden.cases.filter(({ max_seq_length }) => max_seq_length !== undefined))(
    '$name, the length given to load',
    async (each) => {
      const shorter = await embedCore.load(directory, { maxTokens: each.max_seq_length! })
      const { max_seq_length: _, ...rest } = each
      expect((await encode(shorter, golden.texts, rest)).data).toEqual((await encode(model, golden.texts, each)).data)
      await shorter.dispose()
    },
  )

  test("similarity of the reference's own vectors", async () => {
    const { data, shape } = tensors.float('default')
    const [rows, width] = shape as [number, number]
    const found = await model.similarity(data, data)
    const expected = tensors.float('similarity')
    expect(found.shape).toEqual([rows, rows])
    const allowed = similarityBound(golden.similarity_fn_name, data, width)
    for (let i = 0; i < rows * rows; i++)
      expect(Math.abs(found.data[i]! - expected.data[i]!)).toBeLessThanOrEqual(allowed)
  })
})

/**
 * sentence-transformers cuts vectors after its Normalize module and leaves them shorter than 1, unless
 * `normalize_embeddings` is set. Here a model that normalises gives vectors of length 1 with any number of dimensions,
 * like the reference with that option.
 */
function goldenName({ name, options }: Case, model: Model): string {
  return options.truncate_dim !== undefined && model.info.normalize ? 'truncated-normalized' : name
}

function encode(model: Model, texts: string[], { method, options, max_seq_length }: Case) {
  const given: EncodeOptions = {}
  if (max_seq_length !== undefined) given.maxTokens = max_seq_length
  if (options.normalize_embeddings !== undefined) given.normalize = options.normalize_embeddings
  if (options.truncate_dim !== undefined) given.dimensions = options.truncate_dim
  if (options.prompt !== undefined) given.prompt = options.prompt
  if (options.prompt_name !== undefined) given.promptName = options.prompt_name
  const sentence = given as EncodeOptions & { output?: 'sentence'; precision?: 'float32' }
  if (method === 'encode_query') return model.encodeQuery(texts, sentence)
  if (method === 'encode_document') return model.encodeDocument(texts, sentence)
  return model.encode(texts, sentence)
}

test('a module that is not supported is refused by name', async () => {
  await expect(embedCore.load(path.join(STACKS, 'refused-cnn'))).rejects.toMatchObject({
    code: 'ERR_EMBEDCORE_UNSUPPORTED_MODULE',
    message: expect.stringContaining('CNN') as string,
  })
})
