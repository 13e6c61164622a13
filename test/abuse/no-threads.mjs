// The system refuses threads: a load, an encoding, a comparison and a disposal succeed or end with
// ERR_EMBEDCORE_THREAD_LIMIT, whichever thread is refused; they work again when threads are available; and the process
// ends.
import assert from 'node:assert/strict'
import { embedCore } from '../../dist/index.js'
import { failEach, reasonNotTo, runChildren } from './support/faults.mjs'
import { STACKS } from './support/models.mjs'

const EXPECTED = ['ERR_EMBEDCORE_THREAD_LIMIT']
const [what] = process.argv.slice(2)
const errors = []
const collect = (error) => void errors.push(error)

async function encode() {
  errors.length = 0
  const model = await embedCore.load(STACKS[0], { threads: 3 }).catch(collect)
  if (model === undefined) return errors
  await model.encode(['one', 'two texts']).catch(collect)
  await model.dispose()
  return errors
}

const compare = async () => {
  errors.length = 0
  const vectors = { data: Float32Array.from({ length: 64 }, (_, i) => i), shape: [4, 16] }
  await embedCore.similarity(vectors, vectors).catch(collect)
  return errors
}

if (what === undefined) {
  const reason = reasonNotTo()
  if (reason !== null) console.log(`not run: ${reason}`)
  else runChildren(import.meta.url, [['encode'], ['compare']])
} else {
  const attempt = what === 'encode' ? encode : compare
  const seen = await failEach('threads', EXPECTED, attempt)
  assert(seen.ERR_EMBEDCORE_THREAD_LIMIT > 0)
  assert.deepEqual(await encode(), [])
  assert.deepEqual(await compare(), [])
  console.log(JSON.stringify(seen))
}
