/** Bars with intervals, histograms and points as SVG pictures, for reports. */
import { BOTTOM, escapeHtml, extent, HEIGHT, label, LEFT, padded, RIGHT, ticks, TOP, WIDTH } from './chart.js'

export interface Bar {
  /** Bars of one group stand together. */
  group: string
  name: string
  value: number
  low?: number
  high?: number
  /** Of the palette, from 0. */
  color: number
}

const [BAR, GAP, NAMES] = [16, 8, 170]

/** Bars from 0 to the right (to the left below 0), with a line from `low` to `high`. Values that are NaN have none. */
export function bars(list: readonly Bar[]): string {
  const drawn = list.filter(({ value }) => Number.isFinite(value))
  if (drawn.length === 0) return ''
  const ends = drawn.flatMap(({ value, low, high }) => [value, low ?? value, high ?? value, 0])
  const [least, most] = extent(ends)
  const px = (value: number): number => NAMES + ((value - least) / (most - least || 1)) * (WIDTH - NAMES - RIGHT - 50)
  let y = TOP
  let group: string | null = null
  const rows = drawn.map((bar) => {
    const isFirst = bar.group !== group
    if (isFirst && group !== null) y += GAP
    group = bar.group
    const [from, to] = [px(Math.min(0, bar.value)), px(Math.max(0, bar.value))]
    const middle = y + BAR / 2
    const whisker =
      bar.low === undefined || bar.high === undefined
        ? ''
        : `<line class="whisker" x1="${fixed(px(bar.low))}" y1="${middle}" x2="${fixed(px(bar.high))}" y2="${middle}"/>`
    const end = fixed(px(Math.max(bar.value, bar.high ?? bar.value, 0)) + 5)
    const title = `${bar.group} ${bar.name}: ${label(bar.value)}${interval(bar)}`
    const picture =
      (isFirst
        ? `<text x="${NAMES - 8}" y="${middle}" dy="0.32em" text-anchor="end">` +
          `${escapeHtml(shortened(bar.group))}</text>`
        : '') +
      `<rect class="c${bar.color}" x="${fixed(from)}" y="${y}" width="${fixed(Math.max(1, to - from))}" ` +
      `height="${BAR - 3}" rx="2"><title>${escapeHtml(title)}</title></rect>${whisker}` +
      `<text x="${end}" y="${middle}" dy="0.32em">${label(bar.value)}</text>`
    y += BAR
    return picture
  })
  return svg(y + TOP, drawn.map(({ group: name }) => name).join(', '), rows.join(''))
}

const interval = ({ low, high }: Bar): string =>
  low === undefined || high === undefined ? '' : ` (${label(low)} to ${label(high)})`
const shortened = (text: string): string => ([...text].length > 24 ? `${[...text].slice(0, 23).join('')}…` : text)

export interface Sample {
  name: string
  values: readonly number[]
  color: number
}

const BINS = 20

/** Shares of the values in bins of equal width, as lines of steps. */
export function histogram(samples: readonly Sample[]): string {
  const known = samples
    .map((sample) => ({ ...sample, values: sample.values.filter(Number.isFinite) }))
    .filter(({ values }) => values.length > 0)
  if (known.length === 0) return ''
  const [least, most] = padded(...extent(known.flatMap(({ values }) => extent(values))))
  const shares = known.map(({ values }) => {
    const counts = new Array<number>(BINS).fill(0)
    for (const value of values) counts[Math.min(BINS - 1, Math.floor(((value - least) / (most - least)) * BINS))]! += 1
    return counts.map((count) => count / values.length)
  })
  const highest = Math.max(...shares.flat())
  const px = (value: number): number => LEFT + ((value - least) / (most - least)) * (WIDTH - LEFT - RIGHT)
  const py = (share: number): number => TOP + (1 - share / highest) * (HEIGHT - TOP - BOTTOM)
  const lines = known.map(({ name, color }, s) => {
    let path = `M${fixed(px(least))} ${fixed(py(0))}`
    shares[s]!.forEach((share, bin) => {
      const [from, to] = [bin, bin + 1].map((edge) => px(least + (edge / BINS) * (most - least)))
      path += `L${fixed(from!)} ${fixed(py(share))}L${fixed(to!)} ${fixed(py(share))}`
    })
    path += `L${fixed(px(most))} ${fixed(py(0))}`
    return `<path class="c${color}" d="${path}"><title>${escapeHtml(name)}</title></path>`
  })
  return svg(HEIGHT, known.map(({ name }) => name).join(', '), axes(least, most, 0, highest, px, py) + lines.join(''))
}

const MOST_POINTS = 2000

/** Points of two numbers each; of many, every so many. */
export function scatter(name: string, x: readonly number[], y: readonly number[], color: number): string {
  const step = Math.ceil(x.length / MOST_POINTS)
  const points = x.flatMap((value, i) => (i % step === 0 ? [[value, y[i]!] as const] : []))
  if (points.length === 0) return ''
  const [minX, maxX] = padded(...extent(points.map(([value]) => value)))
  const [minY, maxY] = padded(...extent(points.map(([, value]) => value)))
  const px = (value: number): number => LEFT + ((value - minX) / (maxX - minX)) * (WIDTH - LEFT - RIGHT)
  const py = (value: number): number => TOP + (1 - (value - minY) / (maxY - minY)) * (HEIGHT - TOP - BOTTOM)
  const dots = points.map(([a, b]) => `<circle class="c${color}" cx="${fixed(px(a))}" cy="${fixed(py(b))}" r="2.2"/>`)
  return svg(HEIGHT, name, `${axes(minX, maxX, minY, maxY, px, py)}<g class="dots">${dots.join('')}</g>`)
}

function axes(
  minX: number,
  maxX: number,
  minY: number,
  maxY: number,
  px: (x: number) => number,
  py: (y: number) => number,
): string {
  const rows = ticks(minY, maxY, 4).map(
    (tick) =>
      `<line class="grid" x1="${LEFT}" y1="${fixed(py(tick))}" x2="${WIDTH - RIGHT}" y2="${fixed(py(tick))}"/>` +
      `<text x="${LEFT - 8}" y="${fixed(py(tick))}" dy="0.32em" text-anchor="end">${label(tick)}</text>`,
  )
  const columns = ticks(minX, maxX, 6).map(
    (tick) => `<text x="${fixed(px(tick))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${label(tick)}</text>`,
  )
  return rows.join('') + columns.join('')
}

function svg(height: number, description: string, content: string): string {
  return (
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(description)}">` + `${content}</svg>`
  )
}

const fixed = (value: number): string => value.toFixed(1)
