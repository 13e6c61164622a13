/**
 * Loads model files that are broken, contradictory or unsuitable: each gives a coded error, and the process continues.
 * The tests of the readers are more detailed.
 */
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { embedCore } from '../../src/index.js'
import { GOLDEN } from '../support/golden.js'

interface Entry {
  dtype: string
  shape: number[]
  data_offsets: [number, number]
}
type Header = Record<string, Entry>

let directory: string
const file = (name: string) => path.join(directory, name)
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'embedcore-bad-'))
  await cp(path.join(GOLDEN, 'stack/mean-normalize'), directory, { recursive: true })
})
afterEach(() => rm(directory, { recursive: true }))

async function editHeader(
  edit: (header: Header) => void,
  editData: (data: Buffer, header: Header) => void = () => {},
): Promise<void> {
  const bytes = await readFile(file('model.safetensors'))
  const size = Number(bytes.readBigUInt64LE())
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + size)) as Header
  const data = bytes.subarray(8 + size)
  edit(header)
  editData(data, header)
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  await writeFile(file('model.safetensors'), Buffer.concat([length, text, data]))
}

async function editJson(name: string, edit: (value: Record<string, unknown>) => void): Promise<void> {
  const value = JSON.parse(await readFile(file(name), 'utf8')) as Record<string, unknown>
  edit(value)
  await writeFile(file(name), JSON.stringify(value))
}

const WORDS = 'embeddings.word_embeddings.weight'
const A_WEIGHT = 'encoder.layer.0.attention.self.query.weight'

async function refused(code: string, message: RegExp): Promise<void> {
  const error = await embedCore.load(directory).then(
    () => null,
    (failure: unknown) => failure as Error & { code: string },
  )
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string })
  expect(error!.stack).toContain('bad-files.test.ts')
}

describe('safetensors', () => {
  it('that ends early', async () => {
    await truncate(file('model.safetensors'), 20_000)
    await refused('ERR_EMBEDCORE_INVALID_FILE', /model\.safetensors/)
  })
  it('that is empty', async () => {
    await truncate(file('model.safetensors'), 0)
    await refused('ERR_EMBEDCORE_INVALID_FILE', /model\.safetensors/)
  })
  it('with an implausible header length', async () => {
    const bytes = await readFile(file('model.safetensors'))
    bytes.writeBigUInt64LE(2n ** 63n)
    await writeFile(file('model.safetensors'), bytes)
    await refused('ERR_EMBEDCORE_INVALID_FILE', /header/)
  })
  it('with data outside the file', async () => {
    await editHeader((header) => (header[A_WEIGHT]!.data_offsets[1] += 2 ** 40))
    await refused('ERR_EMBEDCORE_INVALID_FILE', /query\.weight/)
  })
  it('with tensors that overlap', async () => {
    await editHeader((header) => {
      const entries = Object.entries(header).filter(([name]) => name !== '__metadata__')
      const [first, second] = entries.filter(([, { shape }]) => shape.join() === header[A_WEIGHT]!.shape.join())
      second![1].data_offsets = [...first![1].data_offsets]
    })
    await refused('ERR_EMBEDCORE_INVALID_FILE', /overlap/)
  })
  it('whose shape does not fit its bytes', async () => {
    await editHeader((header) => header[A_WEIGHT]!.shape[0]!++)
    await refused('ERR_EMBEDCORE_INVALID_FILE', /query\.weight/)
  })
  it('whose shape does not fit the model', async () => {
    await editHeader((header) =>
      header[A_WEIGHT]!.shape.splice(0, 2, header[A_WEIGHT]!.shape[0]! * 2, header[A_WEIGHT]!.shape[1]! / 2),
    )
    await refused('ERR_EMBEDCORE_SHAPE_MISMATCH', /query\.weight/)
  })
  it('with a dtype that is none of ours', async () => {
    await editHeader((header) => (header[A_WEIGHT]!.dtype = 'I32'))
    await refused('ERR_EMBEDCORE_SHAPE_MISMATCH', /query\.weight.*int32/)
  })
  it('without a tensor', async () => {
    await editHeader((header) => {
      header.renamed = header[A_WEIGHT]!
      delete header[A_WEIGHT]
    })
    await refused('ERR_EMBEDCORE_MISSING_TENSOR', /query\.weight/)
  })
  it('that is not there', async () => {
    await rm(file('model.safetensors'))
    await refused('ERR_EMBEDCORE_NOT_FOUND', /model\.safetensors/)
  })
})

describe('weights', () => {
  const setWord = (id: number, values: number[]) =>
    editHeader(
      () => {},
      (data, header) =>
        values.forEach((value, d) =>
          data.writeFloatLE(value, header[WORDS]!.data_offsets[0] + 4 * (header[WORDS]!.shape[1]! * id + d)),
        ),
    )

  it('that are not numbers are refused', async () => {
    await setWord(60, [NaN])
    await refused('ERR_EMBEDCORE_NON_FINITE', /word_embeddings.*nan at element 960/)
  })
  // The reference computes in float64, where these sums are finite.
  const exact = process.env.EMBEDCORE_CPU_ISA?.startsWith('reference') === true
  it.skipIf(exact)('that overflow fail the calls they reach and no others', async () => {
    const clean = await embedCore.load(path.join(GOLDEN, 'stack/mean-normalize'))
    const word = (await clean.encode('phone', { output: 'token' })).text(0).ids[1]!
    await setWord(word, [3e38, 3e38]) // Their sum is infinite, and so is the mean that LayerNorm subtracts.
    const model = await embedCore.load(directory)
    const texts = ['The fox', 'phone', 'a small cup', 'two boxes', 'over the wall']
    const ids = await clean.encode(texts, { output: 'token' })
    const hit = texts.map((_, i) => ids.text(i).ids.includes(word))
    expect(hit).toContain(true)
    expect(hit).toContain(false)
    // All in one call, so that texts that fail share a batch with texts that must not.
    const calls = await Promise.allSettled(texts.map((text) => model.encode(text)))
    for (const [i, call] of calls.entries()) {
      if (hit[i]) expect(call).toMatchObject({ status: 'rejected', reason: { code: 'ERR_EMBEDCORE_NON_FINITE' } })
      else
        expect(Array.from((call as PromiseFulfilledResult<{ data: Float32Array }>).value.data)).toEqual(
          Array.from((await clean.encode(texts[i]!)).data),
        )
    }
    await Promise.all([model.dispose(), clean.dispose()])
  })
  it.skipIf(exact)('that overflow leave int8 nothing to be smoothed by, but load', async () => {
    const clean = await embedCore.load(path.join(GOLDEN, 'stack/mean-normalize'))
    // All words except those of one text, so that the texts for calibration at load certainly contain some.
    const { ids } = (await clean.encode('The fox', { output: 'token' })).text(0)
    await editHeader(
      () => {},
      (data, header) => {
        const {
          shape: [words, width],
          data_offsets: [start],
        } = header[WORDS]!
        for (let id = 0; id < words!; id++)
          if (!ids.includes(id)) for (const d of [0, 1]) data.writeFloatLE(3e38, start + 4 * (width! * id + d))
      },
    )
    const model = await embedCore.load(directory, { dtype: 'int8' })
    await expect(model.encode('phone')).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_NON_FINITE' })
    const rows = [await clean.encode('The fox'), await model.encode('The fox')]
    const cosine = await embedCore.similarity(rows[0]!.data, rows[1]!.data, { dimension: rows[0]!.row(0).length })
    expect(cosine.row(0)[0]).toBeGreaterThan(0.99)
    await Promise.all([model.dispose(), clean.dispose()])
  })
})

describe('settings', () => {
  it('of an unknown family', async () => {
    await editJson('config.json', (config) => (config.model_type = 'berd'))
    await refused('ERR_EMBEDCORE_UNSUPPORTED_MODEL', /berd/)
  })
  it('that are not JSON', async () => {
    await writeFile(file('config.json'), '{"hidden_size": 16,')
    await refused('ERR_EMBEDCORE_INVALID_FILE', /config\.json/)
  })
  it('with widths that cannot be', async () => {
    for (const width of [0, -16, 1e18, 17, 'wide', null]) {
      await editJson('config.json', (config) => (config.hidden_size = width))
      await expect(embedCore.load(directory), `hidden_size ${width}`).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_EMBEDCORE_(INVALID_CONFIG|SHAPE_MISMATCH|MISSING_TENSOR)$/) as string,
      })
    }
  })
  it('that name a module which is not supported', async () => {
    const modules = JSON.parse(await readFile(file('modules.json'), 'utf8')) as { type: string }[]
    modules[1]!.type = 'sentence_transformers.models.LSTM'
    await writeFile(file('modules.json'), JSON.stringify(modules))
    await refused('ERR_EMBEDCORE_UNSUPPORTED_MODULE', /LSTM/)
  })
  it('that lead outside the model directory', async () => {
    const modules = JSON.parse(await readFile(file('modules.json'), 'utf8')) as { path: string }[]
    modules[1]!.path = '../../elsewhere'
    await writeFile(file('modules.json'), JSON.stringify(modules))
    await expect(embedCore.load(directory)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_EMBEDCORE_/) as string,
    })
  })
})

describe('tokenizers', () => {
  it('of a larger vocabulary than the model has', async () => {
    await cp(path.join(GOLDEN, '../../models/embedcore-static-multilingual/tokenizer.json'), file('tokenizer.json'))
    await refused('ERR_EMBEDCORE_TOKENIZER_MISMATCH', /62220/)
  })
  it('that are broken', async () => {
    await writeFile(file('tokenizer.json'), '{"version":"1.0","model":{"type":"Nothing"}}')
    await refused('ERR_EMBEDCORE_INVALID_FILE', /tokenizer\.json/)
  })
  it('that are not there', async () => {
    await rm(file('tokenizer.json'))
    await refused('ERR_EMBEDCORE_NOT_FOUND', /tokenizer\.json/)
  })
})
