/** `log.jsonl`: the events of a run, a line each, for machines and for the report. */
import { type FileHandle, open, readFile } from 'node:fs/promises'
import path from 'node:path'
import { EmbedCoreError } from '../core/errors.js'
import { reason } from '../core/show.js'
import { writeFailure } from './checkpoint.js'
import { replaceFile } from './save.js'
import type { TrainingEvent } from './types.js'

export const LOG_FILE = 'log.jsonl'
/** Lines that are written together. */
const BUFFERED = 64

export class RunLog {
  private lines: string[] = []
  /** What the report shows, in the order in which it happened. */
  readonly events: TrainingEvent[] = []

  private constructor(
    private readonly file: string,
    private readonly handle: FileHandle,
  ) {}

  /** Of a run that goes on after `step`, what came later is removed: it happens again. */
  static async open(output: string, step: number): Promise<RunLog> {
    const file = path.join(output, LOG_FILE)
    const kept = step === 0 ? [] : (await readEvents(file)).filter((event) => !('step' in event) || event.step <= step)
    try {
      await replaceFile(file, kept.map((event) => `${JSON.stringify(event)}\n`).join(''))
      const log = new RunLog(file, await open(file, 'a'))
      log.events.push(...kept)
      return log
    } catch (error) {
      throw writeFailure(error, file)
    }
  }

  async add(event: TrainingEvent): Promise<void> {
    this.events.push(event)
    this.lines.push(`${JSON.stringify(event)}\n`)
    if (this.lines.length >= BUFFERED || event.type !== 'step') await this.flush()
  }

  async flush(): Promise<void> {
    if (this.lines.length === 0) return
    const text = this.lines.join('')
    this.lines = []
    try {
      await this.handle.appendFile(text)
    } catch (error) {
      throw writeFailure(error, this.file)
    }
  }

  async close(): Promise<void> {
    try {
      await this.flush()
    } finally {
      await this.handle.close()
    }
  }
}

/** A line that a killed process left unfinished is the last one, and is left out. */
async function readEvents(file: string): Promise<TrainingEvent[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Cannot read ${file}: ${reason(error)}`, { cause: error })
  }
  const events: TrainingEvent[] = []
  for (const line of text.split('\n').filter((one) => one !== '')) {
    try {
      events.push(JSON.parse(line) as TrainingEvent)
    } catch {
      continue
    }
  }
  return events
}
