/** Draws a result as horizontal bars, one panel for each cell: bar = median, whisker = slowest and fastest round. */

const WIDTH = 860
const LEFT = 200
const RIGHT = 150
const BAR = 16
const STEP = 23
const TITLE = 34
const COLOURS = { ours: '#1f6f5c', float32: '#8fa3b5', bfloat16: '#b39ac0', int8: '#d0a06b' }

const STYLE =
  '.title{font-size:13px;font-weight:bold}.grid{stroke:#dddddd}.tick{fill:#666666;font-size:10px}' +
  '.whisker{stroke:#222222;stroke-width:1.5}'

const escape = (text) =>
  String(text).replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c])
const text = (x, y, content, attributes = '') => `<text x="${x}" y="${y}" ${attributes}>${escape(content)}</text>`

/** A tick step of 1, 2 or 5 times a power of ten that gives at most five ticks. */
function tickStep(most) {
  const power = 10 ** Math.floor(Math.log10(most / 4))
  return [1, 2, 5, 10].map((f) => f * power).find((s) => most / s <= 5)
}

function panel(r, cell, top) {
  const peers = r.peers.filter((p) => p.cells?.[cell])
  const most = Math.max(...peers.map((p) => p.cells[cell].tokensPerSecond.max))
  const scale = (WIDTH - LEFT - RIGHT) / most
  const bottom = top + TITLE + peers.length * STEP
  const parts = [text(LEFT, top + 18, `${cell.replace('/', ' texts, batch ')}: tokens a second`, 'class="title"')]
  for (let tick = 0; tick <= most; tick += tickStep(most)) {
    const x = LEFT + tick * scale
    parts.push(
      `<line x1="${x}" y1="${top + TITLE - 6}" x2="${x}" y2="${bottom}" class="grid"/>`,
      text(x, bottom + 12, tick.toLocaleString('en-US'), 'class="tick" text-anchor="middle"'),
    )
  }
  peers.forEach((p, i) => {
    const y = top + TITLE + i * STEP
    const { tokensPerSecond: t, shareOfLimit } = p.cells[cell]
    const middle = y + BAR / 2
    const width = Math.max(1, t.median * scale)
    const colour = p.ours ? COLOURS.ours : COLOURS[p.precision]
    const [from, to] = [LEFT + t.min * scale, LEFT + t.max * scale]
    parts.push(
      text(LEFT - 8, y + 12, p.id, `text-anchor="end"${p.ours ? ' font-weight="bold"' : ''}`),
      `<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR}" fill="${colour}"/>`,
      `<line x1="${from}" y1="${middle}" x2="${to}" y2="${middle}" class="whisker"/>`,
      text(
        to + 6,
        y + 12,
        Math.round(t.median).toLocaleString('en-US') +
          (shareOfLimit ? `  (${(100 * shareOfLimit).toFixed(0)} % of limit)` : ''),
      ),
    )
  })
  return { svg: parts.join('\n'), bottom: bottom + 22 }
}

export function chart(r) {
  const cells = r.settings.cells
    .map(({ set, batch }) => `${set}/${batch}`)
    .filter((cell) => r.peers.some((p) => p.cells?.[cell]))
  let y = 62
  const panels = cells.map((cell) => {
    const { svg, bottom } = panel(r, cell, y)
    y = bottom
    return svg
  })
  const key = (offset, colour, name) =>
    `<rect x="${LEFT + offset}" y="${y + 4}" width="12" height="12" fill="${colour}"/>` +
    text(LEFT + offset + 18, y + 14, name)
  const legend = [
    ...['float32', 'bfloat16', 'int8'].map((p, i) => key(i * 110, COLOURS[p], p)),
    key(330, COLOURS.ours, 'embedcore'),
  ]
  const height = y + 28
  const title = `${r.model.title}: encoding on ${r.machine.cpu}, ${r.settings.threads} threads`
  const subtitle =
    `embedcore ${r.version}, ${r.date.slice(0, 10)}, median of ${r.settings.rounds} interleaved rounds, ` +
    'whiskers slowest to fastest; longer is better'
  const svg = [
    'xmlns="http://www.w3.org/2000/svg"',
    `width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`,
    'font-family="sans-serif" font-size="12"',
  ]
  return `<svg ${svg.join(' ')}>
<style>${STYLE}</style>
<rect width="100%" height="100%" fill="white"/>
${text(16, 24, title, 'font-size="16" font-weight="bold"')}
${text(16, 44, subtitle, 'fill="#444444"')}
${panels.join('\n')}
${legend.join('\n')}
</svg>
`
}
