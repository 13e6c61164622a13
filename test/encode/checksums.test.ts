/**
 * Every vector keeps its bits from one version to the next, in every dtype on every instruction set: checksums of the
 * golden models' and stacks' vectors. A change that intentionally changes bits writes the file again with
 * EMBEDCORE_WRITE_CHECKSUMS=1 and says so in its commit.
 */
import { createHash } from 'node:crypto'
import { readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { embedCore, type EncodeOptions } from '../../src/index.js'
import type { RawPlanOptions } from '../../src/core/binding.js'
import { native } from '../../src/core/native.js'
import { GOLDEN, readJson } from '../support/golden.js'
import { encodeIds, loadDirectory } from '../support/raw.js'

const FILE = path.join(GOLDEN, 'checksums.json')
const WRITE = process.env.EMBEDCORE_WRITE_CHECKSUMS === '1'
const DTYPES = ['float32', 'bfloat16', 'int8'] as const
type Sums = Record<string, Record<string, Record<string, string>>>
const sums = readJson<Sums>(FILE)
const forced = process.env.EMBEDCORE_CPU_ISA

afterAll(() => {
  if (forced === undefined) delete process.env.EMBEDCORE_CPU_ISA
  else process.env.EMBEDCORE_CPU_ISA = forced
  if (WRITE) writeFileSync(FILE, `${JSON.stringify(sums, null, 1)}\n`)
})

function checksum(parts: readonly Float32Array[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
  return hash.digest('hex').slice(0, 16)
}

/** Recorded later, on the instruction sets of one machine; the others have no checksum of these yet. */
const LATER: readonly string[] = ['stack/decoder-cls-first', 'stack/decoder-cls-last']

function check(isa: string, dtype: string, name: string, parts: readonly Float32Array[]): void {
  const found = checksum(parts)
  if (WRITE) ((sums[isa] ??= {})[dtype] ??= {})[name] = found
  const recorded = sums[isa]?.[dtype]?.[name]
  if (recorded === undefined && LATER.includes(name)) return
  expect(found).toBe(recorded)
}

const PLAN: RawPlanOptions = {
  pooling: ['mean'],
  layers: [],
  fusion: 'mean',
  attention: [],
  output: 'sentence',
  normalize: null,
  dimensions: 0,
}
const PLANS: RawPlanOptions[] = [
  PLAN,
  { ...PLAN, pooling: ['cls', 'max', 'mean_sqrt_len', 'weightedmean', 'lasttoken'], attention: ['causal'] },
  { ...PLAN, layers: [0, 1, 2], attention: ['prefix'], normalize: true, dimensions: 5 },
  { ...PLAN, layers: [2, 0], fusion: 'concat', attention: ['bidirectional'] },
  { ...PLAN, output: 'token' },
]

/** The texts of a model: the same numbers every time, short, long, and of one token. */
function texts(vocab: number, longest: number): Int32Array[] {
  let state = 12345
  const below = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
  return [1, 2, 7, 17, longest, 3, 33, 12].map((length) =>
    Int32Array.from({ length: Math.min(length, longest) }, () => 3 + below(vocab - 3)),
  )
}

const OPTIONS: EncodeOptions[] = [{}, { normalize: false }, { prompt: 'a ' }, { normalize: true, dimensions: 4 }]

for (const isa of [...native().cpu().features, 'reference']) {
  // An instruction set without recorded checksums cannot be compared.
  const recorded = WRITE || sums[isa] !== undefined
  describe.runIf(recorded).each(DTYPES)(`${isa}, %s`, (dtype) => {
    it.each(readdirSync(path.join(GOLDEN, 'models')))('model %s', async (name) => {
      process.env.EMBEDCORE_CPU_ISA = isa
      const directory = path.join(GOLDEN, 'models', name)
      const config = readJson<{ vocab_size: number; max_position_embeddings: number }>(
        path.join(directory, 'config.json'),
      )
      const model = await loadDirectory(directory, 1, dtype)
      const parts: Float32Array[] = []
      // RoBERTa's table has two positions fewer than the configuration says.
      for (const plan of PLANS)
        parts.push(
          await encodeIds(model, plan, texts(config.vocab_size, Math.min(config.max_position_embeddings - 2, 300))),
        )
      check(isa, dtype, `models/${name}`, parts)
      model.dispose()
    })

    it('stacks', async () => {
      process.env.EMBEDCORE_CPU_ISA = isa
      for (const name of readdirSync(path.join(GOLDEN, 'stack'))) {
        if (name.startsWith('refused-')) continue
        const model = await embedCore
          .load(path.join(GOLDEN, 'stack', name), { threads: 1 })
          .then((one) =>
            one.info.kind === 'static' || dtype === 'float32'
              ? one
              : embedCore.load(one.info.path, { dtype, threads: 1 }),
          )
        const golden = readJson<{ texts: string[] }>(path.join(GOLDEN, 'stack', name, 'golden.json'))
        const parts: Float32Array[] = []
        for (const options of OPTIONS)
          parts.push((await model.encode(golden.texts, options as { precision: 'float32' })).data)
        check(isa, dtype, `stack/${name}`, parts)
        await model.dispose()
      }
    })
  })
}
