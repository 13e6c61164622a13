/** `report.html`: one file with the curves of a run, which needs nothing else. */
import path from 'node:path'
import { escapeHtml, label, type Series } from '../report/chart.js'
import { card, factCards, page } from '../report/page.js'
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

export function reportHtml(events: readonly TrainingEvent[]): string {
  const begin = events.find((event): event is BeginEvent => event.type === 'begin')
  const steps = events.filter((event): event is StepEvent => event.type === 'step')
  const evaluations = events.filter((event): event is EvaluationEvent => event.type === 'evaluation')
  const saved = events.some(({ type }) => type === 'saved')
  const plan = begin?.plan
  const last = steps.at(-1)
  const title = plan === undefined ? 'Training' : `Training of ${plan.model}`
  return page(
    title,
    subtitle(plan, last, saved),
    `<div class="facts">${factCards(facts(plan, steps, evaluations))}</div>
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
${plan === undefined ? '' : `<section style="margin-top:.9rem"><h2>Plan</h2>${planTable(plan)}</section>`}`,
  )
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
): [string, string][] {
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
  return list
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
