/** Rows that cannot be used: counted, located, and then refused or skipped as asked. Never dropped without a word. */
import { EmbedCoreError } from '../../core/errors.js'
import { clip } from '../../core/show.js'

export const BAD_ROW_POLICIES = ['error', 'skip'] as const
/** What happens to a row that cannot be used: the data are refused, or it is left out and reported. */
export type BadRowPolicy = (typeof BAD_ROW_POLICIES)[number]

/** A row that cannot be used. */
export interface BadRow {
  /** Path of the file, or name of the source. */
  readonly file: string
  /** Line of a file, counted from 1; number of a row in memory or in parquet, counted from 0. */
  readonly line: number
  /** `data.jsonl:17`, `rows[16]` or `row 16 of data.parquet`. */
  readonly place: string
  readonly reason: string
}

export interface BadRowReport {
  readonly count: number
  /** The first of them, at most 100. */
  readonly first: readonly BadRow[]
}

const KEPT = 100
const SHOWN = 5
/** A source with more bad rows than this is not the data that was meant; reading on says nothing new. */
const ENOUGH = 1000

export class BadRows implements BadRowReport {
  count = 0
  readonly first: BadRow[] = []

  constructor(readonly policy: BadRowPolicy) {}

  /** @throws ERR_EMBEDCORE_INVALID_DATA under `error`, once there are very many. */
  add(bad: BadRow): void {
    this.count++
    if (this.first.length < KEPT) this.first.push({ ...bad, reason: clip(bad.reason, 300) })
    if (this.policy === 'error' && this.count >= ENOUGH) this.refuse('at least ')
  }

  /** At the end of a source. @throws ERR_EMBEDCORE_INVALID_DATA under `error`, when there is one. */
  settle(): void {
    if (this.policy === 'error' && this.count > 0) this.refuse('')
  }

  /** The first rows and their number, for messages. */
  summary(): string {
    const shown = this.first.slice(0, SHOWN).map(({ place, reason }) => `${place}: ${reason}`)
    const rest = this.count - shown.length
    return shown.join('; ') + (rest > 0 ? `; and ${rest} more` : '')
  }

  private refuse(least: string): never {
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_DATA',
      `Expected rows that can be read but found ${least}${this.count} that cannot ` +
        "(onBadRow: 'skip' leaves them out): " +
        this.summary(),
    )
  }
}
