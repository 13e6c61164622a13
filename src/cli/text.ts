/** Text for terminals: display widths, aligned tables, short numbers. */

/** East Asian wide characters, block by block, and emoji. */
const WIDE = new RegExp(
  [
    '[\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\ua4cf\\ua960-\\ua97f\\uac00-\\ud7a3\\uf900-\\ufaff]',
    '[\\ufe30-\\ufe6f\\uff01-\\uff60\\uffe0-\\uffe6\\u{1f300}-\\u{1faff}\\u{20000}-\\u{3fffd}]',
    '\\p{Emoji_Presentation}',
  ].join('|'),
  'u',
)
const WITHOUT_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u

/** Cells that the text takes on a terminal: two for East Asian wide characters, none for combining marks. */
export function cells(text: string): number {
  let count = 0
  for (const character of text) count += WITHOUT_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1
  return count
}

/** One line of at most `most` cells; control characters become spaces, so that no text moves the cursor. */
export function label(text: string, most: number): string {
  const line = text.replace(/\p{Cc}+/gu, ' ')
  if (cells(line) <= most) return line
  let cut = ''
  for (const character of line) {
    if (cells(cut + character) > most - 1) break
    cut += character
  }
  return `${cut}…`
}

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - cells(text)))
}

export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - cells(text))) + text
}

/** `name   value` lines; a value of several lines is indented under itself. */
export function pairs(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...rows.map(([name]) => cells(name)))
  return rows
    .map(
      ([name, value]) =>
        `${padEnd(name, width)}  ${value.split('\n').join(`\n${' '.repeat(width + 2)}`)}`.trimEnd() + '\n',
    )
    .join('')
}

/** 1234567 -> 1.23 M. */
export function compactNumber(value: number): string {
  const [scaled, unit] =
    value >= 1e9
      ? [value / 1e9, ' G']
      : value >= 1e6
        ? [value / 1e6, ' M']
        : value >= 1e4
          ? [value / 1e3, ' k']
          : [value, '']
  return `${scaled >= 100 || unit === '' ? Math.round(scaled) : scaled.toPrecision(3)}${unit}`
}

export function bytes(value: number): string {
  return value >= 2 ** 30
    ? `${(value / 2 ** 30).toFixed(2)} GiB`
    : value >= 2 ** 20
      ? `${(value / 2 ** 20).toFixed(1)} MiB`
      : `${(value / 1024).toFixed(1)} KiB`
}

export function duration(seconds: number): string {
  const whole = Math.round(seconds)
  const two = (n: number) => String(n).padStart(2, '0')
  return whole >= 3600
    ? `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`
    : `${Math.floor(whole / 60)}:${two(whole % 60)}`
}
