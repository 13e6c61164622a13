import { describe, expect, test } from 'vitest'
import type { ModelDescription } from '../../src/model/directory.js'
import { resolveEncodeOptions } from '../../src/model/encode-options.js'
import { resolveLoadOptions } from '../../src/model/load-options.js'
import { parseLayers } from '../../src/model/layers.js'
import { checkOptions, flag, integer, oneOf, oneOrMore, text } from '../../src/core/options.js'
import { nearest, show } from '../../src/core/show.js'
import type { LoadOptions } from '../../src/model/load-options.js'
import type { EncodeOptions, LayerSelection } from '../../src/model/types.js'

const invalid = (...parts: string[]) =>
  expect.objectContaining({
    code: 'ERR_EMBEDCORE_INVALID_OPTION',
    message: expect.stringMatching(
      parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*'),
    ) as string,
  })

function thrown(call: () => unknown): Error {
  try {
    call()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

describe('checkOptions', () => {
  const rules = { normalize: flag, dimensions: integer(1, 10), pooling: oneOrMore(oneOf('cls', 'mean')), prompt: text }

  test('takes what is right, copies lists, leaves out undefined', () => {
    const pooling = ['cls', 'mean']
    const checked = checkOptions({ normalize: true, dimensions: undefined, pooling }, rules)
    pooling.push('x')
    expect(checked).toEqual({ normalize: true, pooling: ['cls', 'mean'] })
    expect(checkOptions({ pooling: 'cls' }, rules)).toEqual({ pooling: ['cls'] })
    expect(checkOptions(undefined, rules)).toEqual({})
    expect(checkOptions(Object.create(null), rules)).toEqual({})
  })

  test('unknown names, with the nearest known one', () => {
    const unknown = (options: object) => () => checkOptions(options, rules)
    expect(unknown({ normalise: true })).toThrow(
      expect.objectContaining({
        code: 'ERR_EMBEDCORE_UNKNOWN_OPTION',
        message: 'Expected a known option but received "normalise"; did you mean "normalize"?',
      }),
    )
    expect(unknown({ Pooling: 'cls' })).toThrow('did you mean "pooling"?')
    expect(unknown({ wholly: 1 })).toThrow('known are normalize, dimensions, pooling, prompt')
    expect(unknown(JSON.parse('{"__proto__": 1}') as object)).toThrow(
      'Expected a known option but received "__proto__"',
    )
    expect(unknown({ constructor: 1 })).toThrow('Expected a known option but received "constructor"')
    expect(unknown({ normalise: undefined })).toThrow('Expected a known option')
    expect(unknown({ ['x'.repeat(1 << 20)]: 1 })).toThrow('1048576 characters')
  })

  test('wrong values, null included, shown short', () => {
    const wrong = (options: object) => () => checkOptions(options, rules)
    expect(wrong({ dimensions: 'x' })).toThrow(
      invalid('Expected an integer from 1 to 10 for dimensions but received "x"'),
    )
    for (const value of [null, 0, 11, 1.5, NaN, Infinity, '4', 4n, [4], {}, true])
      expect(wrong({ dimensions: value })).toThrow(invalid('dimensions'))
    for (const value of [null, 1, 'true', {}])
      expect(wrong({ normalize: value })).toThrow(invalid('true or false for normalize'))
    for (const value of [null, '', [], ['cls', 'x'], [['cls']], new Array(3)])
      expect(wrong({ pooling: value })).toThrow(invalid('pooling'))
    const long = thrown(wrong({ dimensions: 'x'.repeat(1 << 20) }))
    expect(long.message.length).toBeLessThan(200)
    for (const options of [null, 'text', 3, [], () => {}, new Float32Array(2)])
      expect(() => checkOptions(options, rules)).toThrow(invalid('an object of options'))
  })

  test('inherited properties do not count, getters that throw do not break', () => {
    expect(checkOptions(Object.create({ normalise: 1, dimensions: 'x' }), rules)).toEqual({})
    expect(() =>
      checkOptions(
        {
          get dimensions() {
            throw new Error('boom')
          },
        },
        rules,
      ),
    ).toThrow(invalid('Reading the option dimensions failed: boom'))
    expect(() =>
      checkOptions(
        {
          get dimensions(): never {
            throw null
          },
        },
        rules,
      ),
    ).toThrow(invalid('null'))
    expect(() =>
      checkOptions(
        new Proxy(
          {},
          {
            ownKeys() {
              throw new Error('keys')
            },
          },
        ),
        rules,
      ),
    ).toThrow(invalid('keys'))
    expect(() =>
      checkOptions(
        {
          pooling: new Proxy(['cls'], {
            get() {
              throw new Error('item')
            },
          }),
        },
        rules,
      ),
    ).toThrow(invalid('item'))
    let reads = 0
    expect(
      checkOptions(
        {
          get dimensions() {
            return ++reads
          },
        },
        rules,
      ),
    ).toEqual({ dimensions: 1 })
    expect(reads).toBe(1)
  })
})

test('show: short and safe for anything', () => {
  const shown = [
    ['a', '"a"'],
    [3, '3'],
    [-0, '0'],
    [3n, '3n'],
    [null, 'null'],
    [undefined, 'undefined'],
    [Symbol('s'), 'Symbol(s)'],
    [[1, 2], 'an array of 2'],
    [{}, 'an object'],
    [new Map(), 'an object of class Map'],
    [new Float32Array(3), 'a Float32Array of 3'],
    [() => 1, 'a function'],
  ] as const
  for (const [value, expected] of shown) expect(show(value)).toBe(expected)
  expect(
    show(
      new Proxy(
        {},
        {
          get() {
            throw new Error('no')
          },
        },
      ),
    ),
  ).toBe('an object')
  expect(show(Object.create(null))).toBe('an object')
  expect(nearest('maxToken', ['maxTokens', 'maxBatchTokens'])).toBe('maxTokens')
  expect(nearest('zzz', ['maxTokens'])).toBeNull()
})

describe('parseLayers', () => {
  const cases: [LayerSelection, number[]][] = [
    [0, [0]],
    [12, [12]],
    [-1, [12]],
    [-13, [0]],
    [
      [1, -1],
      [1, 12],
    ],
    ['first-last', [1, 12]],
    ['last:4', [9, 10, 11, 12]],
    ['last:12', Array.from({ length: 12 }, (_, i) => i + 1)],
    ['4-8', [4, 5, 6, 7, 8]],
    ['5-5', [5]],
    ['-4--1', [9, 10, 11, 12]],
    ['10--1', [10, 11, 12]],
    ['7', [7]],
    ['-2', [11]],
    ['0-1', [0, 1]],
    [' 1 , 4-5,last:1', [1, 4, 5, 12]],
  ]
  test.each(cases)('%j of twelve', (selection, expected) => expect(parseLayers(selection, 12)).toEqual(expected))

  test.each([13, -14, [1, 13], '13', '4-13', 'last:13', 'last:0'] as LayerSelection[])(
    '%j is out of range, and the range is said',
    (selection) => {
      expect(() => parseLayers(selection, 12)).toThrow(invalid('12'))
    },
  )
  test('16 and 24 of a model of 24, and of one of 12', () => {
    expect(parseLayers([16, 24], 24)).toEqual([16, 24])
    expect(() => parseLayers([16, 24], 12)).toThrow(
      invalid('Expected 0 to 12 (or -1 to -13, from the end) for layers but received 16'),
    )
  })
  test.each([
    [],
    '',
    'last',
    'last:',
    'last:x',
    '4-',
    '8-4',
    '4-8-9',
    '1,,2',
    1.5,
    NaN,
    [1.5],
    ['1'],
    '99999999999',
    'x'.repeat(1 << 20),
  ] as LayerSelection[])('%# is refused', (selection) => {
    expect(() => parseLayers(selection, 12)).toThrow(expect.objectContaining({ code: 'ERR_EMBEDCORE_INVALID_OPTION' }))
  })
})

describe('resolveLoadOptions', () => {
  test('defaults', () => {
    expect(resolveLoadOptions()).toEqual({
      device: 'auto',
      dtype: 'float32',
      adapter: null,
      threads: null,
      maxBatchTokens: 32768,
      maxQueueTokens: 16 * 1024 * 1024,
      maxTokens: null,
      revision: 'main',
      cacheDir: null,
      token: null,
      offline: null,
      onProgress: null,
      signal: null,
    })
    expect(resolveLoadOptions({ device: 'auto', threads: 2 }).threads).toBe(2)
    for (const device of ['auto', 'cpu', 'cuda', 'cuda:0', 'cuda:12'] as const)
      expect(resolveLoadOptions({ device }).device).toBe(device)
    for (const dtype of ['float32', 'float16', 'bfloat16', 'int8', 'auto'] as const)
      expect(resolveLoadOptions({ dtype }).dtype).toBe(dtype)
  })
  test('a misspelt dtype, with the nearest', () => {
    const dtype = (value: unknown) => () => resolveLoadOptions({ dtype: value } as LoadOptions)
    expect(dtype('bfloat_16')).toThrow(
      invalid(
        "Expected one of 'auto', 'float32', 'float16', 'bfloat16', 'int8' for dtype but received \"bfloat_16\"; " +
          "did you mean 'bfloat16'?",
      ),
    )
    expect(dtype('INT8')).toThrow(invalid("did you mean 'int8'?"))
    for (const far of ['quantized', 8, ['int8']])
      expect(dtype(far)).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining('did you mean') as string }),
      )
    expect(() => resolveLoadOptions({ dtypes: 'int8' } as LoadOptions)).toThrow('did you mean "dtype"?')
  })
  test('wrong ones', () => {
    for (const options of [
      { device: 'cuda:' },
      { threads: 0 },
      { threads: 1e9 },
      { revision: '' },
      { offline: 'yes' },
      { onProgress: 3 },
      { signal: {} },
      { dtype: null },
      { dtype: 'float64' },
    ])
      expect(() => resolveLoadOptions(options as unknown as LoadOptions)).toThrow(invalid(Object.keys(options)[0]!))
  })
})

describe('resolveEncodeOptions', () => {
  const model: ModelDescription = {
    kind: 'transformer',
    directory: '/m',
    weights: '/m',
    root: '/m',
    adapter: null,
    pooling: { modes: ['cls'], includePrompt: false },
    layerWeights: null,
    modules: [],
    prompts: { query: 'q: ', document: '' },
    defaultPromptName: null,
    similarity: 'cosine',
    maxTokens: 128,
    lowerCase: null,
    attention: [],
    dimensions: null,
  }
  const table: ModelDescription = { ...model, kind: 'static', pooling: null }
  const resolve = (options?: EncodeOptions, description = model, limits = {}) =>
    resolveEncodeOptions(options, description, 12, limits)

  test('nothing given: the model rules', () => {
    expect(resolve()).toEqual({
      plan: {
        pooling: ['cls'],
        layers: [],
        fusion: 'mean',
        attention: [],
        output: 'sentence',
        normalize: null,
        dimensions: 0,
      },
      tokenize: { maxTokens: undefined, truncate: undefined, prompt: '', wantOffsets: false, signal: undefined },
      output: 'sentence',
      precision: 'float32',
      ranges: null,
      adapter: null,
      skipPrompt: true,
      prefixTokens: null,
      signal: null,
      onProgress: null,
    })
    expect(resolve({}, table).plan.pooling).toEqual(['mean'])
    expect(resolve({}, { ...model, dimensions: 64 }).plan.dimensions).toBe(64)
  })

  test('everything given', () => {
    const ranges = Float32Array.of(-1, 0, 1, 2)
    const made = resolve(
      {
        pooling: ['mean', 'max'],
        layers: '4-8',
        layerFusion: 'concat',
        attention: 'prefix',
        prefixTokens: [1, 2],
        normalize: false,
        dimensions: 2,
        precision: 'int8',
        ranges,
        adapter: 'shop',
        promptName: 'query',
        maxTokens: 64,
        truncate: 'left',
      },
      model,
      { tokenLimit: 64, texts: 2 },
    )
    expect(made.plan).toEqual({
      pooling: ['mean', 'max'],
      layers: [4, 5, 6, 7, 8],
      fusion: 'concat',
      attention: ['prefix'],
      output: 'sentence',
      normalize: false,
      dimensions: 2,
    })
    expect(made.tokenize).toMatchObject({ maxTokens: 64, truncate: 'left', prompt: 'q: ' })
    expect([made.precision, made.prefixTokens, made.ranges]).toEqual(['int8', [1, 2], ranges])
    expect(made.ranges).not.toBe(ranges)
    expect(made.adapter).toBe('shop')
    expect(resolve({ truncate: true }).tokenize.truncate).toBeUndefined()
    expect(resolve({ truncate: false }).tokenize.truncate).toBe(false)
    expect(resolve({ output: 'token' }).tokenize.wantOffsets).toBe(true)
  })

  test('combinations that mean nothing are refused', () => {
    const cases: [EncodeOptions, string, ModelDescription?, object?][] = [
      [{ attention: ['causal', 'causal'] }, '12'],
      [{ prefixTokens: 3 }, 'prefix'],
      [{ attention: 'prefix', prefixTokens: [1] }, 'prefixTokens', model, { texts: 2 }],
      [{ ranges: Float32Array.of(0, 1) }, 'int8'],
      [{ precision: 'binary', ranges: Float32Array.of(0, 1) }, 'binary'],
      [{ precision: 'int8', ranges: Float32Array.of(1, 0) }, 'ranges'],
      [{ precision: 'int8', ranges: Float32Array.of(0, 1, 2) }, 'ranges'],
      [{ precision: 'int8', ranges: Float32Array.of(0, NaN) }, 'ranges'],
      [{ output: 'token', precision: 'int8' }, 'precision'],
      [{ output: 'token', pooling: 'cls' }, 'pooling'],
      [{ maxTokens: 65 }, '64', model, { tokenLimit: 64 }],
      [{ prompt: 'a', promptName: 'query' }, 'both'],
      [{ layers: 13 }, '12'],
      [{ layers: -1 }, 'static', table],
      [{ attention: 'causal' }, 'static', table],
      [{ pooling: 'cls' }, 'mean', table],
      [{ pooling: ['mean', 'max'] }, 'mean', table],
    ]
    for (const [options, part, description, limits] of cases)
      expect(() => resolve(options, description, limits), JSON.stringify(options)).toThrow(invalid(part))
    expect(() => resolve({ normalise: true } as EncodeOptions)).toThrow('did you mean "normalize"?')
    expect(() => resolve({ promptNames: 'x' } as EncodeOptions)).toThrow('did you mean "promptName"?')
  })
})
