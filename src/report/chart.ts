/** One curve or several as an SVG picture, for reports. */

export interface Series {
  name: string
  points: readonly { x: number; y: number }[]
  /** Of the palette of the report, from 0. */
  color: number
  /** A mark at every point, for a few of them. */
  marks?: boolean
}

export const [WIDTH, HEIGHT] = [680, 230]
export const [LEFT, RIGHT, TOP, BOTTOM] = [64, 16, 14, 34]
/** Points that a curve is drawn with; longer ones show the mean of neighbours. */
const MOST_POINTS = 600

export function chart(
  series: readonly Series[],
  { unit = '', log = false, axis = 'step' }: { unit?: string; log?: boolean; axis?: string } = {},
): string {
  const drawn = series
    .map((one) => ({
      ...one,
      points: thinned(one.points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))),
    }))
    .filter(({ points }) => points.length > 0)
  if (drawn.length === 0) return ''
  const all = drawn.flatMap(({ points }) => points)
  const scaled = log && all.every(({ y }) => y > 0) ? Math.log10 : (y: number): number => y
  const [minX, maxX] = extent(all.map(({ x }) => x))
  const [minY, maxY] = padded(...extent(all.map(({ y }) => scaled(y))))
  const px = (x: number): number => LEFT + ((x - minX) / (maxX - minX || 1)) * (WIDTH - LEFT - RIGHT)
  const py = (y: number): number => TOP + (1 - (scaled(y) - minY) / (maxY - minY || 1)) * (HEIGHT - TOP - BOTTOM)
  const unscaled = scaled === Math.log10 ? (y: number) => 10 ** y : (y: number) => y
  const rows = ticks(minY, maxY, 4).map((tick) => {
    const y = py(unscaled(tick)).toFixed(1)
    return (
      `<line class="grid" x1="${LEFT}" y1="${y}" x2="${WIDTH - RIGHT}" y2="${y}"/>` +
      `<text x="${LEFT - 8}" y="${y}" dy="0.32em" text-anchor="end">${label(unscaled(tick))}</text>`
    )
  })
  const columns = ticks(minX, maxX, 6)
    .filter((tick) => tick >= minX && tick <= maxX)
    .map(
      (tick) =>
        `<text x="${px(tick).toFixed(1)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${label(tick)}</text>`,
    )
  const lines = drawn.map(({ points, color, name, marks }) => {
    const path = points.map(({ x, y }, i) => `${i === 0 ? 'M' : 'L'}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join('')
    const dots =
      marks === true || points.length === 1
        ? points
            .map(
              ({ x, y }) =>
                `<circle class="c${color}" cx="${px(x).toFixed(1)}" cy="${py(y).toFixed(1)}" r="3.5">` +
                `<title>${escapeHtml(name)}: ${label(y)}${unit} at ${axis} ${x}</title></circle>`,
            )
            .join('')
        : ''
    return `<path class="c${color}" d="${path}"/>${dots}`
  })
  const description = drawn.map(({ name }) => name).join(', ')
  return (
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(description)}">` +
    `${rows.join('')}${columns.join('')}` +
    `<text x="${WIDTH - RIGHT}" y="${HEIGHT - 2}" text-anchor="end">${escapeHtml(axis)}</text>${lines.join('')}</svg>`
  )
}

/** Means of neighbours, so that a curve has a bounded number of points; its x are those of the last one of each. */
function thinned(points: readonly { x: number; y: number }[]): { x: number; y: number }[] {
  const size = Math.ceil(points.length / MOST_POINTS)
  if (size <= 1) return [...points]
  const means: { x: number; y: number }[] = []
  for (let i = 0; i < points.length; i += size) {
    const part = points.slice(i, i + size)
    means.push({ x: part.at(-1)!.x, y: part.reduce((sum, { y }) => sum + y, 0) / part.length })
  }
  return means
}

export function extent(values: readonly number[]): [number, number] {
  let [low, high] = [Infinity, -Infinity]
  for (const value of values) {
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  return [low, high]
}

export function padded(low: number, high: number): [number, number] {
  const margin = high > low ? 0.06 * (high - low) : Math.abs(high) * 0.1 || 1
  return [low - margin, high + margin]
}

/** Round numbers between two, about as many as wanted. */
export function ticks(low: number, high: number, wanted: number): number[] {
  const rough = (high - low || 1) / wanted
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10)
  const list: number[] = []
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) list.push(tick)
  return list
}

/** A number as the axis shows it. */
export function label(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`
  if (size !== 0 && size < 1e-3) return value.toExponential(1)
  return String(Number(value.toPrecision(4)))
}

export function escapeHtml(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
  return text.replace(/[&<>"']/g, (character) => names[character]!)
}
