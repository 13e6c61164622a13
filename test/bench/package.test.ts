/** What every bench asks of the package before it starts. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it } from 'vitest'
import { ROOT } from '../support/golden.js'

const bench = (file: string) => import(pathToFileURL(join(ROOT, 'bench/lib', file)).href)

it('learns the number of cores and describes the machine', async () => {
  const { availableCores } = await bench('package.mjs')
  const { describeMachine } = await bench('machine.mjs')
  const cores = await availableCores()
  expect(cores).toBeGreaterThanOrEqual(1)
  expect(describeMachine(cores, cores)).toMatchObject({ physicalCores: cores })
})
