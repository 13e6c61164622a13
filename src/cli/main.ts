/** The `embedcore` executable: calls `runCli` with the streams and signals of the process. */
import type { Core } from './contract.js'
import { removeUnfinishedFiles } from './output/sink.js'
import { runCli } from './run.js'

/** Signals that end the run, and their exit codes (128 + number). */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

const stop = new AbortController()
let signalled: number | null = null
for (const [signal, code] of Object.entries(SIGNALS)) {
  process.on(signal, () => {
    // At the first signal, work stops between layers and unfinished files are removed. The second does not wait.
    if (signalled !== null) process.exit(code)
    signalled = code
    stop.abort()
  })
}
process.on('exit', removeUnfinishedFiles)

const { stdin, stdout, stderr } = process
// The run continues when the reader of stderr has ended.
stderr.on('error', () => undefined)
// Prints warnings without Node's additions (process id, trace flag). Each code is printed once, because every batch of
// a large file may repeat it.
process.removeAllListeners('warning')
const warned = new Set<string>()
const UNKNOWN_TEXTS =
  'there are texts with only tokens that the tokenizer does not know: their vectors say nothing about them ' +
  '("unknown" in jsonl output counts such tokens); use a model that was trained on their language'
process.on('warning', ({ message, code }: Error & { code?: string }) => {
  if (code !== undefined && warned.has(code)) return
  if (code !== undefined) warned.add(code)
  // The library numbers the texts of one call, which is one batch of many here.
  stderr.write(`embedcore: warning: ${code === 'EMBEDCORE_UNKNOWN_TEXT' ? UNKNOWN_TEXTS : message}\n`)
})

const code = await runCli(process.argv.slice(2), {
  core: async () => (await import('../index.js')).embedCore satisfies Core,
  stdin,
  stdout,
  stderr,
  isTTY: { stdin: stdin.isTTY === true, stdout: stdout.isTTY === true, stderr: stderr.isTTY === true },
  signal: stop.signal,
})
process.exitCode = signalled ?? code
// Standard input may still be open (a pipe whose writer is alive), but nobody reads it any more.
stdin.destroy()
