/**
 * model2vec's quantised vocabularies: rows shared between tokens (`mapping`), a factor for each token (`weights`), int8
 * rows without scales.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { embedCore } from '../../src/index.js'
import { GOLDEN } from '../support/golden.js'

const ROWS = 7
const WIDTH = 6
let directory: string
let vocabulary: number
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'embedcore-model2vec-'))
  const source = path.join(GOLDEN, 'stack/static-model2vec-bare')
  await cp(path.join(source, 'tokenizer.json'), path.join(directory, 'tokenizer.json'))
  const tokenizer = JSON.parse(await readFile(path.join(source, 'tokenizer.json'), 'utf8')) as {
    model: { vocab: object }
  }
  vocabulary = Object.keys(tokenizer.model.vocab).length
})
afterAll(() => rm(directory, { recursive: true }))

type Tensor = [dtype: string, shape: number[], data: ArrayBufferView]

async function write(tensors: Record<string, Tensor>, normalize: boolean): Promise<void> {
  let end = 0
  const header = Object.fromEntries(
    Object.entries(tensors).map(([name, [dtype, shape, data]]) => [
      name,
      { dtype, shape, data_offsets: [end, (end += data.byteLength)] },
    ]),
  )
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  await writeFile(
    path.join(directory, 'model.safetensors'),
    Buffer.concat([
      length,
      text,
      ...Object.values(tensors).map(([, , data]) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
    ]),
  )
  await writeFile(path.join(directory, 'config.json'), JSON.stringify({ model_type: 'model2vec', normalize }))
}

const table = Int8Array.from({ length: ROWS * WIDTH }, (_, i) => ((i * 37) % 255) - 127)
const mapping = (length: number) => BigInt64Array.from({ length }, (_, id) => BigInt((id * 3) % ROWS))
const weights = (length: number) => Float64Array.from({ length }, (_, id) => 1 / (1 + id))
const TEXT = 'the small cup and the two boxes'

it.each([true, false])('follows mapping and weights, normalised: %s', async (normalize) => {
  await write(
    {
      weights: ['F64', [vocabulary], weights(vocabulary)],
      mapping: ['I64', [vocabulary], mapping(vocabulary)],
      embeddings: ['I8', [ROWS, WIDTH], table],
    },
    normalize,
  )
  const model = await embedCore.load(directory)
  expect(model.info).toMatchObject({ kind: 'static', dimension: WIDTH, vocabSize: vocabulary })
  const { data, tokenCounts } = await model.encode(TEXT)
  const ids = await idsOf(TEXT)
  expect(ids).toHaveLength(tokenCounts[0]!)
  const mean = Array.from(
    { length: WIDTH },
    (_, d) => ids.reduce((sum, id) => sum + table[((id * 3) % ROWS) * WIDTH + d]! / (1 + id), 0) / ids.length,
  )
  const length = normalize ? Math.hypot(...mean) : 1
  for (const [d, value] of mean.entries()) expect(data[d]).toBeCloseTo(value / length, 5) // float32 rounding
  await model.dispose()
})

it('refuses a mapping that leads outside the table', async () => {
  await write(
    {
      mapping: ['I64', [vocabulary], mapping(vocabulary).fill(BigInt(ROWS), 3, 4)],
      embeddings: ['I8', [ROWS, WIDTH], table],
    },
    true,
  )
  await expect(embedCore.load(directory)).rejects.toMatchObject({
    code: 'ERR_EMBEDCORE_INVALID_FILE',
    message: expect.stringContaining(`token 3 to row ${ROWS}`) as string,
  })
})

async function idsOf(text: string): Promise<number[]> {
  const { Tokenizer } = await import('tokenizers')
  return (
    await Tokenizer.fromFile(path.join(directory, 'tokenizer.json')).encode(text, null, { addSpecialTokens: false })
  ).getIds()
}
