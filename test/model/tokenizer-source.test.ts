/** A tokenizer whose vocabulary was read apart from the rest equals the one that the library builds from the whole. */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Tokenizer } from 'tokenizers'
import { describe, expect, test, vi } from 'vitest'
import { openTokenizer } from '../../src/model/tokenizer-source.js'
import { folderWith, special, WORDS, wordPiece } from '../support/small-tokenizer.js'

const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false }
const TEXTS = [
  'hello worlds a',
  'Hello [SEP] café 中文 苹果',
  '',
  '  [NEW] x[NEW]y hello\n',
  'aababcab ab c',
  '[MASK]s',
]

function bpe(changes: object = {}) {
  return {
    version: '1.0',
    added_tokens: [
      { id: 9, content: '[NEW]', special: false, ...flags, lstrip: true, normalized: true },
      { id: 0, content: '<unk>', special: true, ...flags },
    ],
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'WhitespaceSplit' },
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: false,
      vocab: { '<unk>': 0, a: 1, b: 2, c: 3, ab: 4, aba: 5, abab: 8 },
      merges: [
        ['a', 'b'],
        ['ab', 'a'],
        ['ab', 'ab'],
      ],
      ...changes,
    },
  }
}

const model = (changes: object) => ({ model: { ...wordPiece().model, ...changes } })

/** Everything that a tokenizer makes of the texts. */
async function behaviour(tokenizer: Tokenizer) {
  const encodings = await tokenizer.encodeBatch(TEXTS, { addSpecialTokens: true })
  return {
    encodings: encodings.map((one) => ({ ids: one.getIds(), tokens: one.getTokens(), offsets: one.getOffsets() })),
    vocab: tokenizer.getVocab(true),
    sizes: [tokenizer.getVocabSize(false), tokenizer.getVocabSize(true)],
    texts: await tokenizer.decodeBatch(
      encodings.map((one) => one.getIds()),
      true,
    ),
  }
}

async function opened(json: object | string) {
  const file = join(await folderWith({ 'tokenizer.json': json }), 'tokenizer.json')
  const setModel = vi.spyOn(Tokenizer.prototype, 'setModel')
  const source = await openTokenizer(file)
  const apart = setModel.mock.calls.length === 1
  setModel.mockRestore()
  return { file, source: source!, apart }
}

const LONG = Array.from({ length: 300 }, (_, i) => `word${i}`)
const withLong = Object.fromEntries([...WORDS, ...LONG].map((word, id) => [word, id]))
const longBpe = { ...bpe().model.vocab, ...Object.fromEntries(LONG.map((word, i) => [word, 20 + i])) }

describe('read apart', () => {
  test.each<[string, object]>([
    ['WordPiece', wordPiece(model({ vocab: withLong }))],
    [
      'WordPiece with tokens beyond the vocabulary',
      {
        ...wordPiece(model({ vocab: withLong })),
        added_tokens: [...wordPiece().added_tokens, { ...special('[NEW]'), id: 318, normalized: true, rstrip: true }],
      },
    ],
    [
      'WordPiece of another prefix',
      wordPiece(model({ vocab: withLong, continuing_subword_prefix: '', max_input_chars_per_word: 5 })),
    ],
    [
      'WordPiece with ids in another order',
      wordPiece(model({ vocab: Object.fromEntries(Object.entries(withLong).reverse()) })),
    ],
    ['BPE', bpe({ vocab: longBpe })],
    ['BPE with its merges in lines', bpe({ vocab: longBpe, merges: ['a b', 'ab a', '#version: 0.2', 'ab ab'] })],
    ['BPE without a token for the unknown', bpe({ vocab: longBpe, unk_token: null, fuse_unk: false })],
    ['BPE with ends of words', bpe({ vocab: { ...longBpe, 'c</w>': 400 }, end_of_word_suffix: '</w>' })],
  ])('%s', async (_, json) => {
    const { file, source, apart } = await opened(json)
    expect(apart).toBe(true)
    expect(await behaviour(source.tokenizer)).toEqual(await behaviour(Tokenizer.fromFile(file)))
    const { model } = json as ReturnType<typeof bpe>
    expect(source.largestId).toBe(Math.max(...Object.values(model.vocab)))
    expect(source.json.fields('model')!.raw('vocab')).toEqual({})
  })

  const models = '../shared/models'
  test.skipIf(!existsSync(models)).each([
    ['all-MiniLM-L6-v2', true],
    // Its vocabulary has a line separator for a token.
    ['bge-small-zh-v1.5', false],
    ['multilingual-e5-small-lite', false],
  ])('%s', async (name, expected) => {
    const text = await readFile(join(models, name, 'tokenizer.json'), 'utf8')
    const { file, source, apart } = await opened(text)
    expect(apart).toBe(expected)
    expect(await behaviour(source.tokenizer)).toEqual(await behaviour(Tokenizer.fromFile(file)))
  })
})

describe('read as a whole', () => {
  test.each<[string, object | string]>([
    [
      'Unigram',
      {
        version: '1.0',
        added_tokens: [],
        model: {
          type: 'Unigram',
          unk_id: 0,
          vocab: [['<unk>', 0], ['a', -1], ['ab', -1.5], ...LONG.map((word) => [word, -9])],
        },
      },
    ],
    ['WordLevel', { ...wordPiece(), model: { type: 'WordLevel', unk_token: '[UNK]', vocab: withLong } }],
    ['a token that ends with white space', wordPiece(model({ vocab: { ...withLong, 'a ': 318 } }))],
    ['ids with gaps', wordPiece(model({ vocab: { ...withLong, 'a ': 400 } }))],
    ['a merge that holds a space', bpe({ vocab: { ...longBpe, ' ': 400, 'a ': 401 }, merges: [['a', ' ']] })],
    ['ignore_merges', bpe({ vocab: longBpe, ignore_merges: true })],
    ['a model without its type', bpe({ vocab: longBpe, type: undefined })],
    ['a byte order mark', '\ufeff' + JSON.stringify(wordPiece(model({ vocab: withLong })))],
  ])('%s', async (_, json) => {
    const { source, apart } = await opened(json)
    expect(apart).toBe(false)
    const text = typeof json === 'string' ? json.slice(1) : JSON.stringify(json)
    expect(await behaviour(source.tokenizer)).toEqual(await behaviour(Tokenizer.fromString(text)))
    const vocab = (JSON.parse(text) as { model: { vocab: object } }).model.vocab
    expect(source.largestId).toBe(
      Array.isArray(vocab) ? vocab.length - 1 : Math.max(...(Object.values(vocab) as number[])),
    )
  })

  const refused = (json: object) => {
    try {
      Tokenizer.fromString(JSON.stringify(json))
    } catch (error) {
      return (error as Error).message
    }
    throw new Error('the library took it')
  }
  test.each<[string, object]>([
    ['a merge of tokens that are not there', bpe({ vocab: longBpe, merges: [['a', 'z']] })],
    ['an added token without a flag', { ...wordPiece(), added_tokens: [{ id: 0, content: '[PAD]', special: true }] }],
    ['a model without a field', wordPiece(model({ unk_token: undefined }))],
    ['an unknown normalizer', wordPiece({ normalizer: { type: 'Nothing' } })],
    ['another version', wordPiece({ version: '2.0' })],
  ])('%s: the error is that of the library', async (_, json) => {
    const file = join(await folderWith({ 'tokenizer.json': json }), 'tokenizer.json')
    await expect(openTokenizer(file)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_FILE',
      message: `${file} is not a tokenizer the tokenizers library can read: ${refused(json)}`,
    })
  })

  test('a file that is not JSON, and one that is not there', async () => {
    const file = join(await folderWith({}), 'tokenizer.json')
    expect(await openTokenizer(file)).toBeNull()
    await writeFile(file, '{"model":{"type":"WordPiece","vocab":{"a":0}},"x":tru}')
    await expect(openTokenizer(file)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_FILE',
      message: expect.stringContaining(`Expected valid JSON in ${file}`) as string,
    })
  })
})
