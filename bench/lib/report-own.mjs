/** Tables of the cells that only our rows run (lib/own.mjs). */
import { number, percent, table, times } from './table.mjs'

const range = ({ min, max }, show) => `${show(min)} - ${show(max)}`
const whole = (value) => number(value)

const TABLES = {
  threads: {
    title: (r) => `one thread against ${r.settings.threads}, tokens/s`,
    head: ['row', 'cell', 'one', 'all', 'all : one', 'min - max'],
    row: (c) => [
      c.cell,
      number(c.oneTokensPerSecond.median),
      number(c.allTokensPerSecond.median),
      times(c.ratio.median),
      range(c.ratio, times),
    ],
  },
  long: {
    title: () => 'a text of 4,000 tokens against a batch of four, tokens/s',
    head: ['row', 'model', 'lone', 'batch', 'lone : batch', 'min - max'],
    row: (c) => [
      c.model,
      number(c.loneTokensPerSecond.median),
      number(c.batchTokensPerSecond.median),
      percent(c.share.median),
      range(c.share, percent),
    ],
  },
  load: {
    title: () => 'ten-token query, idle and under load, ms',
    head: ['row', 'idle p50', 'p99', 'loaded p50', 'p99', 'calls', 'layer of 256', 'p99 of bound', 'load tokens/s'],
    row: (c) => [
      number(c.idleMs.p50, 2),
      number(c.idleMs.p99, 2),
      number(c.busyMs.p50, 2),
      number(c.busyMs.p99, 2),
      number(c.busyMs.samples),
      number(c.layerMs, 2),
      percent(c.p99OverBound),
      number(c.backgroundTokensPerSecond.median),
    ],
  },
  start: {
    title: () => 'load to first vector in a fresh process, ms',
    head: ['peer', 'import included', 'min - max', 'import excluded', 'min - max'],
    row: (c) => [
      number(c.withImportMs.median),
      range(c.withImportMs, whole),
      number(c.withoutImportMs.median),
      range(c.withoutImportMs, whole),
    ],
  },
}

export function ownTables(r) {
  return Object.entries(r.own ?? {}).flatMap(([cell, byRow]) => {
    const { title, head, row } = TABLES[cell]
    const measured = Object.entries(byRow).filter(([, c]) => !c.failed)
    const failed = Object.entries(byRow)
      .filter(([, c]) => c.failed)
      .map(([id, c]) => `\n  ${id}: ${c.failed}`)
    if (measured.length === 0 && failed.length === 0) return []
    return [
      `${title(r)}\n${
        measured.length
          ? table(
              head,
              measured.map(([id, c]) => [id, ...row(c)]),
            )
          : ''
      }${failed.join('')}`,
    ]
  })
}
