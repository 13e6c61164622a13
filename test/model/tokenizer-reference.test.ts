/** Token ids and offsets, and normalizers, as in transformers. */
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { TextTokenizer } from '../../src/model/tokenizer.js'
import { newFolder, folderWith, rows, places, wordPiece, loose, encoded, words } from '../support/small-tokenizer.js'

const MODELS = '../shared/models'
const present = existsSync(MODELS)
if (!present) console.log(`skipped: tokenizer goldens of real models, because ${MODELS} is not there`)

interface Case {
  name: string
  model: string
  drop?: string[]
  config?: object
  ids: number[][]
  offsets: number[][]
  lengths: number[]
  right: number[][]
  left: number[][]
}
interface Golden {
  texts: string[]
  long: string[]
  maxTokens: number
  prompts: string[]
  cases: Case[]
  prompted: Record<string, { length: number; ids: number[] }[]>
}
const golden = JSON.parse(readFileSync('test/golden/tokenizer/cases.json', 'utf8')) as Golden

describe.skipIf(!present)('equal to transformers', () => {
  for (const one of golden.cases) {
    test(one.name, async () => {
      const folder = await newFolder()
      for (const name of [
        'config.json',
        'tokenizer.json',
        'tokenizer_config.json',
        'special_tokens_map.json',
        'vocab.txt',
      ]) {
        if (one.drop?.includes(name) !== true) await copyFile(join(MODELS, one.model, name), join(folder, name))
      }
      if (one.config !== undefined) {
        await rm(join(folder, 'tokenizer_config.json'), { force: true })
        await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(one.config))
      }
      const tokenizer = await TextTokenizer.load(folder, loose)
      const batch = await tokenizer.encodeBatch(golden.texts, { wantOffsets: true })
      expect(rows(batch)).toEqual(one.ids)
      const inUnits = one.offsets.map((row, i) =>
        row.map((point) => [...golden.texts[i]!].slice(0, point).join('').length),
      )
      expect(places(batch)).toEqual(inUnits)
      const request = { wantOffsets: false, maxTokens: golden.maxTokens }
      const right = await tokenizer.encodeBatch(golden.long, { ...request, truncate: 'right' })
      expect(rows(right)).toEqual(one.right)
      expect([...right.omitted]).toEqual(one.lengths.map((length) => Math.max(0, length - golden.maxTokens)))
      expect(rows(await tokenizer.encodeBatch(golden.long, { ...request, truncate: 'left' }))).toEqual(one.left)
    })
  }

  for (const [model, expected] of Object.entries(golden.prompted)) {
    test(`prompt lengths of sentence-transformers: ${model}`, async () => {
      const tokenizer = await TextTokenizer.load(join(MODELS, model), {
        lowerCase: model.startsWith('bge'),
        maxTokens: model.startsWith('bge') ? 512 : 256,
      })
      for (const [i, prompt] of golden.prompts.entries()) {
        const batch = await tokenizer.encodeBatch(['x y'], { wantOffsets: false, prompt })
        expect(rows(batch)[0]).toEqual(expected[i]!.ids)
        expect(batch.promptTokens[0]).toBe(Math.min(expected[i]!.length, expected[i]!.ids.length))
      }
    })
  }

  test('iPhone is lowered, not unknown, and one long text takes no time to speak of', async () => {
    const tokenizer = await TextTokenizer.load(join(MODELS, 'bge-small-zh-v1.5'), { lowerCase: true, maxTokens: 512 })
    const batch = await tokenizer.encodeBatch(['iPhone'], { wantOffsets: false })
    expect(tokenizer.tokens(batch.ids)).toEqual(['[CLS]', 'iphone', '[SEP]'])
    const long = await tokenizer.encodeBatch(['苹果手机，'.repeat(70_000)], { wantOffsets: true })
    expect([long.ids.length, long.omitted[0]]).toEqual([512, 350_000 - 510])
  })
})

describe('normalizers', () => {
  test('a plain tokenizer.json is taken as it is; a BERT class lowers unless told not to', async () => {
    const tokenizer = { 'tokenizer.json': wordPiece() }
    const ids = async (files: object, lowerCase: boolean | null = null) =>
      (
        await encoded(
          await TextTokenizer.load(await folderWith({ ...tokenizer, ...files }), { lowerCase, maxTokens: null }),
          ['Hello CAFÉ'],
          { specials: false },
        )
      )[0]
    expect(await ids({})).toEqual(words('Hello', '[UNK]'))
    expect(await ids({ 'config.json': { model_type: 'bert' } })).toEqual(words('hello', 'cafe'))
    expect(
      await ids({
        'config.json': { model_type: 'bert' },
        'tokenizer_config.json': { tokenizer_class: 'PreTrainedTokenizerFast' },
      }),
    ).toEqual(words('Hello', '[UNK]'))
    expect(
      await ids({ 'tokenizer_config.json': { tokenizer_class: 'BertTokenizerFast', do_lower_case: false } }),
    ).toEqual(words('Hello', '[UNK]'))
    expect(await ids({ 'tokenizer_config.json': { tokenizer_class: 'BertTokenizer', strip_accents: false } })).toEqual(
      words('hello', 'café'),
    )
    // The setting of sentence-transformers lowers letters and keeps accents.
    expect(await ids({}, true)).toEqual(words('hello', 'café'))
  })

  test('Chinese characters stay joined when the config says so', async () => {
    const folder = await folderWith({
      'tokenizer.json': wordPiece(),
      'tokenizer_config.json': { tokenizer_class: 'BertTokenizer', tokenize_chinese_chars: false },
    })
    expect(await encoded(await TextTokenizer.load(folder, loose), ['中文'], { specials: false })).toEqual([
      words('中', '##文'),
    ])
  })

  test('static models take tokenizer.json as it is, add no special tokens and keep its truncation', async () => {
    const files = {
      'tokenizer.json': wordPiece({
        truncation: { max_length: 2, strategy: 'LongestFirst', stride: 0, direction: 'Left' },
      }),
      'config.json': { model_type: 'bert' },
    }
    const tokenizer = await TextTokenizer.load(await folderWith(files), { ...loose, kind: 'static' })
    expect(await encoded(tokenizer, ['Hello hello a'])).toEqual([words('hello', 'a')])
    expect([tokenizer.maxTokens, tokenizer.truncationSide]).toEqual([2, 'left'])
    expect((await TextTokenizer.load(await folderWith(files), loose)).maxTokens).toBeNull()
  })
})
