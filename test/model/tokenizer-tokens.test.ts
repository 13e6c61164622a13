/** Added tokens, begin and end tokens from other files than tokenizer.json: what is followed and what is refused. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { TextTokenizer } from '../../src/model/tokenizer.js'

let root: string
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'embedcore-tokens-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

const LOOSE = { lowerCase: null, maxTokens: null }
type Files = Record<string, object>

async function folderWith(files: Files): Promise<string> {
  const folder = await mkdtemp(path.join(root, 'model-'))
  for (const [name, content] of Object.entries(files)) await writeFile(path.join(folder, name), JSON.stringify(content))
  return folder
}

const VOCAB = { '<unk>': 0, '<s>': 1, '</s>': 2, a: 3, b: 4, word: 5 }
const template = (...tokens: string[]) => ({
  type: 'TemplateProcessing',
  single: tokens.map((id) => (id === 'A' ? { Sequence: { id, type_id: 0 } } : { SpecialToken: { id, type_id: 0 } })),
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
  special_tokens: Object.fromEntries(
    tokens.filter((id) => id !== 'A').map((id) => [id, { id, ids: [VOCAB[id as keyof typeof VOCAB]], tokens: [id] }]),
  ),
})
const added = (id: number, content: string, more: object = {}) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...more,
})
/** One token per word. */
function words(more: object = {}): Files {
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [added(1, '<s>'), added(2, '</s>')],
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'WhitespaceSplit' },
    post_processor: template('<s>', 'A'),
    decoder: null,
    model: { type: 'WordLevel', vocab: VOCAB, unk_token: '<unk>' },
    ...more,
  }
  return { 'tokenizer.json': tokenizer }
}

const open = async (files: Files) => TextTokenizer.load(await folderWith(files), LOOSE)
async function ids(files: Files, ...texts: string[]): Promise<number[][]> {
  const tokenizer = await open(files)
  const batch = await tokenizer.encodeBatch(texts, { wantOffsets: false })
  return Array.from(batch.offsets.subarray(1), (end, i) => [...batch.ids.subarray(batch.offsets[i]!, end)])
}
async function refused(files: Files, code: string, ...parts: string[]): Promise<void> {
  const error = await open(files).then(
    () => null,
    (thrown: unknown) => thrown as Error,
  )
  expect(error).toMatchObject({ name: 'EmbedCoreError', code })
  for (const part of parts) expect(error!.message).toContain(part)
}

describe('added tokens', () => {
  const decoder = (tokens: Record<string, object>) => ({ 'tokenizer_config.json': { added_tokens_decoder: tokens } })

  test('added_tokens_decoder: one id each, with every flag', async () => {
    const files = {
      ...words(),
      ...decoder({
        6: { content: '[Q]', special: true },
        7: { content: '<L>', lstrip: true, normalized: false },
        8: { content: '<W>', single_word: true, normalized: false },
        9: { content: 'Phone', normalized: true },
      }),
    }
    const tokenizer = await open(files)
    expect([tokenizer.maxId, tokenizer.baseVocabSize]).toEqual([9, 6])
    expect(await ids(files, '[Q]a', 'a<L>b', 'a<W>b <W> b', 'aphone PHONE')).toEqual([
      [1, 6, 3],
      [1, 3, 7, 4],
      [1, 0, 8, 4],
      [1, 3, 9, 9],
    ])
    const spans = await tokenizer.encodeBatch(['a  <L>'], { wantOffsets: true })
    expect([...spans.charOffsets!].slice(-2)).toEqual([1, 6])
  })

  test('its flags replace those of tokenizer.json, which keeps the last word over added_tokens.json', async () => {
    const listed = words({ added_tokens: [added(1, '<s>'), added(2, '</s>'), added(5, 'word', { special: false })] })
    expect(await ids(listed, 'awordb')).toEqual([[1, 3, 5, 4]])
    const whole = { content: 'word', single_word: true, normalized: false, special: false }
    expect(await ids({ ...listed, ...decoder({ 5: whole }) }, 'awordb word')).toEqual([[1, 0, 5]])
    expect(await ids({ ...listed, 'added_tokens.json': { word: 5 } }, 'awordb')).toEqual([[1, 3, 5, 4]])
  })

  test('added_tokens.json, special where another file names the token', async () => {
    const files = {
      ...words(),
      'added_tokens.json': { Extra: 7, '[Q]': 6 },
      'special_tokens_map.json': { additional_special_tokens: ['[Q]'], eos_token: { content: '</s>', lstrip: false } },
    }
    expect(await ids(files, '[Q] EXTRA', '[q] a')).toEqual([
      [1, 6, 7],
      [1, 0, 3],
    ])
  })

  test('special tokens that are named without an id get the next one', async () => {
    const config = { additional_special_tokens: ['[X]', { content: '[Y]' }], pad_token: '[P]', mask_token: 'word' }
    expect(await ids({ ...words(), 'tokenizer_config.json': config }, 'a[X][Y][P]wordb')).toEqual([
      [1, 3, 7, 8, 6, 5, 4],
    ])
  })

  test('an id that contradicts tokenizer.json is refused', async () => {
    const mismatch = 'ERR_EMBEDCORE_TOKENIZER_MISMATCH'
    await refused({ ...words(), ...decoder({ 9: { content: '[Q]' } }) }, mismatch, '"[Q]"', '9', '6', 'tokenizer.json')
    await refused({ ...words(), ...decoder({ 3: { content: 'b' } }) }, mismatch, '"b"', '3', '4')
    await refused({ ...words(), ...decoder({ 1: { content: '</s>', special: true } }) }, mismatch, '"</s>"')
    await refused({ ...words(), 'added_tokens.json': { '<s>': 2 } }, mismatch, '"<s>"', 'added_tokens.json')
    await refused({ ...words(), 'added_tokens.json': { '[Q]': 17 } }, mismatch, '"[Q]"', '17')
  })

  test('broken entries name their file', async () => {
    for (const [tokens, part] of [
      [{ x: { content: 'a' } }, '"x"'],
      [{ '-1': { content: 'a' } }, '"-1"'],
      [{ 6: { lstrip: true } }, '"content"'],
      [{ 6: null }, '"6"'],
      [{ 6: { content: '[Q]', lstrip: 'yes' } }, '"yes"'],
    ] as const)
      await refused(
        { ...words(), ...decoder(tokens as Record<string, object>) },
        'ERR_EMBEDCORE_INVALID_CONFIG',
        part,
        'tokenizer_config.json',
      )
    await refused({ ...words(), 'added_tokens.json': { '[Q]': 'six' } }, 'ERR_EMBEDCORE_INVALID_CONFIG', '"six"')
  })

  test('a static model takes tokenizer.json as it is', async () => {
    const folder = await folderWith({ ...words(), ...decoder({ 6: { content: '[Q]', special: true } }) })
    const tokenizer = await TextTokenizer.load(folder, { ...LOOSE, kind: 'static' })
    expect([...(await tokenizer.encodeBatch(['[Q]'], { wantOffsets: false })).ids]).toEqual([0])
  })
})

describe('begin and end tokens', () => {
  const llama = (config: object, post: object | null = template('<s>', 'A')) => ({
    ...words({ post_processor: post }),
    'tokenizer_config.json': { tokenizer_class: 'LlamaTokenizerFast', bos_token: '<s>', eos_token: '</s>', ...config },
  })

  test('a Llama tokenizer adds what the two keys say', async () => {
    const both = template('<s>', 'A', '</s>')
    expect(await ids(llama({ add_eos_token: true }), 'a')).toEqual([[1, 3, 2]])
    expect(await ids(llama({ add_bos_token: true, add_eos_token: true }, null), 'a')).toEqual([[1, 3, 2]])
    expect(await ids(llama({ add_bos_token: false, add_eos_token: true }), 'a', '')).toEqual([[3, 2], [2]])
    expect(await ids(llama({ add_bos_token: false, add_eos_token: false }, both), 'a')).toEqual([[3]])
    expect(await ids(llama({ add_eos_token: false }, both), 'a')).toEqual([[1, 3]])
    expect(await ids(llama({ add_eos_token: true, eos_token: { content: 'b', lstrip: false } }), 'a')).toEqual([
      [1, 3, 4],
    ])
    // Without the keys the post-processor of tokenizer.json is kept.
    expect(await ids(llama({}, both), 'a')).toEqual([[1, 3, 2]])
  })

  test('the class comes from config.json where no file names one', async () => {
    const files = { ...words(), 'tokenizer_config.json': { add_eos_token: true } }
    expect(await ids({ ...files, 'config.json': { model_type: 'mistral' } }, 'a')).toEqual([[1, 3, 2]])
    await refused({ ...files, 'config.json': { model_type: 'qwen2' } }, 'ERR_EMBEDCORE_TOKENIZER_MISMATCH', 'eos_token')
  })

  test('truncation keeps the added end token', async () => {
    const tokenizer = await open(llama({ add_eos_token: true }))
    const cut = await tokenizer.encodeBatch(['a b a b'], { wantOffsets: false, maxTokens: 3 })
    expect([...cut.ids]).toEqual([1, 3, 2])
    expect([...cut.omitted]).toEqual([3])
  })

  test('a token that is not in the vocabulary is refused', async () => {
    const mismatch = 'ERR_EMBEDCORE_TOKENIZER_MISMATCH'
    await refused(llama({ add_eos_token: true, eos_token: '<end>' }), mismatch, 'eos_token', '"<end>"', 'add_eos_token')
    await refused(llama({ add_eos_token: true, eos_token: null }), mismatch, 'eos_token', 'undefined')
    await refused(llama({ add_bos_token: true, bos_token: '<begin>' }), mismatch, 'bos_token', '"<begin>"')
  })

  test('of another class: a token that tokenizer.json does not add is refused, else the file stands', async () => {
    const other = (config: object, ...tokens: string[]) => ({
      ...words({ post_processor: template(...tokens) }),
      'tokenizer_config.json': { tokenizer_class: 'Qwen2Tokenizer', bos_token: '<s>', eos_token: '</s>', ...config },
    })
    await refused(other({ add_eos_token: true }, 'A'), 'ERR_EMBEDCORE_TOKENIZER_MISMATCH', 'add_eos_token', '"</s>"')
    await refused(other({ add_bos_token: true }, 'A'), 'ERR_EMBEDCORE_TOKENIZER_MISMATCH', 'add_bos_token', '"<s>"')
    expect(await ids(other({ add_eos_token: true }, 'A', '</s>'), 'a')).toEqual([[3, 2]])
    expect(await ids(other({ add_eos_token: false, add_bos_token: false }, 'A', '</s>'), 'a')).toEqual([[3, 2]])
  })

  test('values of another type are refused', async () => {
    await refused(llama({ add_eos_token: 'yes' }), 'ERR_EMBEDCORE_INVALID_CONFIG', 'add_eos_token', '"yes"')
  })
})

test('add_prefix_space: followed by RoBERTa, refused where it contradicts the file of another class', async () => {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const bytes = (pre_tokenizer: object, config: object) => ({
    ...words({
      normalizer: null,
      pre_tokenizer,
      post_processor: null,
      model: { type: 'WordLevel', vocab: { ...VOCAB, Ġa: 6 }, unk_token: '<unk>' },
    }),
    'tokenizer_config.json': config,
  })
  const sequence = { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel] }
  const roberta = { tokenizer_class: 'RobertaTokenizerFast' }
  expect(await ids(bytes(byteLevel, roberta), 'a')).toEqual([[3]])
  expect(await ids(bytes(byteLevel, { ...roberta, add_prefix_space: true }), 'a')).toEqual([[6]])
  expect(await ids(bytes(sequence, { tokenizer_class: 'Qwen2Tokenizer', add_prefix_space: false }), 'a')).toEqual([[3]])
  for (const [step, tokenizer_class] of [
    [byteLevel, 'PreTrainedTokenizerFast'],
    [byteLevel, 'Qwen2Tokenizer'],
    [sequence, 'RobertaTokenizer'],
  ] as const)
    await refused(
      bytes(step, { tokenizer_class, add_prefix_space: true }),
      'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
      'add_prefix_space',
      'tokenizer_config.json',
    )
})

test('a normalizer that is replaced by the one of BERT is named in a warning', async () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  const bert = (normalizer: object | null) => ({
    ...words({
      normalizer,
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: null,
      model: {
        type: 'WordPiece',
        vocab: VOCAB,
        unk_token: '<unk>',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
      },
    }),
    'tokenizer_config.json': { tokenizer_class: 'BertTokenizer' },
  })
  const own = {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  }
  for (const normalizer of [null, own]) expect(await ids(bert(normalizer), 'A')).toEqual([[3]])
  expect(warn).not.toHaveBeenCalled()
  expect(await ids(bert({ type: 'Sequence', normalizers: [{ type: 'NFC' }] }), 'A')).toEqual([[3]])
  expect(warn).toHaveBeenCalledExactlyOnceWith(expect.stringMatching(/"Sequence" in .*tokenizer\.json/), {
    code: 'EMBEDCORE_NORMALIZER_REPLACED',
  })
  warn.mockRestore()
})

test('keys that would make another tokenizer are refused by name', async () => {
  for (const [config, part] of [
    [{ auto_map: { AutoTokenizer: ['tokenization_own.Own', null] } }, 'auto_map'],
    [{ auto_map: ['tokenization_own.Own', null] }, 'auto_map'],
    [{ split_special_tokens: true }, 'split_special_tokens'],
    [{ fast_tokenizer_files: ['tokenizer.4.0.0.json'] }, 'fast_tokenizer_files'],
  ] as const)
    await refused(
      { ...words(), 'tokenizer_config.json': config },
      'ERR_EMBEDCORE_UNSUPPORTED_MODEL',
      part,
      'tokenizer_config.json',
    )
  const harmless = { auto_map: {}, split_special_tokens: false, fast_tokenizer_files: ['tokenizer.json'] }
  expect(await ids({ ...words(), 'tokenizer_config.json': harmless }, 'a')).toEqual([[1, 3]])
})

test('a vocabulary without an unknown token loads, and a text outside it is refused', async () => {
  const model = { type: 'WordLevel', vocab: { red: 0, phone: 1 }, unk_token: '<unk>' }
  const files = words({ model, added_tokens: [], post_processor: null })
  expect(await ids(files, 'red phone')).toEqual([[0, 1]])
  await expect(ids(files, 'blue')).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_FILE' })
})
