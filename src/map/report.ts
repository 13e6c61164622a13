/** mapReport: a map of texts as one page, which needs nothing else. */
import { checkOptions, invalidOption, text } from '../core/options.js'
import { escapeHtml, extent, padded } from '../report/chart.js'
import { page } from '../report/page.js'
import type { MapPoint, MapReportOptions, TextMap } from './types.js'

const [WIDTH, HEIGHT] = [1080, 720]
/** Characters of a text that the page has. */
const MOST_CHARACTERS = 500
/** Labels with a colour of their own; the less frequent ones have one together. */
const COLORS = 12

const STYLE = `
:root { --m0: #2563eb; --m1: #d9480f; --m2: #0f9d6b; --m3: #9333ea; --m4: #b7791f; --m5: #0e7490; --m6: #be185d;
  --m7: #4d7c0f; --m8: #7c2d12; --m9: #4338ca; --m10: #0d9488; --m11: #a21caf; --m12: #8793a3; }
@media (prefers-color-scheme: dark) { :root { --m0: #6ea2ff; --m1: #ff8f5a; --m2: #4fd3a2; --m3: #c58bff;
  --m4: #e6b450; --m5: #4fc3dc; --m6: #ff7eb0; --m7: #a3d955; --m8: #e0a184; --m9: #a5b0ff; --m10: #5eead4;
  --m11: #f0abfc; --m12: #7a8797; } }
#map { touch-action: none; cursor: grab } #map circle { r: var(--r, 3.4px); fill-opacity: .72 }
#map circle:hover { fill-opacity: 1; stroke: var(--ink); stroke-width: 1px; vector-effect: non-scaling-stroke }
#labels { margin: 0 0 .6rem } #labels button { font: inherit; font-size: .85rem; color: var(--ink); background: none;
  border: 1px solid var(--line); border-radius: 999px; padding: .1rem .7rem; margin: 0 .3rem .3rem 0; cursor: pointer }
#labels button[aria-pressed=false] { opacity: .4 } #labels i { display: inline-block; width: .7em; height: .7em;
  border-radius: 50%; margin-right: .4em }
#tip { position: fixed; z-index: 1; max-width: 26rem; padding: .5rem .7rem; border-radius: 8px;
  background: var(--paper); border: 1px solid var(--line); box-shadow: 0 4px 18px #0003; pointer-events: none;
  white-space: pre-wrap; overflow-wrap: anywhere } #tip b { display: block; font-size: .85rem; color: var(--soft) }
${Array.from({ length: COLORS + 1 }, (_, i) => `.m${i} { fill: var(--m${i}); background: var(--m${i}) }`).join('\n')}
`

/** Texts are put into the page with textContent, so that nothing of them is markup. */
const SCRIPT = `
const map = document.getElementById('map'), tip = document.getElementById('tip')
const texts = JSON.parse(document.getElementById('texts').textContent)
const whole = map.getAttribute('viewBox').split(' ').map(Number)
let box = [...whole], drag = null
const show = () => {
  map.setAttribute('viewBox', box.join(' '))
  map.style.setProperty('--r', 3.4 * Math.pow(box[2] / whole[2], .8) + 'px')
}
const place = (event) => {
  const area = map.getBoundingClientRect()
  return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height]
}
map.addEventListener('wheel', (event) => {
  event.preventDefault()
  const [x, y] = place(event), factor = event.deltaY < 0 ? .8 : 1.25
  const size = Math.min(whole[2], Math.max(whole[2] / 500, box[2] * factor)), ratio = size / box[2]
  box = [box[0] + x * box[2] * (1 - ratio), box[1] + y * box[3] * (1 - ratio), size, box[3] * ratio]
  if (size === whole[2]) box = [...whole]
  show()
}, { passive: false })
map.addEventListener('dblclick', () => { box = [...whole]; show() })
map.addEventListener('pointerdown', (event) => { drag = { at: place(event), box: [...box] } })
addEventListener('pointerup', () => { drag = null })
map.addEventListener('pointermove', (event) => {
  if (drag !== null) {
    const [x, y] = place(event)
    box[0] = drag.box[0] - (x - drag.at[0]) * box[2]
    box[1] = drag.box[1] - (y - drag.at[1]) * box[3]
    show()
  }
  const number = event.target.dataset.i
  tip.hidden = number === undefined || drag !== null
  if (tip.hidden) return
  const [text, label] = texts[number]
  tip.lastElementChild.textContent = text
  tip.firstElementChild.textContent = label ?? ''
  tip.firstElementChild.hidden = label === null
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px'
  tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + 'px'
})
map.addEventListener('pointerleave', () => { tip.hidden = true })
for (const button of document.querySelectorAll('#labels button'))
  button.addEventListener('click', () => {
    const on = button.getAttribute('aria-pressed') === 'false'
    button.setAttribute('aria-pressed', String(on))
    map.querySelector('[data-label="' + button.dataset.label + '"]').style.display = on ? '' : 'none'
  })
`

/**
 * A map as a page of HTML: a point for each text, which shows the text under the pointer; colours by label, which can
 * be switched; zoom by the wheel. Light or dark as the reader has it; nothing is loaded from anywhere. Texts are cut at
 * 500 characters.
 * @throws ERR_EMBEDCORE_INVALID_OPTION, _UNKNOWN_OPTION.
 * @example
 * await writeFile('map.html', mapReport(await mapTexts(model, texts)))
 */
export function mapReport(map: TextMap, options?: MapReportOptions): string {
  const { title = titleOf(map) } = checkOptions(options, { title: text })
  if (!Array.isArray(map?.points)) throw invalidOption('the map', 'a result of mapTexts', map)
  const groups = groupsOf(map.points)
  const body = [
    `<style>${STYLE}</style>`,
    `<section>${buttons(groups)}${picture(map.points, groups)}</section>`,
    '<div id="tip" hidden><b></b><span></span></div>',
    `<script type="application/json" id="texts">${data(map.points)}</script>`,
    `<script>${SCRIPT}</script>`,
  ]
  return page(title, subtitle(map), body.join('\n'))
}

const titleOf = ({ method, model }: TextMap): string =>
  `${method === 'pca' ? 'PCA' : 'UMAP'}${model === '' ? '' : `: ${model}`}`

function subtitle({ points, total, explainedVariance }: TextMap): string {
  const count = points.length < total ? `${points.length} of ${total} texts, drawn at random` : `${total} texts`
  const [first, second] = explainedVariance ?? []
  const shares =
    first === undefined || second === undefined
      ? []
      : [`${percent(first)} of the variance along, ${percent(second)} across`]
  return [count, ...shares].join(' · ')
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

interface Group {
  /** null = texts without a label; several labels where they have one colour together. */
  name: string | null
  color: number
  /** Numbers of points. */
  members: number[]
}

/** By label, the most frequent first; equal ones in the order in which they come. */
function groupsOf(points: readonly MapPoint[]): Group[] {
  const members = new Map<string | null, number[]>()
  points.forEach(({ label }, i) => {
    const list = members.get(label)
    if (list === undefined) members.set(label, [i])
    else list.push(i)
  })
  const sorted = [...members].sort(([, a], [, b]) => b.length - a.length)
  const own = sorted.slice(0, sorted.length > COLORS ? COLORS - 1 : COLORS)
  const rest = sorted.slice(own.length)
  const groups = own.map(([name, list], color): Group => ({ name, color, members: list }))
  if (rest.length > 0)
    groups.push({ name: `${rest.length} other labels`, color: COLORS, members: rest.flatMap(([, list]) => list) })
  return groups
}

function buttons(groups: readonly Group[]): string {
  if (groups.length < 2) return ''
  const list = groups.map(
    ({ name, color, members }) =>
      `<button data-label="${color}" aria-pressed="true"><i class="m${color}"></i>` +
      `${escapeHtml(name ?? 'without a label')} (${members.length})</button>`,
  )
  return `<div id="labels">${list.join('')}</div>`
}

function picture(points: readonly MapPoint[], groups: readonly Group[]): string {
  const [minX, maxX] = padded(...extent(points.map(({ x }) => x)))
  const [minY, maxY] = padded(...extent(points.map(({ y }) => y)))
  // One scale for both axes, so that distances are right in every direction.
  const scale = Math.min(WIDTH / (maxX - minX), HEIGHT / (maxY - minY))
  const px = (x: number): string => (WIDTH / 2 + (x - (minX + maxX) / 2) * scale).toFixed(1)
  const py = (y: number): string => (HEIGHT / 2 - (y - (minY + maxY) / 2) * scale).toFixed(1)
  const circles = groups.map(({ color, members }) => {
    const dots = members.map((i) => `<circle data-i="${i}" cx="${px(points[i]!.x)}" cy="${py(points[i]!.y)}" r="3.4"/>`)
    return `<g class="m${color}" data-label="${color}">${dots.join('')}</g>`
  })
  return (
    `<svg id="map" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${points.length} texts as points">` +
    `${circles.join('')}</svg>`
  )
}

/** JSON within a script element: no "<" that could end it. */
function data(points: readonly MapPoint[]): string {
  const cut = (text: string): string => {
    const characters = [...text]
    return characters.length > MOST_CHARACTERS ? `${characters.slice(0, MOST_CHARACTERS).join('')}…` : text
  }
  return JSON.stringify(points.map(({ text, label }) => [cut(text), label])).replaceAll('<', '\\u003c')
}
