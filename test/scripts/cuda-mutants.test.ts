// What scripts/cuda-mutants.mjs changes of a kernel: only the code of GPU functions, and nothing that is not code.
import { readFileSync, readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

import { inRandomOrder } from '../../scripts/cuda-mutants/choose.mjs'
import { KINDS, changed, mutationsOf } from '../../scripts/cuda-mutants/mutations.mjs'
import { closing, gpuBodies, tokenize } from '../../scripts/cuda-mutants/tokens.mjs'

const KERNEL = `#define UNROLLED if (i < 2)
// sync_block();
constexpr int kBefore = 1 + 2;
template <int kStages, bool kWide = (kBefore > 1)>
struct Kernel {
  static constexpr const char* kName = "sync_block(); 1 + 1";  /* if (a < b) */
  GPU explicit Kernel(const Args& args) : args_(args), row_(lane_index() / 4) {
    float sums[4][8] = {}, *to;
    copy_async_wait<kStages - 2>();
    sync_block();
    if (kWide && row_ < args.rows) sums[row_][0] = shuffle_xor(sums[row_][0], 2) * 0.5f;
    static_cast<Pair<Pair<int>>*>(args.p)->value >>= 2;
  }
};
int host(int a) { return a + 1; }
`
const texts = (kind: string) =>
  mutationsOf(KERNEL)
    .filter((mutation) => mutation.kind === kind)
    .map((mutation) => mutation.new)

describe('the changes of a kernel', () => {
  it('leave comments, strings, directives, templates and the host alone', () => {
    const body = KERNEL.indexOf(': args_(args)')
    const end = KERNEL.indexOf('\n};')
    const mutations = mutationsOf(KERNEL)
    expect(mutations.length).toBeGreaterThan(15)
    for (const { start, end: stop } of mutations) {
      expect(start).toBeGreaterThan(body)
      expect(stop).toBeLessThan(end)
    }
    expect(mutations.filter(({ old }) => old.includes('Pair<'))).toHaveLength(2) // the 2 of >>= 2, up and down
  })

  it('are of every kind', () => {
    expect(texts('barrier')).toEqual([';'])
    expect(texts('stage')).toEqual(['copy_async_wait<kStages - 2 + 1>();'])
    expect(texts('condition')).toEqual([
      'if (!(kWide && row_ < args.rows)) sums[row_][0] = shuffle_xor(sums[row_][0], 2) * 0.5f;',
      'if (kWide || row_ < args.rows) sums[row_][0] = shuffle_xor(sums[row_][0], 2) * 0.5f;',
    ])
    expect(texts('constant')).toEqual([
      'if (kWide && row_ < args.rows) sums[row_][0] = shuffle_xor(sums[row_][0], 2) * (0.5f / 2);',
    ])
    expect(texts('lane')).toContain('GPU explicit Kernel(const Args& args) : args_(args), row_(lane_index() % 4) {')
    expect(texts('lane')).toContain(
      'if (kWide && row_ < args.rows) sums[row_][0] = shuffle_xor(sums[row_][0], 2 ^ 1) * 0.5f;',
    )
    expect(texts('address')).toContain(
      'if (kWide && row_ < args.rows) sums[row_][0] = shuffle_xor(sums[row_][0], 2) + 0.5f;',
    )
    expect(texts('bound')).toContain(
      'if (kWide && row_ <= args.rows) sums[row_][0] = shuffle_xor(sums[row_][0], 2) * 0.5f;',
    )
    // The size of an array is no index.
    expect(texts('bound').filter((text) => text.startsWith('float sums'))).toEqual([])
  })

  it('change one line of the sources of cuda/, whose brackets all match', () => {
    const names = readdirSync('cuda').filter((name) => /\.cuh?$/.test(name))
    const found = new Set<string>()
    for (const name of names) {
      const text = readFileSync(`cuda/${name}`, 'utf8')
      const tokens = tokenize(text)
      for (const [from, to] of gpuBodies(tokens)) expect(tokens[to - 1]?.text, `${name}, from token ${from}`).toBe('}')
      tokens.forEach((token, i) => {
        if ('({['.includes(token.text) && token.type === 'sign') expect(closing(tokens, i)).toBeLessThan(tokens.length)
      })
      for (const mutation of mutationsOf(text)) {
        found.add(mutation.kind)
        expect(text.split('\n')[mutation.line - 1]?.trim()).toBe(mutation.old)
        expect(changed(text, mutation).split('\n')[mutation.line - 1]?.trim()).toBe(mutation.new)
      }
    }
    expect([...found].sort()).toEqual(Object.keys(KINDS).sort())
  })

  it('are chosen by the seed, kinds and files in turn', () => {
    const mutants = ['a', 'b'].flatMap((file) =>
      Object.keys(KINDS).flatMap((kind) => Array.from({ length: 5 }, (_, start) => ({ file, kind, start }))),
    )
    const order = inRandomOrder(mutants, 1)
    expect(inRandomOrder(mutants, 1)).toEqual(order)
    expect(inRandomOrder(mutants, 2)).not.toEqual(order)
    expect(new Set(order)).toEqual(new Set(mutants))
    const count = Object.keys(KINDS).length
    expect(new Set(order.slice(0, count).map(({ kind }) => kind)).size).toBe(count)
    for (const kind of Object.keys(KINDS))
      expect(
        new Set(
          order
            .slice(0, 2 * count)
            .filter((one) => one.kind === kind)
            .map(({ file }) => file),
        ).size,
      ).toBe(2)
  })
})
