/** What every bench asks of the package before it starts. */
import { expect, it } from 'vitest'
import { availableCores } from '../../bench/lib/package.mjs'
import { describeMachine } from '../../bench/lib/machine.mjs'

it('learns the number of cores and describes the machine', async () => {
  const cores = await availableCores()
  expect(cores).toBeGreaterThanOrEqual(1)
  expect(describeMachine(cores, cores)).toMatchObject({ physicalCores: cores })
})
