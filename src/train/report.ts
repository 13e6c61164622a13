/** `report.html`: one file with the curves of a run, which needs nothing else. */
import path from 'node:path'
import { chart, escapeHtml, label, type Series } from './chart.js'
import { writeFailure } from './checkpoint.js'
import { replaceFile } from './save.js'
import type { BeginEvent, EvaluationEvent, StepEvent, TrainingEvent, TrainingPlan } from './types.js'

export const REPORT_FILE = 'report.html'

export async function writeReport(output: string, events: readonly TrainingEvent[]): Promise<void> {
  const file = path.join(output, REPORT_FILE)
  try {
    await replaceFile(file, reportHtml(events))
  } catch (error) {
    throw writeFailure(error, file)
  }
}

const colorRules = (i: number): string =>
  `path.c${i} { stroke: var(--c${i}) } circle.c${i} { fill: var(--c${i}) } i.c${i} { background: var(--c${i}) }`

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
.key i { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin: 0 .35em 0 .9em }
${[0, 1, 2, 3, 4, 5].map(colorRules).join('\n')}
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
td, th { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
td:first-child, th:first-child { text-align: left } .up { color: var(--c2) } .down { color: var(--c1) }
`

export function reportHtml(events: readonly TrainingEvent[]): string {
  const begin = events.find((event): event is BeginEvent => event.type === 'begin')
  const steps = events.filter((event): event is StepEvent => event.type === 'step')
  const evaluations = events.filter((event): event is EvaluationEvent => event.type === 'evaluation')
  const saved = events.some(({ type }) => type === 'saved')
  const plan = begin?.plan
  const last = steps.at(-1)
  const title = plan === undefined ? 'Training' : `Training of ${plan.model}`
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
<main>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(subtitle(plan, last, saved))}</p>
<div class="facts">${facts(plan, steps, evaluations)}</div>
${evaluations.length === 0 ? '' : `<section><h2>Evaluation</h2>${table(evaluations)}</section>`}
<div class="grid2" style="margin-top:.9rem">
${[
  card('Loss', lossSeries(steps)),
  card('Evaluation: score', [marked('score', evaluations, ({ score }) => score, 2)]),
  card('Learning rate', [curve('learning rate', steps, (step) => step.learningRate, 0)]),
  card('Norm of the gradients', [curve('norm, before clipping', steps, (step) => step.gradientNorm, 3)], { log: true }),
  card('Tokens per second', [curve('tokens/s', steps, (step) => step.tokensPerSecond, 5)]),
  card('Memory of the process, GiB', [curve('GiB', steps, (step) => step.memory / 2 ** 30, 4)]),
  card('Learned scale', scaleSeries(steps)),
].join('\n')}
</div>
${plan === undefined ? '' : `<section style="margin-top:.9rem"><h2>Plan</h2>${planTable(plan)}</section>`}
</main>
</html>
`
}

function subtitle(plan: TrainingPlan | undefined, last: StepEvent | undefined, saved: boolean): string {
  const data = plan?.data.join(' · ') ?? ''
  const state = saved ? 'finished' : last === undefined ? 'not begun' : `stopped after step ${last.step}`
  return `${data}${data === '' ? '' : ' — '}${state}`
}

function facts(
  plan: TrainingPlan | undefined,
  steps: readonly StepEvent[],
  evaluations: readonly EvaluationEvent[],
): string {
  const last = steps.at(-1)
  const tenth = Math.max(1, Math.floor(steps.length / 10))
  const mean = (some: readonly StepEvent[]): number => some.reduce((sum, { loss }) => sum + loss, 0) / some.length
  const list: [string, string][] = []
  if (last !== undefined) {
    const all = plan?.steps
    list.push(['steps', all == null ? String(last.step) : `${last.step} of ${all}`])
    list.push([
      'loss, first and last tenth',
      `${label(mean(steps.slice(0, tenth)))} → ${label(mean(steps.slice(-tenth)))}`,
    ])
  }
  const [first, best] = [evaluations[0], evaluations.filter((event) => event.best).at(-1)]
  if (first !== undefined && best !== undefined && best !== first)
    list.push(['score, before and best', `${label(first.score)} → ${label(best.score)}`])
  if (last !== undefined) {
    const seconds = steps.reduce((sum, step) => sum + step.tokens / Math.max(1e-9, step.tokensPerSecond), 0)
    const tokens = steps.reduce((sum, step) => sum + step.tokens, 0)
    list.push(['tokens', label(tokens)], ['tokens/s', label(tokens / Math.max(1e-9, seconds))])
    list.push(['time in steps', time(seconds)])
  }
  if (plan !== undefined)
    list.push(['trained parameters', `${label(plan.trainedParameters)} of ${label(plan.parameters)}`])
  return list.map(([name, value]) => `<div><b>${escapeHtml(value)}</b><span>${escapeHtml(name)}</span></div>`).join('')
}

const time = (seconds: number): string =>
  seconds < 90
    ? `${seconds.toFixed(1)} s`
    : seconds < 5400
      ? `${(seconds / 60).toFixed(1)} min`
      : `${(seconds / 3600).toFixed(1)} h`

function table(evaluations: readonly EvaluationEvent[]): string {
  const [first, last] = [evaluations[0]!, evaluations.at(-1)!]
  const best = evaluations.filter((event) => event.best).at(-1) ?? last
  const rows = Object.keys(last.metrics).map((name) => {
    const values = [first, best, last].map(({ metrics }) => metrics[name] ?? NaN)
    const change = values[1]! - values[0]!
    const cls = change > 0 ? 'up' : change < 0 ? 'down' : ''
    const sign = change > 0 ? '+' : ''
    return (
      `<tr><td>${escapeHtml(name)}</td>${values.map((value) => `<td>${fixed(value)}</td>`).join('')}` +
      `<td class="${cls}">${Number.isFinite(change) ? sign + change.toFixed(4) : ''}</td></tr>`
    )
  })
  return (
    `<table><tr><th>metric</th><th>step ${first.step}</th><th>best (step ${best.step})</th>` +
    `<th>last (step ${last.step})</th><th>best - first</th></tr>${rows.join('')}</table>`
  )
}

const fixed = (value: number): string => (Number.isFinite(value) ? value.toFixed(4) : '–')

function curve(name: string, steps: readonly StepEvent[], value: (step: StepEvent) => number, color: number): Series {
  return { name, points: steps.map((step) => ({ x: step.step, y: value(step) })), color }
}

function marked(
  name: string,
  evaluations: readonly EvaluationEvent[],
  value: (event: EvaluationEvent) => number,
  color: number,
): Series {
  return { name, points: evaluations.map((event) => ({ x: event.step, y: value(event) })), color, marks: true }
}

/** The sum, and each loss where there are several. */
function lossSeries(steps: readonly StepEvent[]): Series[] {
  const names = Object.keys(steps[0]?.losses ?? {})
  if (names.length < 2) return [curve(names[0] ?? 'loss', steps, (step) => step.loss, 0)]
  return [
    curve('weighted sum', steps, (step) => step.loss, 0),
    ...names.map((name, i) => curve(name, steps, (step) => step.losses[name] ?? NaN, 1 + (i % 5))),
  ]
}

function scaleSeries(steps: readonly StepEvent[]): Series[] {
  const count = steps[0]?.scales?.length ?? 0
  return Array.from({ length: count }, (_, i) =>
    curve(count === 1 ? 'scale' : `scale ${i}`, steps, (step) => step.scales?.[i] ?? NaN, i % 6),
  )
}

function card(title: string, series: readonly Series[], options?: { log?: boolean }): string {
  const picture = chart(series, options)
  if (picture === '') return ''
  const names = series.map(({ name, color }) => `<i class="c${color}"></i>${escapeHtml(name)}`)
  const key = series.length < 2 ? '' : `<div class="key">${names.join('')}</div>`
  return `<section><h2>${escapeHtml(title)}</h2>${picture}${key}</section>`
}

function planTable(plan: TrainingPlan): string {
  const rows: [string, string][] = [
    ['method', plan.method],
    ['loss', plan.losses.map(({ name, weight }) => (weight === 1 ? name : `${weight} × ${name}`)).join(' + ')],
    ['batches', `${plan.batchSize} rows, ${plan.sampler}, ${plan.gradientAccumulation} a step`],
    ['steps', plan.steps === null ? 'until the data end' : `${plan.steps}, warm-up ${plan.warmupSteps}`],
    ['learning rate', `${plan.learningRate}, ${plan.schedule}`],
    ['arithmetic', `${plan.dtype} on ${plan.device}`],
    ['dimensions', String(plan.dimension)],
    ['saved in', plan.output],
  ]
  const cells = rows.map(
    ([name, value]) =>
      `<tr><td>${name}</td><td style="text-align:left;white-space:normal">${escapeHtml(value)}</td></tr>`,
  )
  return `<table>${cells.join('')}</table>`
}
