/** Types as callers write them; `npm run typecheck` checks this file. */
import { expectTypeOf, test } from 'vitest'
import {
  embedCore,
  encode,
  evaluate,
  type Evaluation,
  type Evaluations,
  load,
  Model,
  type SentenceEmbeddings,
  similarity,
  type TokenEmbeddings,
} from '../../src/index.js'

const never = null as unknown as Model

test('SentenceEmbeddings without a parameter are the float32 ones', () => {
  const vectors = async (texts: string[]): Promise<SentenceEmbeddings> => embedCore.encode(texts)
  const row = async (): Promise<Float32Array> => (await vectors(['a'])).row(0)
  expectTypeOf(row).returns.resolves.toEqualTypeOf<Float32Array>()
  expectTypeOf<SentenceEmbeddings>().toEqualTypeOf<SentenceEmbeddings<'float32'>>()
})

test('the result follows precision and output', () => {
  const calls = () => ({
    plain: never.encode('a'),
    bytes: never.encode('a', { precision: 'int8' }),
    bits: never.encodeQuery('a', { precision: 'ubinary' }),
    tokens: never.encode('a', { output: 'token' }),
    first: encode('a', { precision: 'binary' }),
  })
  expectTypeOf(calls).returns.toEqualTypeOf<{
    plain: Promise<SentenceEmbeddings>
    bytes: Promise<SentenceEmbeddings<'int8'>>
    bits: Promise<SentenceEmbeddings<'ubinary'>>
    tokens: Promise<TokenEmbeddings>
    first: Promise<SentenceEmbeddings<'binary'>>
  }>()
})

test('similarity takes results, clones and bare numbers, and no quantised ones', () => {
  const calls = async () => {
    const rows = await never.encode('a')
    const bytes = await never.encode('a', { precision: 'int8' })
    await similarity(rows, structuredClone(rows))
    await similarity(new Float32Array(2), { data: rows.data, shape: rows.shape }, { dimension: 2 })
    // @ts-expect-error quantised vectors are not compared
    await similarity(rows, bytes)
  }
  expectTypeOf(calls).returns.resolves.toBeVoid()
})

test('Model is a class to ask for and not to construct', () => {
  const ask = (value: unknown): Model | null => (value instanceof Model ? value : null)
  expectTypeOf(ask).returns.toEqualTypeOf<Model | null>()
  // @ts-expect-error models come from load()
  const construct = () => new Model()
  expectTypeOf(construct).toBeFunction()
  expectTypeOf(load).returns.resolves.toEqualTypeOf<Model>()
})

test('options have a fixed set of names and values', () => {
  const wrong = () => {
    // @ts-expect-error not a pooling
    void never.encode('a', { pooling: 'average' })
    // @ts-expect-error not an option
    void never.encode('a', { batchSize: 5 })
    // @ts-expect-error not a device
    void load('x', { device: 'gpu' })
    // @ts-expect-error not the number of a device
    void load('x', { device: 'cuda:x' })
    void load('x', { device: 'cuda:1' })
  }
  expectTypeOf(wrong).toBeFunction()
})

test('evaluate: one result for an evaluator, one of all for several; encoders besides models', () => {
  const pairs = { task: 'sts', data: 'dev.csv' } as const
  const calls = () => ({
    one: evaluate(never, pairs),
    several: embedCore.evaluate(never, [pairs, { task: 'bitext', data: [] }], { batchSize: 8 }),
    encoder: evaluate({ encode: async () => ({ data: new Float32Array(2), shape: [1, 2] as const }) }, pairs),
  })
  expectTypeOf(calls).returns.toEqualTypeOf<{
    one: Promise<Evaluation>
    several: Promise<Evaluations>
    encoder: Promise<Evaluation>
  }>()
  const wrong = () => {
    // @ts-expect-error not a task
    void evaluate(never, { task: 'summarization', data: 'x.csv' })
    // @ts-expect-error not an option of this task
    void evaluate(never, { task: 'bitext', data: 'x.csv', precision: 'int8' })
  }
  expectTypeOf(wrong).toBeFunction()
})
