/**
 * The parent's side of a peer: one child process, one command at a time. A child that dies or refuses rejects with a
 * reason.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { BENCH } from './paths.mjs'
import { preparePython } from './setup.mjs'

/** Longer than any command should take, so that a library that hangs does not stop the bench. */
const COMMAND_SECONDS = 180

/**
 * Thread pools of some libraries spin for a while after their last job. They must be asleep before the next peer is
 * timed.
 */
export const SETTLE_MS = 60

export class Peer {
  #child
  #waiting = null
  #noise = ''

  constructor(spec, say) {
    this.spec = spec
    const runner = join(BENCH, 'peers', spec.runner)
    const command = spec.python ? preparePython(say) : process.execPath
    this.#child = spawn(command, [runner], { cwd: BENCH, stdio: ['pipe', 'ignore', 'pipe', 'pipe'] })
    this.#child.stderr.on('data', (data) => (this.#noise = (this.#noise + data).slice(-4000)))
    this.#child.stdin.on('error', () => {}) // reported by 'close'
    this.#child.on('error', (error) => this.#settle({ error: `${command} could not be started: ${error.message}` }))
    // 'close' and not 'exit': only then has all of stderr been read.
    this.#child.on('close', (code, signal) =>
      this.#settle({
        error: `its process ended (${signal ?? `exit code ${code}`}) ${this.#noise.trim().split('\n').at(-1)}`.trim(),
      }),
    )
    createInterface({ input: this.#child.stdio[3] }).on('line', (line) => this.#settle(JSON.parse(line)))
  }

  #settle({ ok, error }) {
    const waiting = this.#waiting
    this.#waiting = null
    if (!waiting) return
    clearTimeout(waiting.timer)
    if (error === undefined) waiting.resolve(ok)
    else waiting.reject(new Error(error))
  }

  /** Sends one command and waits for its answer. */
  send(cmd, fields = {}) {
    return new Promise((resolve, reject) => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        return reject(new Error('its process has ended'))
      const seconds = this.spec.commandSeconds ?? COMMAND_SECONDS
      const timer = setTimeout(() => {
        this.#child.kill('SIGKILL')
        this.#settle({ error: `no answer to "${cmd}" in ${seconds} s` })
      }, seconds * 1000)
      this.#waiting = { resolve, reject, timer }
      this.#child.stdin.write(JSON.stringify({ cmd, ...fields }) + '\n')
    })
  }

  /** Tells the child to exit, and kills it if it does not. */
  stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.stdin.end(JSON.stringify({ cmd: 'exit' }) + '\n')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5000)
    this.#child.once('exit', () => clearTimeout(timer))
  }
}

/** Starts a peer with a model loaded; context: { model, threads, texts, say }. Returns { peer, loaded }. */
export async function startPeer(spec, { model, threads, texts, say }) {
  const peer = new Peer(spec, say)
  try {
    const { directory, folder, layout, packageVersion } = model
    const loaded = await peer.send('load', {
      options: { ...spec.options, model: { directory, folder, layout, packageVersion }, threads },
      texts: texts.path,
    })
    return { peer, loaded }
  } catch (error) {
    peer.stop()
    throw error
  }
}
