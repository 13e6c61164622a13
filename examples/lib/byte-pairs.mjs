/**
 * Byte-pair encoding, learned from texts, in the form of Qwen2's tokenizer: bytes written as letters, words found by its
 * regular expression, the most frequent pair merged until the vocabulary is full.
 */

const WORDS =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" +
  '\\s+(?!\\S)|\\s+'
const END = '<|endoftext|>'

/** The letter of each byte: printable ones are themselves, the others follow U+0100. */
const LETTERS = (() => {
  const printable = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  let other = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : other++))
})()

function countWords(texts) {
  // JavaScript has no flag for a part of an expression: the contractions are rare enough to be learned in lower case.
  const pattern = new RegExp(WORDS.replace('(?i:', '(?:'), 'gu')
  const counts = new Map()
  for (const text of texts)
    for (const [word] of text.normalize('NFC').matchAll(pattern)) {
      const letters = [...Buffer.from(word)].map((byte) => LETTERS[byte]).join('')
      counts.set(letters, (counts.get(letters) ?? 0) + 1)
    }
  return [...counts].map(([word, count]) => ({ parts: [...word], count }))
}

/** The pair that is in most words; of equals the first in the order of its letters. Null = none is there twice. */
function mostFrequent(words) {
  const counts = new Map()
  for (const { parts, count } of words)
    for (let i = 0; i + 1 < parts.length; i++) {
      const pair = `${parts[i]} ${parts[i + 1]}`
      counts.set(pair, (counts.get(pair) ?? 0) + count)
    }
  let best = null
  for (const [pair, count] of counts)
    if (count > 1 && (best === null || count > best.count || (count === best.count && pair < best.pair)))
      best = { pair, count }
  return best?.pair.split(' ') ?? null
}

function merge(words, [left, right]) {
  for (const word of words)
    for (let i = 0; i + 1 < word.parts.length; i++)
      if (word.parts[i] === left && word.parts[i + 1] === right) word.parts.splice(i, 2, left + right)
}

/** tokenizer.json of at most `size` tokens. */
export function learnBytePairs(texts, size) {
  const words = countWords(texts)
  const vocabulary = [...LETTERS]
  const merges = []
  while (vocabulary.length < size - 1) {
    const pair = mostFrequent(words)
    if (pair === null) break
    merge(words, pair)
    merges.push(pair)
    vocabulary.push(pair.join(''))
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [
      {
        id: vocabulary.length,
        content: END,
        special: true,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
      },
    ],
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: WORDS }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
      merges,
    },
  }
}

export { END }
