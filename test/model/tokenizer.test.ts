/** Truncation, prompts, offsets, odd texts and odd files, on a tokenizer small enough to read. */
import { describe, expect, test } from 'vitest'
import { TextTokenizer } from '../../src/model/tokenizer.js'
import {
  folderWith,
  rows,
  places,
  spans,
  WORDS,
  wordId,
  special,
  wordPiece,
  loose,
  small,
  encoded,
  words,
} from '../support/small-tokenizer.js'

describe('truncation', () => {
  test('fixed padding and truncation inside tokenizer.json do not act', async () => {
    const tokenizer = await small({
      truncation: { max_length: 3, strategy: 'LongestFirst', stride: 0, direction: 'Right' },
      padding: {
        strategy: { Fixed: 32 },
        direction: 'Right',
        pad_to_multiple_of: null,
        pad_id: 0,
        pad_type_id: 0,
        pad_token: '[PAD]',
      },
    })
    expect(await encoded(tokenizer, ['hello world a'])).toEqual([words('[CLS]', 'hello', 'world', 'a', '[SEP]')])
  })

  test('special tokens stay, the cut is counted, either end', async () => {
    const tokenizer = await small({}, { lowerCase: null, maxTokens: 4 })
    const batch = await tokenizer.encodeBatch(['hello world a hello', 'a', ''], { wantOffsets: false })
    expect(rows(batch)).toEqual([
      words('[CLS]', 'hello', 'world', '[SEP]'),
      words('[CLS]', 'a', '[SEP]'),
      words('[CLS]', '[SEP]'),
    ])
    expect([...batch.omitted]).toEqual([2, 0, 0])
    expect([...batch.offsets]).toEqual([0, 4, 7, 9])
    expect(await encoded(tokenizer, ['hello world a hello'], { truncate: 'left' })).toEqual([
      words('[CLS]', 'a', 'hello', '[SEP]'),
    ])
    expect(await encoded(tokenizer, ['hello world a hello'], { maxTokens: null })).toEqual([
      words('[CLS]', 'hello', 'world', 'a', 'hello', '[SEP]'),
    ])
  })

  test('the side comes from tokenizer_config.json unless the call says', async () => {
    const folder = await folderWith({
      'tokenizer.json': wordPiece(),
      'tokenizer_config.json': { truncation_side: 'left' },
    })
    const tokenizer = await TextTokenizer.load(folder, { lowerCase: null, maxTokens: 3 })
    expect(await encoded(tokenizer, ['hello world a'])).toEqual([words('[CLS]', 'a', '[SEP]')])
    expect(await encoded(tokenizer, ['hello world a'], { truncate: 'right' })).toEqual([
      words('[CLS]', 'hello', '[SEP]'),
    ])
  })

  test('truncate false refuses, and a limit without room for text too', async () => {
    const tokenizer = await small({}, { lowerCase: null, maxTokens: 4 })
    await expect(
      tokenizer.encodeBatch(['a', 'hello world a'], { wantOffsets: false, truncate: false }),
    ).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_TEXT_TOO_LONG',
      message: 'Expected at most 4 tokens for text 1 (truncate is false) but received 5: "hello world a"',
    })
    await expect(tokenizer.encodeBatch(['a'], { wantOffsets: false, maxTokens: 2 })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_OPTION',
      message: expect.stringContaining('at least 3') as string,
    })
  })
})

describe('prompts', () => {
  test('prompt tokens are counted and have no place in the text', async () => {
    const batch = await (await small()).encodeBatch(['hello 苹果', ''], { wantOffsets: true, prompt: 'query: ' })
    expect(rows(batch)[0]).toEqual(words('[CLS]', 'query', ':', 'hello', '苹', '果', '[SEP]'))
    expect([...batch.promptTokens]).toEqual([3, 3])
    expect(places(batch)).toEqual([
      [0, 0, 0, 0, 0, 0, 0, 5, 6, 7, 7, 8, 0, 0],
      [0, 0, 0, 0, 0, 0, 0, 0],
    ])
  })

  test('cut from the left the prompt goes first, and is not counted where it is gone', async () => {
    const batch = await (
      await small()
    ).encodeBatch(['hello world a', 'a'], { wantOffsets: false, prompt: 'query: ', maxTokens: 5, truncate: 'left' })
    expect(rows(batch)[0]).toEqual(words('[CLS]', 'hello', 'world', 'a', '[SEP]'))
    expect([...batch.promptTokens]).toEqual([1, 3])
  })

  test('no prompt, nothing to leave out', async () => {
    expect([
      ...(await (await small()).encodeBatch(['a', ''], { wantOffsets: false, prompt: '' })).promptTokens,
    ]).toEqual([0, 0])
  })
})

describe('offsets are UTF-16 units', () => {
  const byteLevel = {
    normalizer: null,
    post_processor: null,
    added_tokens: [],
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true },
  }

  test('behind supplementary characters, and with them in the prompt', async () => {
    const texts = ['😀 hello 𠮷 world', 'hello']
    expect(spans(await (await small()).encodeBatch(texts, { wantOffsets: true, specials: false }), texts)).toEqual([
      ['😀', 'hello', '𠮷', 'world'],
      ['hello'],
    ])
    const prompted = await (await small()).encodeBatch(texts, { wantOffsets: true, specials: false, prompt: '😀 𠮷 ' })
    expect(spans(prompted, texts)).toEqual([
      ['', '', '😀', 'hello', '𠮷', 'world'],
      ['', '', 'hello'],
    ])
  })

  test('bytes of one character all point at it', async () => {
    const bytes = ['ð', 'Ł', 'ĺ', 'Ģ', 'x']
    const tokenizer = await small({
      ...byteLevel,
      model: { type: 'BPE', vocab: Object.fromEntries(bytes.map((byte, id) => [byte, id])), merges: [] },
    })
    const batch = await tokenizer.encodeBatch(['x😀x'], { wantOffsets: true })
    expect(rows(batch)).toEqual([[4, 0, 1, 2, 3, 4]])
    expect(places(batch)).toEqual([[0, 1, 1, 3, 1, 3, 1, 3, 1, 3, 3, 4]])
  })
})

describe('texts', () => {
  test('empty, NUL, lone surrogates and a mebibyte are texts', async () => {
    const tokenizer = await small({}, { lowerCase: null, maxTokens: 8 })
    const batch = await tokenizer.encodeBatch(
      ['', '\0hello\0', '\ud83d hello', 'hello \udc00', 'hello '.repeat(180_000)],
      { wantOffsets: true },
    )
    // A lone surrogate becomes U+FFFD, which BERT drops like NUL.
    expect(rows(batch).map((row) => row.length)).toEqual([2, 3, 3, 3, 8])
    expect(places(batch)[2]!.slice(2, 4)).toEqual([2, 7])
    expect(batch.omitted[4]).toBe(180_000 - 6)
  })

  test('what is no string is refused by place and type', async () => {
    const tokenizer = await small()
    for (const [value, shown] of [
      [7, '7'],
      [null, 'null'],
      [undefined, 'undefined'],
      [['a'], 'an array of 1'],
      [{}, 'an object'],
    ] as const) {
      await expect(
        tokenizer.encodeBatch(['a', value as unknown as string], { wantOffsets: false }),
      ).rejects.toMatchObject({
        code: 'ERR_EMBEDCORE_INVALID_TEXT',
        message: `Expected a string for text 1 but received ${shown}`,
      })
    }
    await expect(tokenizer.encodeBatch('a' as unknown as string[], { wantOffsets: false })).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_TEXT',
    })
    expect(rows(await tokenizer.encodeBatch([], { wantOffsets: true }))).toEqual([])
  })

  test('many texts come back in order, whatever the pieces; calls may overlap with different limits', async () => {
    const tokenizer = await small()
    const texts = Array.from({ length: 9000 }, (_, i) => 'a '.repeat(i % 7))
    const expected = texts.map((_, i) => i % 7)
    const [whole, cut] = await Promise.all([
      tokenizer.encodeBatch(texts, { wantOffsets: false, specials: false }),
      tokenizer.encodeBatch(texts, { wantOffsets: false, specials: false, maxTokens: 2 }),
    ])
    expect(rows(whole).map((row) => row.length)).toEqual(expected)
    expect(rows(cut).map((row) => row.length)).toEqual(expected.map((length) => Math.min(2, length)))
    expect([...cut.omitted]).toEqual(expected.map((length) => Math.max(0, length - 2)))
  })

  test('an aborted signal stops between pieces', async () => {
    const tokenizer = await small()
    const controller = new AbortController()
    const call = tokenizer.encodeBatch(
      Array.from({ length: 5000 }, () => 'hello'),
      { wantOffsets: false, signal: controller.signal },
    )
    controller.abort()
    await expect(call).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_ABORTED', name: 'AbortError' })
  })
})

describe('files', () => {
  test('vocabulary size, largest id, token texts', async () => {
    const tokenizer = await small({
      added_tokens: [special('[UNK]'), { ...special('[PAD]'), content: 'extra', id: WORDS.length }],
    })
    expect([tokenizer.baseVocabSize, tokenizer.maxId]).toEqual([WORDS.length, WORDS.length])
    expect(tokenizer.tokens([wordId('hello'), WORDS.length])).toEqual(['hello', 'extra'])
    expect(() => tokenizer.tokens([999])).toThrow(expect.objectContaining({ code: 'ERR_EMBEDCORE_TOKENIZER_MISMATCH' }))
  })

  test('no tokenizer: advice; broken ones: the file and the reason', async () => {
    await expect(TextTokenizer.load(await folderWith({}), loose)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_NOT_FOUND',
      message: expect.stringContaining('save_pretrained') as string,
    })
    // A vocab.txt of a family other than BERT does not say how to cut words.
    await expect(
      TextTokenizer.load(
        await folderWith({ 'vocab.txt': WORDS.join('\n'), 'config.json': { model_type: 'qwen2' } }),
        loose,
      ),
    ).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_NOT_FOUND' })
    await expect(
      TextTokenizer.load(await folderWith({ 'vocab.txt': 'a\nb\n', 'config.json': { model_type: 'bert' } }), loose),
    ).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_FILE', message: expect.stringContaining('[UNK]') as string })
    const broken: (string | object)[] = [
      '',
      '{',
      '[]',
      '"text"',
      '{}',
      '['.repeat(100_000),
      { model: 3 },
      { model: { type: 'Nonsense' } },
      wordPiece({ model: { type: 'WordPiece', vocab: { a: -1 } } }),
      wordPiece({ model: { ...wordPiece().model, vocab: { '[UNK]': 2 ** 32 - 1 } } }),
      wordPiece({ added_tokens: 'x' }),
      wordPiece({ added_tokens: [3] }),
    ]
    for (const content of broken) {
      await expect(TextTokenizer.load(await folderWith({ 'tokenizer.json': content }), loose)).rejects.toMatchObject({
        code: 'ERR_EMBEDCORE_INVALID_FILE',
        message: expect.stringContaining('tokenizer.json') as string,
      })
    }
    const { post_processor } = wordPiece()
    const outside = wordPiece({
      post_processor: {
        ...post_processor,
        special_tokens: {
          ...post_processor.special_tokens,
          '[SEP]': { id: '[SEP]', ids: [2 ** 32 - 1], tokens: ['[SEP]'] },
        },
      },
    })
    await expect(TextTokenizer.load(await folderWith({ 'tokenizer.json': outside }), loose)).rejects.toMatchObject({
      code: 'ERR_EMBEDCORE_INVALID_FILE',
      message: expect.stringContaining('4294967295') as string,
    })
    for (const config of [
      { do_lower_case: 'yes', tokenizer_class: 'BertTokenizer' },
      { truncation_side: 'top' },
      { tokenizer_class: 3 },
    ]) {
      await expect(
        TextTokenizer.load(await folderWith({ 'tokenizer.json': wordPiece(), 'tokenizer_config.json': config }), loose),
      ).rejects.toMatchObject({
        code: 'ERR_EMBEDCORE_INVALID_CONFIG',
        message: expect.stringContaining('tokenizer_config.json') as string,
      })
    }
  })

  test('a byte order mark is no token; vocab.txt with Windows line ends is read', async () => {
    const folder = await folderWith({ 'tokenizer.json': `\ufeff${JSON.stringify(wordPiece())}` })
    expect(await encoded(await TextTokenizer.load(folder, loose), ['hello'], { specials: false })).toEqual([
      words('hello'),
    ])
    const fromVocabulary = await TextTokenizer.load(
      await folderWith({
        'vocab.txt': `${WORDS.join('\r\n')}\r\n__proto__\r\n`,
        'tokenizer_config.json': { tokenizer_class: 'BertTokenizer' },
      }),
      loose,
    )
    expect(await encoded(fromVocabulary, ['Hello CAFÉS'])).toEqual([words('[CLS]', 'hello', 'cafe', '##s', '[SEP]')])
    expect(fromVocabulary.maxId).toBe(WORDS.length)
  })
})
