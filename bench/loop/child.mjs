/**
 * Runs one case of `npm run bench:loop`. Argument: JSON of { name, directory, texts, runs, options,
 * clients, seconds }. Prints one line of JSON.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { importPackage } from '../lib/package.mjs'
import { CASES, TAIL_MS } from './cases.mjs'
import { runClients } from './clients.mjs'
import { measureLoop } from './meter.mjs'

/** The control lasts about as long as the case, within these bounds. */
const CONTROL_MS = { least: 300, most: 2000 }

async function measureCase(one, context, runs) {
  const state = await one.setup(context)
  const out = []
  for (let run = 0, controlMs = CONTROL_MS.least; run < runs; run++) {
    const idle = await measureLoop(() => sleep(controlMs))
    const prepared = await one.prepare?.(state)
    const { longest, seconds, value } = await measureLoop(async () => {
      const start = performance.now()
      const value = await one.task(state, prepared)
      const seconds = (performance.now() - start) / 1000
      await sleep(TAIL_MS)
      return { value, seconds }
    }).then(({ longest, value }) => ({ longest, ...value }))
    await one.finish?.(value)
    controlMs = Math.min(CONTROL_MS.most, Math.max(CONTROL_MS.least, 1000 * seconds))
    out.push({ seconds, delayMs: longest.delayMs, waitedMs: longest.waitedMs, idleDelayMs: idle.longest.delayMs })
  }
  return out
}

async function measureClients({ embedCore, directory, options, sets }, { runs, clients, seconds }) {
  const model = await embedCore.load(directory, options)
  await runClients(model, sets.query.texts, clients, 0.3) // warm-up
  const out = []
  for (let run = 0; run < runs; run++) out.push(await runClients(model, sets.query.texts, clients, seconds))
  return out
}

async function measure(given) {
  const { sets } = JSON.parse(readFileSync(given.texts, 'utf8'))
  const context = { embedCore: await importPackage(), directory: given.directory, options: given.options, sets }
  return given.name === 'clients' ? measureClients(context, given) : measureCase(CASES[given.name], context, given.runs)
}

try {
  const result = await measure(JSON.parse(process.argv[2]))
  process.stdout.write(JSON.stringify(result) + '\n', () => process.exit(0))
} catch (error) {
  // One line, for the table of the parent.
  process.stderr.write(`${error.code ? `${error.code}: ` : ''}${error.message.replaceAll('\n', ' ')}\n`)
  process.exit(1)
}
