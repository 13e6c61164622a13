/** Prints a result of loop.mjs as tables. */
import { describeBuild, number, percent, table } from './table.mjs'

function header(r) {
  const out = [
    `event loop, ${describeBuild(r)}`,
    `${r.machine.cpu} (${r.machine.device}), ${r.machine.physicalCores} cores, Node ${r.machine.node}, ` +
      `models: ${r.models.join('; ')}`,
    `longest delay of the event loop, ms: median of ${r.settings.runs} runs, an idle control before each`,
  ]
  if (r.machine.loadAverageBefore > 0.3)
    out.push(`note: the machine was busy before the start (load ${r.machine.loadAverageBefore.toFixed(2)})`)
  return out.join('\n')
}

const verdict = (held) => (held ? '' : 'over')

function delayTable(r) {
  const rows = Object.values(r.cases).map((c) =>
    c.failed
      ? [c.title, '-', '-', '-', '-', '-', '-', 'failed']
      : [
          c.title,
          number(c.delayMs.median, 1),
          `${number(c.delayMs.min, 1)} - ${number(c.delayMs.max, 1)}`,
          c.waitedMs === null ? '-' : number(c.waitedMs.median, 1),
          number(c.idleDelayMs.median, 1),
          number(c.limitMs),
          number(c.seconds.median, 2),
          verdict(c.held),
        ],
  )
  if (rows.length === 0) return null
  const head = ['case', 'longest', 'min - max', 'of it no core', 'idle', 'limit', 'seconds', '']
  const failed = Object.values(r.cases).filter((c) => c.failed)
  return [table(head, rows), ...failed.map((c) => `  ${c.title}: ${c.failed}`)].join('\n')
}

function clientsTable(r) {
  const c = r.clients
  if (!c) return null
  const title = `${r.settings.clients} clients, each one ten-token query after another, ms`
  if (c.failed) return `${title}\n  failed: ${c.failed}`
  const head = ['', 'p50', 'p99', 'p99 : p50', 'min - max', 'limit', 'overtaken', 'calls/s', '']
  const row = [
    `median of ${r.settings.runs} runs of ${r.settings.seconds} s`,
    number(c.p50.median, 1),
    number(c.p99.median, 1),
    number(c.ratio.median, 2),
    `${number(c.ratio.min, 2)} - ${number(c.ratio.max, 2)}`,
    number(c.limitRatio, 1),
    percent(c.overtaken.median),
    number(c.callsPerSecond.median),
    verdict(c.held),
  ]
  return `${title}\n${table(head, [row])}\n  overtaken: calls that more than ${r.settings.clients} later ones outran`
}

export const reportLoop = (r) => [header(r), delayTable(r), clientsTable(r)].filter(Boolean).join('\n\n') + '\n'
