/** A WordPiece tokenizer small enough to read, and the contents of its batches. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { TextTokenizer } from '../../src/model/tokenizer.js'
import type { TokenizedBatch } from '../../src/model/tokenizer-packing.js'

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'embedcore-tokenizer-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

export const newFolder = () => mkdtemp(join(root, 'model-'))
export async function folderWith(files: Record<string, string | object>): Promise<string> {
  const folder = await newFolder()
  for (const [name, content] of Object.entries(files))
    await writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  return folder
}

export const rows = ({ ids, offsets }: TokenizedBatch) =>
  Array.from(offsets.subarray(1), (end, i) => [...ids.subarray(offsets[i]!, end)])
export const places = ({ charOffsets, offsets }: TokenizedBatch) =>
  Array.from(offsets.subarray(1), (end, i) => [...charOffsets!.subarray(2 * offsets[i]!, 2 * end)])
export const spans = (batch: TokenizedBatch, texts: string[]) =>
  places(batch).map((row, i) =>
    Array.from({ length: row.length / 2 }, (_, t) => texts[i]!.slice(row[2 * t], row[2 * t + 1])),
  )

/** A WordPiece vocabulary and its tokenizer.json, small enough to read. */
export const WORDS = [
  '[PAD]',
  '[UNK]',
  '[CLS]',
  '[SEP]',
  'hello',
  'world',
  'Hello',
  'cafe',
  'café',
  'query',
  ':',
  '##s',
  'a',
  '苹',
  '果',
  '中',
  '##文',
  '[MASK]',
]
export const wordId = (token: string) => WORDS.indexOf(token)
export const special = (content: string) => ({
  id: wordId(content),
  content,
  special: true,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
})
export const template = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } })
export function wordPiece(changes: object = {}) {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].map(special),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: false,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [template('[CLS]'), { Sequence: { id: 'A', type_id: 0 } }, template('[SEP]')],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
      special_tokens: Object.fromEntries(
        ['[CLS]', '[SEP]'].map((token) => [token, { id: token, ids: [wordId(token)], tokens: [token] }]),
      ),
    },
    decoder: null,
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(WORDS.map((word, id) => [word, id])),
    },
    ...changes,
  }
}
export const loose = { lowerCase: null, maxTokens: null }
export const small = async (changes: object = {}, options: Parameters<typeof TextTokenizer.load>[1] = loose) =>
  TextTokenizer.load(await folderWith({ 'tokenizer.json': wordPiece(changes) }), options)
export const encoded = async (tokenizer: TextTokenizer, texts: string[], request = {}) =>
  rows(await tokenizer.encodeBatch(texts, { wantOffsets: false, ...request }))
export const words = (...tokens: string[]) => tokens.map(wordId)
