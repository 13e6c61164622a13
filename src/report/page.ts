/** A page that is one file: its style, and the parts that reports are made of. Light and dark as the reader has it. */
import { chart, escapeHtml, type Series } from './chart.js'

const colorRules = (i: number): string =>
  `path.c${i}, line.c${i} { stroke: var(--c${i}) } circle.c${i}, rect.c${i} { fill: var(--c${i}) } ` +
  `i.c${i} { background: var(--c${i}) }`

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6b7c; --line: #dfe5ec; --paper: #fff; --back: #f5f7fa;
  --c0: #2563eb; --c1: #d9480f; --c2: #0f9d6b; --c3: #9333ea; --c4: #b7791f; --c5: #0e7490; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf2; --soft: #95a3b5; --line: #2d3846; --paper: #1a212b;
  --back: #121820; --c0: #6ea2ff; --c1: #ff8f5a; --c2: #4fd3a2; --c3: #c58bff; --c4: #e6b450; --c5: #4fc3dc; } }
* { box-sizing: border-box }
body { margin: 0; padding: 2rem 1rem 4rem; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
main { max-width: 1120px; margin: 0 auto }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1rem; margin: 0 0 .5rem }
p { margin: .2rem 0 1.2rem; color: var(--soft) }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: .75rem; margin: 1.2rem 0 }
.facts div, section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: .8rem 1rem }
.facts b { display: block; font-size: 1.25rem; font-weight: 650; font-variant-numeric: tabular-nums }
.facts span, .key { color: var(--soft); font-size: .85rem }
.grid2 { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr)); gap: .9rem }
section { overflow-x: auto }
svg { width: 100%; height: auto; display: block } svg text { fill: var(--soft); font-size: 11px }
.grid { stroke: var(--line) } svg path { fill: none; stroke-width: 1.8; stroke-linejoin: round }
.whisker { stroke: var(--ink); stroke-width: 1.2 } rect { opacity: .85 } .dots circle { opacity: .35 }
.key i { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin: 0 .35em 0 .9em }
${[0, 1, 2, 3, 4, 5].map(colorRules).join('\n')}
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
td, th { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
td:first-child, th:first-child { text-align: left } .up { color: var(--c2) } .down { color: var(--c1) }
`

/** `body` is HTML; the title and the line below it are text. */
export function page(title: string, subtitle: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
<main>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(subtitle)}</p>
${body}
</main>
</html>
`
}

/** Pairs of a name and a value. */
export function factCards(facts: readonly (readonly [string, string])[]): string {
  return facts.map(([name, value]) => `<div><b>${escapeHtml(value)}</b><span>${escapeHtml(name)}</span></div>`).join('')
}

/** A section with a picture; nothing without one. `series`: names and colours of the key. */
export function figure(title: string, picture: string, series: readonly Pick<Series, 'name' | 'color'>[]): string {
  if (picture === '') return ''
  const names = series.map(({ name, color }) => `<i class="c${color}"></i>${escapeHtml(name)}`)
  const key = series.length < 2 ? '' : `<div class="key">${names.join('')}</div>`
  return `<section><h2>${escapeHtml(title)}</h2>${picture}${key}</section>`
}

/** A section with curves. */
export function card(title: string, series: readonly Series[], options?: { log?: boolean }): string {
  return figure(title, chart(series, options), series)
}
