/** evaluationReport: the results of one model or several on one page, which needs nothing else. */
import { invalidOption } from '../../core/options.js'
import { escapeHtml } from '../../report/chart.js'
import { factCards, figure, page } from '../../report/page.js'
import { type Bar, bars, histogram, scatter } from '../../report/plots.js'
import { Slices } from '../slices.js'
import { compareItems } from '../statistics/compare.js'
import { holm, withDefaults } from '../statistics/resampling.js'
import type { Comparison, Interval, ItemScores, View } from '../statistics/types.js'

/** A result of evaluate or evaluateRun, or a baseline, with the name of the model or system. */
export interface ReportedResult {
  readonly model: string
  readonly result: {
    readonly task: string
    readonly name?: string
    readonly primaryMetric: string
    readonly score: number
    readonly metrics: Readonly<Record<string, number>>
    readonly rows?: number
    readonly interval?: Interval
    readonly views?: readonly View[]
    readonly items?: ItemScores
  }
}

/** Options of evaluationReport. */
export interface ReportOptions {
  /** Default: the primary metric and the models. */
  title?: string
}

/** Colours of the page. */
const COLORS = 6

/**
 * A page of HTML: the metrics of each model, intervals and views as bars, how the scores of the items lie, and each
 * model against the first, where results have `interval`, `views` and `items`. Results are of one task and metric.
 * @throws ERR_EMBEDCORE_INVALID_OPTION for an empty list, or results of several metrics; _INVALID_DATA where items of
 *   other data are compared.
 * @example
 * await writeFile('report.html', await evaluationReport([{ model: 'a', result: a }, { model: 'b', result: b }]))
 */
export async function evaluationReport(results: readonly ReportedResult[], options?: ReportOptions): Promise<string> {
  if (!Array.isArray(results) || results.length === 0)
    throw invalidOption('the results', 'one result or more, as { model, result },', results)
  const first = results[0] as ReportedResult
  const { task } = first.result
  const other = (results as readonly ReportedResult[]).find(({ result }) => result.task !== task)
  if (other !== undefined) throw invalidOption('the results', `results of one task (${task})`, other.result.task)
  const title =
    options?.title ??
    `${first.result.primaryMetric}: ${(results as readonly ReportedResult[]).map(({ model }) => model).join(', ')}`
  const parts = [
    `<div class="facts">${factCards(facts(results))}</div>`,
    section('Metrics', metricTable(results)),
    await comparisons(results),
    `<div class="grid2" style="margin-top:.9rem">`,
    figure(
      'Score',
      results.length > 1 || first.result.interval !== undefined ? bars(scoreBars(results)) : '',
      keys(results),
    ),
    ...views(results),
    figure('Scores of the items, shares', histogram(samples(results)), keys(results)),
    ...results.map(({ model, result: { items } }, i) =>
      items?.statistic === 'spearman' && items.labels !== undefined
        ? figure(`${model}: similarity by score of people`, scatter(model, items.labels, items.values, i % COLORS), [])
        : '',
    ),
    '</div>',
  ]
  return page(title, subtitle(first), parts.filter((part) => part !== '').join('\n'))
}

function subtitle({ result: { task, name, rows } }: ReportedResult): string {
  return [task, name, rows === undefined ? '' : `${rows} items`].filter((part) => part).join(' · ')
}

function facts(results: readonly ReportedResult[]): [string, string][] {
  return results.map(({ model, result: { score, interval } }) => [
    interval === undefined ? model : `${model}, ${range(interval)}`,
    fixed(score),
  ])
}

const fixed = (value: number | null | undefined): string => (Number.isFinite(value) ? value!.toFixed(4) : '–')
const range = ({ low, high, level }: Interval): string => `${fixed(low)} to ${fixed(high)} (${level * 100} %)`
const section = (title: string, content: string): string =>
  content === '' ? '' : `<section style="margin-top:.9rem"><h2>${escapeHtml(title)}</h2>${content}</section>`
const keys = (results: readonly ReportedResult[]): { name: string; color: number }[] =>
  results.map(({ model }, i) => ({ name: model, color: i % COLORS }))

function metricTable(results: readonly ReportedResult[]): string {
  const names = [...new Set(results.flatMap(({ result }) => Object.keys(result.metrics)))]
  const head = results.map(({ model }) => `<th>${escapeHtml(model)}</th>`).join('')
  const rows = names.map((name) => {
    const cells = results.map(({ result }) => `<td>${fixed(result.metrics[name])}</td>`).join('')
    return `<tr><td>${escapeHtml(name)}</td>${cells}</tr>`
  })
  return `<table><tr><th>metric</th>${head}</tr>${rows.join('')}</table>`
}

/** Each model against the first. */
async function comparisons(results: readonly ReportedResult[]): Promise<string> {
  const [first, ...others] = results as readonly [ReportedResult, ...ReportedResult[]]
  const base = first.result.items
  if (base === undefined) return ''
  const slices = new Slices(new AbortController().signal)
  const found: { model: string; comparison: Comparison }[] = []
  for (const { model, result } of others)
    if (result.items !== undefined)
      found.push({ model, comparison: await compareItems(base, result.items, withDefaults({}), slices) })
  if (found.length === 0) return ''
  const corrected = holm(found.map(({ comparison }) => comparison.p))
  const rows = found.map(({ model, comparison: { difference, interval } }, i) => {
    const cls = difference > 0 ? 'up' : difference < 0 ? 'down' : ''
    return (
      `<tr><td>${escapeHtml(model)}</td><td class="${cls}">${difference > 0 ? '+' : ''}${fixed(difference)}</td>` +
      `<td>${range(interval)}</td><td>${corrected[i]!.toPrecision(3)}</td></tr>`
    )
  })
  const p = found.length > 1 ? 'p (Holm)' : 'p'
  return section(
    `Against ${first.model}`,
    `<table><tr><th>model</th><th>difference</th><th>interval</th><th>${p}</th></tr>${rows.join('')}</table>`,
  )
}

function scoreBars(results: readonly ReportedResult[]): Bar[] {
  return results.map(({ model, result: { score, interval } }, i) => ({
    group: model,
    name: '',
    value: score,
    color: i % COLORS,
    ...(interval === undefined ? {} : { low: interval.low, high: interval.high }),
  }))
}

function views(results: readonly ReportedResult[]): string[] {
  const names = [...new Set(results.flatMap(({ result }) => (result.views ?? []).map(({ view }) => view)))]
  return names.map((name) => {
    const found = results.map(({ result }) => result.views?.find(({ view }) => view === name)?.groups ?? [])
    const groups = [...new Set(found.flatMap((list) => list.map(({ group }) => group)))]
    const list = groups.flatMap((group) =>
      found.flatMap((own, i): Bar[] => {
        const known = own.find((candidate) => candidate.group === group)
        if (known === undefined) return []
        const { score, interval, items } = known
        return [
          {
            group: `${group} (${items})`,
            name: results[i]!.model,
            value: score,
            color: i % COLORS,
            ...(interval === undefined ? {} : { low: interval.low, high: interval.high }),
          },
        ]
      }),
    )
    return figure(`By ${name}`, bars(list), keys(results))
  })
}

function samples(results: readonly ReportedResult[]): { name: string; values: readonly number[]; color: number }[] {
  return results.flatMap(({ model, result: { items } }, i) =>
    items === undefined ? [] : [{ name: model, values: items.values, color: i % COLORS }],
  )
}
