/**
 * A progress line on a terminal: progress, speed, remaining time. It is drawn at most ten times a second, and only on a
 * terminal.
 */
import type { Writable } from 'node:stream'
import type { DownloadProgress } from '../hub/types.js'
import type { StaticTrainingEvent } from '../static/train-types.js'
import type { DataProgress } from '../train/data/open.js'
import { compactNumber, duration } from './text.js'

const REDRAW_MS = 100
const BAR_CELLS = 24
const CLEAR_LINE = '\r\x1b[K'

export interface ProgressState {
  texts: number
  tokens: number
  /** 0 to 1, null when the end is not known. */
  share: number | null
}

export function progressLine({ texts, tokens, share }: ProgressState, seconds: number): string {
  const rate = (count: number) => compactNumber(seconds > 0 ? count / seconds : 0)
  const rates = `${compactNumber(texts)} texts  ${rate(texts)} texts/s  ${rate(tokens)} tokens/s`
  if (share === null) return `${rates}  ${duration(seconds)}`
  const eta = share > 0 ? `  ETA ${duration((seconds * (1 - share)) / share)}` : ''
  return `${bar(share)}  ${rates}${eta}`
}

/** A run of train: `share` of its updates, null when their number is not known. */
export interface TrainingState {
  step: number
  steps: number | null
  loss: number
  learningRate: number
  tokensPerSecond: number
  /** Since the run began, and the share of it that was done before. */
  seconds: number
  doneBefore: number
}

export function trainingLine(state: TrainingState): string {
  const { step, steps, loss, learningRate, tokensPerSecond, seconds, doneBefore } = state
  const numbers =
    `step ${step}${steps === null ? '' : `/${steps}`}  loss ${loss.toPrecision(4)}  ` +
    `lr ${learningRate.toExponential(1)}  ${compactNumber(tokensPerSecond)} tokens/s`
  if (steps === null) return `${numbers}  ${duration(seconds)}`
  const made = step - doneBefore
  const eta = made > 0 ? `  ETA ${duration((seconds * (steps - step)) / made)}` : ''
  return `${bar(step / steps)}  ${numbers}${eta}`
}

function bar(share: number): string {
  const filled = Math.round(share * BAR_CELLS)
  const percent = String(Math.floor(share * 100)).padStart(3)
  return `${'█'.repeat(filled)}${'░'.repeat(BAR_CELLS - filled)} ${percent} %`
}

export class Progress {
  #drawn = false
  #last = -Infinity
  readonly #begin = performance.now()

  constructor(
    readonly terminal: Writable,
    readonly active: boolean,
    readonly columns = (terminal as { columns?: number }).columns ?? 80,
  ) {}

  update(state: ProgressState): void {
    this.#draw(() => progressLine(state, (performance.now() - this.#begin) / 1000))
  }

  download({ file, loaded, total }: DownloadProgress): void {
    const share = total > 0 ? ` ${String(Math.floor((loaded / total) * 100)).padStart(3)} %` : ''
    this.#draw(() => `downloading ${file}${share}  ${(loaded / 2 ** 20).toFixed(1)} MiB`)
  }

  training(state: TrainingState): void {
    this.#draw(() => trainingLine(state))
  }

  reading({ source, rows }: DataProgress): void {
    this.#draw(() => `reading ${source}  ${compactNumber(rows)} rows`)
  }

  /** A run of `static train`. */
  words(event: Extract<StaticTrainingEvent, { type: 'progress' | 'reading' }>): void {
    this.#draw(() => {
      if (event.type === 'reading')
        return `reading  ${compactNumber(event.tokens)} tokens, ${compactNumber(event.words)} words`
      const { epoch, epochs, alpha, loss, tokensPerSecond, tokens, totalTokens } = event
      const left = tokensPerSecond > 0 ? `  ETA ${duration((totalTokens - tokens) / tokensPerSecond)}` : ''
      return (
        `${bar(tokens / totalTokens)}  epoch ${epoch.toFixed(2)}/${epochs}  loss ${loss.toPrecision(4)}  ` +
        `alpha ${alpha.toPrecision(3)}  ${compactNumber(tokensPerSecond)} words/s${left}`
      )
    })
  }

  /** Removes the line. */
  clear(): void {
    if (this.#drawn) this.terminal.write(CLEAR_LINE)
    this.#drawn = false
  }

  #draw(line: () => string): void {
    const now = performance.now()
    if (!this.active || now - this.#last < REDRAW_MS) return
    this.#last = now
    this.#drawn = true
    // A line that wraps could not be removed.
    this.terminal.write(CLEAR_LINE + line().slice(0, this.columns - 1))
  }
}
