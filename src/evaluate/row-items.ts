/** What is kept of the rows of a table besides their scores: the groups of the views, and a digest of the data. */
import { createHash } from 'node:crypto'
import type { Slices } from './slices.js'
import type { Row, Value } from './table.js'
import { type CheckedViews, ViewLabels } from './views.js'

export class RowItems {
  private readonly labels: ViewLabels
  private readonly hash = createHash('sha256')
  private rows = 0

  /** `own`: columns of the rows before those of the views; the first of them is the text whose length counts. */
  constructor(
    views: CheckedViews,
    private readonly own: number,
  ) {
    this.labels = new ViewLabels(views)
  }

  add(row: Row): void {
    this.hash.update(JSON.stringify(row.slice(0, this.own)) + '\n')
    this.labels.add(row.slice(this.own) as (string | number)[], textOf(row[0]!))
    this.rows++
  }

  get count(): number {
    return this.rows
  }

  async details(slices: Slices): Promise<{ ids: null; groups: Record<string, string[]> | undefined; digest: string }> {
    return { ids: null, groups: await this.labels.groups(slices), digest: this.hash.copy().digest('hex') }
  }
}

const textOf = (value: Value): string => (typeof value === 'object' ? value.join(' ') : String(value))
