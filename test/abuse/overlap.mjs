// Loads, calls, aborts and disposals overlap in every way; each call ends once, with rows or a coded error.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { embedCore } from '../../dist/index.js'
import { STACKS, texts } from './support/models.mjs'

const EXPECTED = new Set(['ERR_EMBEDCORE_ABORTED', 'ERR_EMBEDCORE_DISPOSED', 'ERR_EMBEDCORE_QUEUE_FULL'])
let state = 1
const below = (n) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % n
const seen = { rows: 0 }

async function once() {
  const model = await embedCore.load(STACKS[below(STACKS.length)], { threads: 1 + below(3), maxQueueTokens: 1000 })
  const calls = Array.from({ length: 1 + below(12) }, async () => {
    const stop = new AbortController()
    if (below(3) === 0) setTimeout(() => stop.abort(), below(8))
    const count = below(texts.length)
    try {
      const { shape } = await model.encode(texts.slice(0, count), {
        signal: stop.signal,
        output: below(4) === 0 ? 'token' : 'sentence',
      })
      assert.equal(shape.length, 2)
      seen.rows += shape[0]
    } catch (error) {
      assert(EXPECTED.has(error.code), error.stack)
      seen[error.code] = (seen[error.code] ?? 0) + 1
    }
  })
  if (below(2) === 0) await sleep(below(10))
  else await Promise.all(calls)
  await model.dispose()
  await Promise.all(calls)
}

for (let round = 0; round < 30; round++) await Promise.all([once(), once(), once()])
for (const code of EXPECTED) assert(seen[code] > 0, `${code} never came`)
assert(seen.rows > 0)
console.log(JSON.stringify(seen))
