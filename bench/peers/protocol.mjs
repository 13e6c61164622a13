/**
 * The child's side of a peer: reads one JSON command a line from stdin, answers one JSON line on file descriptor 3
 * (stdout and stderr belong to the libraries). sentence_transformers_peer.py speaks the same. A runner calls `serve`
 * with
 *
 *   load({ model, threads, ...options }) -> {
 *     version             of the library
 *     importedAt          performance.now() when the library had been imported (optional)
 *     run(input)          -> Float32Array, one row a text of the item
 *     tokenCounts(texts)  -> number[] (optional), as the library itself counts
 *     items(texts, size)  -> [{ input, order }] (optional): batches ready for run; order = indices of their texts. Not
 *     timed.
 *   }
 *
 * Commands: load, vectors, warm, round, latency, load_latency, stats, exit. Between commands the child sleeps, and its
 * own processor time while it does is counted.
 */
import { readFileSync, writeSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { peakRss } from '../lib/memory.mjs'
import { random, shuffle } from '../lib/random.mjs'
import { whileBusy } from './busy.mjs'

const ANSWERS = 3
const LATENCY_SAMPLES = { least: 20, most: 5000 }

function reply(message) {
  const line = Buffer.from(JSON.stringify(message) + '\n')
  for (let written = 0; written < line.length;) {
    try {
      written += writeSync(ANSWERS, line, written)
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error // a full pipe: the parent is reading
    }
  }
}

/** Batches of `size` texts in the given order, as a simple caller makes them. */
function plainItems(texts, size) {
  const items = []
  for (let at = 0; at < texts.length; at += size) {
    const input = texts.slice(at, at + size)
    items.push({ input, order: input.map((_, i) => at + i) })
  }
  return items
}

class Child {
  #runner = null
  #sets = null
  #cells = new Map()
  #idle = { seconds: 0, cpuSeconds: 0 }
  #slept = null

  #items(texts, size) {
    return (this.#runner.items ?? plainItems)(texts, size)
  }

  async load({ options, texts }, load) {
    this.#sets = JSON.parse(readFileSync(texts, 'utf8')).sets
    const start = performance.now()
    this.#runner = await load(options)
    const loadMs = performance.now() - start
    await this.#runner.run(this.#items([this.#sets.query.texts[0]], 1)[0].input)
    const importMs = this.#runner.importedAt === undefined ? null : this.#runner.importedAt - start
    return { version: this.#runner.version, importMs, loadMs, firstVectorMs: performance.now() - start }
  }

  /** One call for all texts, so that texts of different lengths share a batch as they do when timed. */
  async vectors({ set }) {
    const { texts } = this.#sets[set]
    const rows = Array(texts.length)
    for (const { input, order } of this.#items(texts, texts.length)) {
      const data = await this.#runner.run(input)
      const width = data.length / order.length
      order.forEach((text, row) => (rows[text] = Array.from(data.subarray(row * width, (row + 1) * width))))
    }
    return { vectors: rows, tokenCounts: (await this.#runner.tokenCounts?.(texts)) ?? null }
  }

  /** Batches of a cell in a seeded order; a round continues where the last one ended, so that all are used. */
  #cell(set, batch) {
    const key = `${set}/${batch}`
    if (!this.#cells.has(key)) {
      const { texts, tokens } = this.#sets[set]
      const items = this.#items(texts, batch).map(({ input, order }) => ({
        input,
        texts: order.length,
        tokens: order.reduce((sum, i) => sum + tokens[i], 0),
      }))
      // The batches of a runner that sorts by length differ; if they are few, only a whole pass is a fair sample.
      const sizes = items.map((item) => item.tokens)
      const unit =
        this.#runner.items && items.length <= 16 && Math.max(...sizes) > 1.5 * Math.min(...sizes) ? items.length : 1
      this.#cells.set(key, { items: shuffle(items, random(1)), unit, next: 0 })
    }
    return this.#cells.get(key)
  }

  async warm({ set, batch }) {
    const { items } = this.#cell(set, batch)
    await this.#runner.run(items[0].input)
    return {}
  }

  async round({ set, batch, seconds }) {
    const cell = this.#cell(set, batch)
    const delay = monitorEventLoopDelay({ resolution: 1 })
    let tokens = 0
    let texts = 0
    let elapsed
    delay.enable()
    // Delays are counted from one tick to the next: there must be one before the work and one after it, or a blocked
    // loop shows none.
    await sleep(5)
    const start = performance.now()
    do {
      for (let i = 0; i < cell.unit; i++) {
        const item = cell.items[cell.next]
        cell.next = (cell.next + 1) % cell.items.length
        await this.#runner.run(item.input)
        tokens += item.tokens
        texts += item.texts
      }
      elapsed = (performance.now() - start) / 1000
    } while (elapsed < seconds)
    await sleep(5)
    delay.disable()
    return { tokens, texts, seconds: elapsed, eventLoopDelayP99Ms: delay.percentile(99) / 1e6 }
  }

  async latency({ seconds }) {
    const items = this.#cell('query', 1).items
    const samples = []
    const start = performance.now()
    for (let i = 0; samples.length < LATENCY_SAMPLES.most; i++) {
      const before = performance.now()
      await this.#runner.run(items[i % items.length].input)
      const after = performance.now()
      samples.push(after - before)
      if (after - start > seconds * 1000 && samples.length >= LATENCY_SAMPLES.least) break
    }
    return { samples }
  }

  /** Latency while long calls keep all threads busy. */
  async load_latency({ seconds, lanes, batch }) {
    const { texts, tokens } = this.#sets.mixed
    const long = { texts: texts.slice(0, batch), tokens: tokens.slice(0, batch).reduce((a, b) => a + b, 0) }
    return whileBusy(this.#runner.run, long, lanes, () => this.latency({ seconds }))
  }

  async stats() {
    return { peakRssBytes: peakRss(), rssBytes: process.memoryUsage.rss(), idle: this.#idle }
  }

  sleep() {
    this.#slept = { at: performance.now(), cpu: process.cpuUsage() }
  }

  wake() {
    if (!this.#slept) return
    const { user, system } = process.cpuUsage(this.#slept.cpu)
    this.#idle.seconds += (performance.now() - this.#slept.at) / 1000
    this.#idle.cpuSeconds += (user + system) / 1e6
  }
}

export async function serve(load) {
  const child = new Child()
  for await (const line of createInterface({ input: process.stdin })) {
    child.wake()
    const command = JSON.parse(line)
    if (command.cmd === 'exit') break
    try {
      if (!['load', 'vectors', 'warm', 'round', 'latency', 'load_latency', 'stats'].includes(command.cmd))
        throw new Error(`unknown command ${command.cmd}`)
      reply({ ok: await child[command.cmd](command, load) })
    } catch (error) {
      reply({
        error: error.code && !error.message.includes(error.code) ? `${error.code}: ${error.message}` : error.message,
      })
    }
    child.sleep()
  }
  process.exit(0)
}
