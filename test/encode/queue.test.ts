/** The engine's queue as callers see it: the order of service and the number of threads. No times are compared. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { embedCore } from '../../src/index.js'
import { GOLDEN, ROOT } from '../support/golden.js'

const STACK = path.join(GOLDEN, 'stack/mean-normalize')
const long = Array.from({ length: 8000 }, (_, i) => `some words that take a while ${i}`)

it.each([1, 2])('short calls do not wait behind a long one (%i threads)', async (threads) => {
  const model = await embedCore.load(STACK, { threads })
  const order: string[] = []
  const slow = model.encode(long).then(() => order.push('long'))
  for (let i = 0; i < 5; i++) await model.encode(`short ${i}`).then(() => order.push(`short ${i}`))
  await slow
  expect(order).toEqual(['short 0', 'short 1', 'short 2', 'short 3', 'short 4', 'long'])
  await model.dispose()
})

it('a stream of short calls does not starve a long one', async () => {
  const model = await embedCore.load(STACK, { threads: 1 })
  let finished = false
  let shorts = 0
  const slow = model.encode(long.slice(0, 600)).then(() => (finished = true))
  while (!finished && shorts < 20_000)
    shorts += (await Promise.all([model.encode('a'), model.encode('b'), model.encode('c')])).length
  expect(finished).toBe(true)
  await slow
  await model.dispose()
})

it('calls with different options at once get their own results', async () => {
  const model = await embedCore.load(STACK)
  const options = [
    {},
    { pooling: 'cls' },
    { dimensions: 4 },
    { layers: 1 },
    { attention: 'causal' },
    { normalize: false },
  ] as const
  const alone = []
  for (const one of options) alone.push(Array.from((await model.encode(['a text', 'another one'], one)).data))
  const rounds = await Promise.all(
    Array.from({ length: 60 }, (_, i) => model.encode(['a text', 'another one'], options[i % options.length])),
  )
  for (const [i, { data }] of rounds.entries()) expect(Array.from(data)).toEqual(alone[i % options.length])
  await model.dispose()
})

it('takes as many threads as it is told, else as the process may use', async (context) => {
  const asked = await embedCore.load(STACK, { threads: 3 })
  expect(asked.info.threads).toBe(3)
  await asked.dispose()
  if (!existsSync('/usr/bin/taskset')) return context.skip('taskset is not there')
  const script = `const { embedCore } = await import(${JSON.stringify(path.join(ROOT, 'dist/index.js'))})
    console.log((await embedCore.load()).info.threads)`
  const { stdout } = await promisify(execFile)('taskset', [
    '-c',
    '0',
    process.execPath,
    '--input-type=module',
    '-e',
    script,
  ])
  expect(stdout.trim()).toBe('1')
})
