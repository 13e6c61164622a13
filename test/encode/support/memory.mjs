// Measures the memory that is left after models were used and released, in a separate process: node --expose-gc
// memory.mjs WAY PACKAGE EXTERNAL PACKAGE: the built package. EXTERNAL: external.c beside this file, built as an addon.
// Prints one line of JSON, bytes all: how far resident memory (rss) and what V8 knows of memory outside its heap
// (external) are above the start.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { makeModel } from '../../support/made-model.mjs'

const [way, packageFile, externalFile] = process.argv.slice(2)
const { load } = await import(pathToFileURL(packageFile).href)
const { externalBytes } = createRequire(import.meta.url)(externalFile)
const SMALL = fileURLToPath(new URL('../../golden/stack/cls-dense-tanh', import.meta.url))
const ALLOWED = 16e6

const used = () => ({ rss: process.memoryUsage.rss(), external: externalBytes() })
const above = (start) => {
  const now = used()
  return { rss: now.rss - start.rss, external: now.external - start.external }
}

/** Collects until memory is near the start again; dropped models are freed by another thread some time later. */
async function collected(start) {
  let over
  for (let round = 0; round < 40; round++) {
    globalThis.gc()
    await sleep(25)
    over = above(start)
    if (over.rss < ALLOWED && over.external < ALLOWED) break
  }
  return over
}

const folder = mkdtempSync(join(tmpdir(), 'embedcore-memory-'))
const large = makeModel(join(folder, 'large'))

/** A LoRA adapter of the intermediate matrices of the large model, as PEFT saves it. */
function makeAdapter(directory, layers, rank) {
  const names = []
  for (let i = 0; i < layers; i++) names.push(`base_model.model.encoder.layer.${i}.intermediate.dense`)
  const header = {}
  let bytes = 0
  const add = (name, shape) => {
    const size = 4 * shape[0] * shape[1]
    header[name] = { dtype: 'F32', shape, data_offsets: [bytes, (bytes += size)] }
  }
  for (const name of names) {
    add(`${name}.lora_A.weight`, [rank, 384])
    add(`${name}.lora_B.weight`, [1536, rank])
  }
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  mkdirSync(directory)
  writeFileSync(join(directory, 'adapter_model.safetensors'), Buffer.concat([length, text, Buffer.alloc(bytes)]))
  writeFileSync(join(directory, 'adapter_config.json'), JSON.stringify({ peft_type: 'LORA', r: rank }))
  return directory
}

/** In a separate function, so that nothing holds the handle afterwards. */
async function useOnce(number, dispose) {
  const directory = join(folder, `copy-${number}`)
  cpSync(large, directory, { recursive: true })
  const model = await load(directory)
  await model.encode(`text ${number}`)
  if (dispose) await model.dispose()
  rmSync(directory, { recursive: true })
}

const WAYS = {
  /** 50 handles of as many models, half of them disposed. */
  async handles(start) {
    let held = 0
    for (let i = 0; i < 50; i++) {
      await useOnce(i, i % 2 === 0)
      held = Math.max(held, above(start).external)
    }
    return { held, ...(await collected(start)) }
  },

  /** Handles on the same files. */
  async shared(start) {
    const handles = await Promise.all([1, 2, 3, 4, 5].map((threads) => load(large, { threads })))
    const held = above(start).external
    const { weightBytes } = handles[0].info
    await handles.pop().dispose()
    const afterOne = above(start).external
    await Promise.all(handles.map((model) => model.dispose()))
    return { weightBytes, held, afterOne, ...above(start) }
  },

  /** A small model stays; the large one that was loaded before it goes. */
  async pinned(start) {
    const first = await load(large)
    const small = await load(SMALL)
    await Promise.all([first.encode('a'), small.encode('a')])
    const held = above(start).rss
    await first.dispose()
    const over = await collected(start)
    return { held, rows: (await small.encode('still there')).shape[0], ...over }
  },

  /** The memory that dispose() has freed when it resolves, without a collection or waiting. */
  async disposed(start) {
    const model = await load(large)
    const calls = Promise.allSettled(Array.from({ length: 8 }, (_, i) => model.encode(`a text ${i}`)))
    const held = above(start)
    await model.dispose()
    const over = above(start)
    return { held: held.rss, heldExternal: held.external, calls: (await calls).length, ...over }
  },

  /** Adapters beside a model that stays, used and unloaded. */
  async adapters(start) {
    const model = await load(large)
    const adapter = makeAdapter(join(folder, 'adapter'), 4, 512)
    await collected(start) // what was written
    const before = above(start)
    const names = Array.from({ length: 6 }, (_, i) => `${i}`)
    let bytes = 0
    for (const name of names) bytes += (await model.loadAdapter(adapter, { name })).weightBytes
    const held = above(start)
    const calls = Promise.allSettled(names.map((adapter) => model.encode('a text', { adapter })))
    await Promise.all(names.map((name) => model.unloadAdapter(name)))
    await calls
    const over = above(start)
    await model.dispose()
    return {
      bytes,
      held: held.external - before.external,
      heldRss: held.rss - before.rss,
      left: over.external - before.external,
      ...(await collected(start)),
    }
  },

  /** Loads that their signal ends, some before they have read anything, some later. */
  async aborted(start) {
    const codes = []
    for (let i = 0; i < 20; i++) {
      const stop = new AbortController()
      const loading = load(large, { signal: stop.signal }).then(
        () => codes.push('loaded'),
        (error) => codes.push(error.code),
      )
      await sleep(i % 5)
      stop.abort()
      await loading
    }
    return { codes, ...(await collected(start)) }
  },
}

/** Creates everything that stays before the first measurement: threads, code, the caches of V8. */
for (let i = 0; i < 3; i++) {
  const [model, small] = await Promise.all([load(large), load(SMALL)])
  await Promise.all([model.encode('a'), small.encode('a')])
  await model.dispose()
  await small.dispose()
}
globalThis.gc()
await sleep(50)
globalThis.gc()
const result = await WAYS[way](used())
rmSync(folder, { recursive: true })
console.log(JSON.stringify(result))
