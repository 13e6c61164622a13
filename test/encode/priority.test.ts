/** Workers run five nice levels below the process, at any priority of the process (Linux). */
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { GOLDEN, ROOT } from '../support/golden.js'

const SCRIPT = `
const { readdirSync, readFileSync } = require('node:fs')
const addon = require(${JSON.stringify(path.join(ROOT, 'native/binding/load.cjs'))})
// The 19th field of a thread's stat, counted from after the name in parentheses.
const nices = () =>
  readdirSync('/proc/self/task').map((task) =>
    Number(readFileSync('/proc/self/task/' + task + '/stat', 'utf8').replace(/^.*\\) /, '').split(' ')[16]))
const before = nices()
const options = { kind: 'transformer', directory: ${JSON.stringify(path.join(GOLDEN, 'models/bert'))}, modules: [],
  layerWeights: null, dtype: 'float32', threads: 3, maxBatchTokens: 4096, maxQueueTokens: 1 << 20 }
addon.load(options, (error, model) => {
  if (error) throw error
  const plan = model.plan({ pooling: ['mean'], layers: [], fusion: 'mean', attention: [], output: 'sentence',
    normalize: null, dimensions: 0 })
  const out = new Float32Array(plan.dimension)
  const batch = { ids: Int32Array.of(5, 6), offsets: Int32Array.of(0, 2), skip: null, prefix: null }
  model.call(plan, out).submit(batch, 0, (failed) => {
    if (failed) throw failed
    // Workers lower their priority as they begin, which may be later than the first batch.
    const look = (times) => {
      const after = nices()
      const lower = after.filter((nice) => nice > before[0]).length
      if (times === 0 || lower >= 3) console.log(JSON.stringify({ before, after }))
      else setTimeout(look, 10, times - 1)
    }
    look(500)
  })
})
`

describe.runIf(process.platform === 'linux')('priority of the workers', () => {
  it.each([0, 10, 17])('at nice %i', (nice) => {
    const printed = execFileSync('nice', ['-n', String(nice), process.execPath, '-e', SCRIPT], { encoding: 'utf8' })
    const { before, after } = JSON.parse(printed) as { before: number[]; after: number[] }
    const own = before[0]!
    expect(new Set(before)).toEqual(new Set([own]))
    const lowered = Math.min(own + 5, 19)
    expect(after.filter((value) => value === lowered).length).toBeGreaterThanOrEqual(
      own === lowered ? before.length : 3,
    )
    expect(after.every((value) => value === own || value === lowered)).toBe(true)
  })
})
