/** Formats numbers and tables. */

export const number = (value, digits = 0) =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
export const percent = (value) =>
  value === null || value === undefined ? '-' : `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`
export const times = (value) => `${value.toFixed(value < 10 ? 2 : 1)}x`

/** Version, commit and date of a result. */
export function describeBuild({ version, commit, dirty, date }) {
  const state = `${commit?.slice(0, 9) ?? 'no commit'}${dirty ? ', changed since' : ''}`
  return `embedcore ${version} (${state}), ${date.slice(0, 10)}`
}

/** First column left, the others right. */
export function table(head, rows) {
  const all = [head, ...rows]
  const widths = head.map((_, c) => Math.max(...all.map((row) => row[c].length)))
  const line = (row) =>
    '  ' +
    row
      .map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join('  ')
      .trimEnd()
  return [line(head), '  ' + widths.map((w) => '-'.repeat(w)).join('  '), ...rows.map(line)].join('\n')
}
