/**
 * A text's vector is the same to the last bit alone, in any batch, in any order, with any number of threads, and during
 * other calls.
 */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { RawModel, RawPlan } from '../../src/core/binding.js'
import type { AttentionMode } from '../../src/core/names.js'
import { native } from '../../src/core/native.js'
import { GOLDEN, readJson } from '../support/golden.js'
import { loadDirectory } from '../support/raw.js'

const MODELS = path.join(GOLDEN, 'models')
const PATHS = [...native().cpu().features, 'reference']
const forced = process.env.EMBEDCORE_CPU_ISA

afterAll(() => {
  if (forced === undefined) delete process.env.EMBEDCORE_CPU_ISA
  else process.env.EMBEDCORE_CPU_ISA = forced
})

/** A small generator, so that a failure can be repeated. */
function numbers(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function shuffled(count: number, below: (n: number) => number): number[] {
  const order = Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = below(i + 1)
    ;[order[i], order[j]] = [order[j]!, order[i]!]
  }
  return order
}

function rows(model: RawModel, plan: RawPlan, texts: readonly Int32Array[]): Promise<Float32Array> {
  const offsets = new Int32Array(texts.length + 1)
  for (const [i, text] of texts.entries()) offsets[i + 1] = offsets[i]! + text.length
  const ids = new Int32Array(offsets.at(-1)!)
  for (const [i, text] of texts.entries()) ids.set(text, offsets[i])
  const prefix = Int32Array.from(texts, (text) => text.length >> 1)
  const out = new Float32Array(texts.length * plan.dimension)
  return new Promise((resolve, reject) => {
    model
      .call(plan, out)
      .submit({ ids, offsets, skip: null, prefix }, 0, (error) => (error ? reject(error) : resolve(out)))
  })
}

/** The texts whose vectors differ in any bit from those that they have alone. */
function differing(
  found: Float32Array,
  alone: readonly Float32Array[],
  order: readonly number[],
  width: number,
): number[] {
  const bits = new Uint32Array(found.buffer, found.byteOffset, found.length)
  return order.filter((text, place) => {
    const expected = new Uint32Array(alone[text]!.buffer)
    return expected.some((value, i) => value !== bits[place * width + i])
  })
}

describe.each(PATHS)('bit-identical on %s', (isa) => {
  it.each(readdirSync(MODELS))('%s', { timeout: 120_000 }, async (name) => {
    process.env.EMBEDCORE_CPU_ISA = isa
    const directory = path.join(MODELS, name)
    const config = readJson<{ vocab_size: number; max_position_embeddings: number }>(
      path.join(directory, 'config.json'),
    )
    const below = numbers(7)
    // RoBERTa's table has two positions fewer than the configuration says.
    const longest = Math.min(config.max_position_embeddings - 2, 90)
    const texts = Array.from({ length: 24 }, () =>
      Int32Array.from({ length: 1 + below(longest) }, () => 3 + below(config.vocab_size - 3)),
    )
    const modes: AttentionMode[][] = [[], ['causal'], ['bidirectional'], ['prefix']]
    const one = await loadDirectory(directory, 1)
    const plans = modes.map((attention) => ({
      pooling: ['mean' as const],
      layers: [],
      fusion: 'mean' as const,
      attention,
      output: 'sentence' as const,
      normalize: true,
      dimensions: 0,
    }))
    for (const options of plans) {
      const plan = one.plan(options)
      const alone: Float32Array[] = []
      for (const text of texts) alone.push(await rows(one, plan, [text]))
      expect(new Set(alone.map((row) => row.join())).size, 'different texts have different vectors').toBeGreaterThan(
        texts.length / 2,
      )
      for (const threads of [1, 2, 3]) {
        const model = await loadDirectory(directory, threads)
        const same = model.plan(options)
        // Two simultaneous calls in different orders, and a third that is cut into small pieces.
        const [a, b] = [shuffled(texts.length, below), shuffled(texts.length, below)]
        const [first, second, ...small] = await Promise.all([
          rows(
            model,
            same,
            a.map((i) => texts[i]!),
          ),
          rows(
            model,
            same,
            b.map((i) => texts[i]!),
          ),
          ...[0, 8, 16].map((start) => rows(model, same, texts.slice(start, start + 8))),
        ])
        expect(differing(first, alone, a, plan.dimension), `${threads} threads`).toEqual([])
        expect(differing(second, alone, b, plan.dimension), `${threads} threads`).toEqual([])
        for (const [i, part] of small.entries())
          expect(
            differing(part, alone, texts.map((_, k) => k).slice(8 * i, 8 * i + 8), plan.dimension),
            `${threads} threads`,
          ).toEqual([])
        model.dispose()
      }
    }
    one.dispose()
  })
})
