/** Tables of text: the first column to the left, the others to the right. */
export function table(head, rows) {
  const all = [head, ...rows]
  const widths = head.map((_, c) => Math.max(...all.map((row) => row[c].length)))
  const line = (row) =>
    row
      .map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join('  ')
      .trimEnd()
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length
const cell = (value) => (value === undefined ? '-' : value.toFixed(3))

/** Mean, and the least and greatest of several. */
const cells = (values) =>
  values.length < 2 || values.includes(undefined)
    ? cell(values[0])
    : `${cell(mean(values))} (${cell(Math.min(...values))}-${cell(Math.max(...values))})`

/** The table of a task: floors, before, after; a column for each metric. */
export function taskTable({ metrics, floors, before, runs }) {
  const row = (title, values) => [title, ...metrics.map(([, key]) => cells(values.map((one) => one[key])))]
  const seeds = runs.map(({ seed }) => seed).join(', ')
  return table(
    ['', ...metrics.map(([title]) => title)],
    [
      ...Object.entries(floors).map(([title, values]) => row(title, [values])),
      row('before', [before]),
      row(
        `after, seed${runs.length > 1 ? 's' : ''} ${seeds}`,
        runs.map((run) => run.metrics),
      ),
    ],
  )
}
