/**
 * Generates a WordPiece tokenizer with the size and form of BERT's, for machines without a real one: the same ids for
 * the special tokens, ASCII characters, the words of lib/words.mjs, and seeded words of syllables up to the full size.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { random } from '../lib/random.mjs'
import { WORDS } from '../lib/words.mjs'

const SPECIAL = { '[PAD]': 0, '[UNK]': 100, '[CLS]': 101, '[SEP]': 102, '[MASK]': 103 }
/** Ids below this are special or unused, as in BERT's vocabulary. */
const FIRST_WORD = 999

/** A pronounceable word of two to four syllables. */
function syllables(next) {
  const pick = (letters) => letters[Math.floor(next() * letters.length)]
  const count = 2 + Math.floor(next() * 3)
  return Array.from({ length: count }, () => pick('bcdfghjklmnprstvwz') + pick('aeiou')).join('')
}

/** [token] in the order of their ids. */
export function madeVocabulary(size, seed) {
  const names = Object.fromEntries(Object.entries(SPECIAL).map(([token, id]) => [id, token]))
  const tokens = Array.from({ length: FIRST_WORD }, (_, id) => names[id] ?? `[unused${id}]`)
  const known = new Set(tokens)
  const add = (token) => {
    if (known.has(token) || tokens.length === size) return
    known.add(token)
    tokens.push(token)
  }
  const characters = Array.from({ length: 0x7f - 0x21 }, (_, i) => String.fromCharCode(0x21 + i).toLowerCase())
  for (const character of characters) add(character)
  for (const character of characters) add(`##${character}`)
  for (const word of WORDS) add(word)
  const next = random(seed)
  // Every fifth token continues a word, about as many as in BERT's vocabulary.
  while (tokens.length < size) add((next() < 0.2 ? '##' : '') + syllables(next))
  return tokens
}

/** Writes tokenizer.json, tokenizer_config.json and vocab.txt into `directory`. */
export function makeTokenizer(directory, size, seed) {
  const tokens = madeVocabulary(size, seed)
  const write = (name, value) => writeFileSync(join(directory, name), JSON.stringify(value) + '\n')
  const special = (id) => ({ SpecialToken: { id, type_id: 0 } })
  write('tokenizer.json', {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: Object.entries(SPECIAL).map(([content, id]) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [special('[CLS]'), { Sequence: { id: 'A', type_id: 0 } }, special('[SEP]')],
      pair: [
        special('[CLS]'),
        { Sequence: { id: 'A', type_id: 0 } },
        special('[SEP]'),
        { Sequence: { id: 'B', type_id: 1 } },
        { SpecialToken: { id: '[SEP]', type_id: 1 } },
      ],
      special_tokens: Object.fromEntries(
        ['[CLS]', '[SEP]'].map((token) => [token, { id: token, ids: [SPECIAL[token]], tokens: [token] }]),
      ),
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    },
  })
  write('tokenizer_config.json', {
    tokenizer_class: 'BertTokenizer',
    do_lower_case: true,
    model_max_length: 512,
    pad_token: '[PAD]',
    unk_token: '[UNK]',
    cls_token: '[CLS]',
    sep_token: '[SEP]',
    mask_token: '[MASK]',
  })
  writeFileSync(join(directory, 'vocab.txt'), tokens.join('\n') + '\n')
}
