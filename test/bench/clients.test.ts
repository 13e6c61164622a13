/** How bench:loop counts calls that later ones overtake. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { ROOT } from '../support/golden.js'

const { runClients } = await import(pathToFileURL(join(ROOT, 'bench/loop/clients.mjs')).href)

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('first come, first served: no call is overtaken', async () => {
  let last: Promise<unknown> = Promise.resolve()
  const inOrder = { encode: () => (last = last.then(turn)) }
  const result = await runClients(inOrder, ['a', 'b'], 4, 0.05)
  expect(result.overtaken).toBe(0)
  expect(result.calls).toBeGreaterThanOrEqual(4)
})

test('a call that waits for more later calls than there are clients counts as overtaken', async () => {
  let calls = 0
  let release = (): void => {}
  const blocked = new Promise<void>((resolve) => (release = resolve))
  const unfair = {
    encode: () => {
      if (++calls === 1) return blocked
      if (calls === 20) release()
      return turn()
    },
  }
  const { overtaken, calls: all } = await runClients(unfair, ['a'], 4, 0.5)
  expect(overtaken * all).toBeCloseTo(1)
})
