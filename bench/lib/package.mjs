/** The package under test, as built by `npm run build`. */
import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { UsageError } from './options.mjs'
import { PACKAGE_ENTRY } from './paths.mjs'

/** Returns `embedCore`. */
export async function importPackage() {
  if (!existsSync(PACKAGE_ENTRY))
    throw new UsageError('The package is not built (dist/index.js is missing): run npm run build')
  return (await import(pathToFileURL(PACKAGE_ENTRY).href)).embedCore
}

/**
 * Physical cores this process may use, as the package itself counts them: its affinity mask, siblings of a core once,
 * and the quotas of its control groups. The peers get the same number of threads.
 */
export async function availableCores() {
  const embedCore = await importPackage()
  const cpu = (await embedCore.devices()).find(({ id }) => id === 'cpu')
  if (!cpu.usable) throw new UsageError(cpu.reason)
  const { cores } = cpu.detail
  if (!Number.isInteger(cores) || cores < 1) throw new Error(`devices() names ${cores} cores of the CPU`)
  return cores
}
