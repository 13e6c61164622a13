/** Runs of child-run.mjs, and how they end. */
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process'
import path from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { TrainOptions } from '../../src/train/types.js'

export interface ChildLine {
  type: string
  step?: number
  code?: string
  message?: string
  dimension?: number
}

const SCRIPT = path.join(import.meta.dirname, 'child-run.mjs')

export class ChildRun {
  readonly lines: ChildLine[] = []
  /** null = killed. */
  readonly ended: Promise<number | null>
  errors = ''
  private readonly child: ChildProcessByStdio<Writable, Readable, Readable>
  private readonly waiting: { is: (line: ChildLine) => boolean; resolve: () => void }[] = []

  /** `more`: rows that come after `goOn`. */
  constructor(options: TrainOptions & { more?: object[] }) {
    this.child = spawn(process.execPath, [SCRIPT], { stdio: ['pipe', 'pipe', 'pipe'] })
    let rest = ''
    this.child.stdout.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split('\n')
      rest = parts.pop()!
      for (const part of parts) this.take(JSON.parse(part) as ChildLine)
    })
    this.child.stderr.on('data', (chunk: Buffer) => (this.errors += chunk.toString()))
    this.child.stdin.on('error', () => undefined) // It was killed.
    this.child.stdin.write(`${JSON.stringify(options)}\n`)
    this.ended = new Promise((resolve) => this.child.once('close', resolve))
  }

  /** Until a line has come, or the process has ended. */
  async until(is: (line: ChildLine) => boolean): Promise<void> {
    if (this.lines.some(is)) return
    await Promise.race([this.ended, new Promise<void>((resolve) => this.waiting.push({ is, resolve }))])
  }

  goOn(): void {
    this.child.stdin.write('\n')
  }

  kill(): void {
    this.child.kill('SIGKILL')
  }

  get pid(): number {
    return this.child.pid!
  }

  get error(): ChildLine | undefined {
    return this.lines.find(({ type }) => type === 'error')
  }

  private take(line: ChildLine): void {
    this.lines.push(line)
    for (const { is, resolve } of this.waiting) if (is(line)) resolve()
  }
}

/** Whether limits of a process that runs can be set (util-linux). */
export const canLimit =
  process.platform === 'linux' &&
  (() => {
    try {
      execFileSync('prlimit', ['--version'], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })()

/** `what`: fsize, the largest file it may write, or as, its address space. */
export function limit(run: ChildRun, what: 'fsize' | 'as', bytes: number): void {
  execFileSync('prlimit', ['--pid', String(run.pid), `--${what}=${bytes}`])
}
