/** Prints a result of train.mjs as tables. */
import { CASES } from '../train/cases.mjs'
import { describeBuild, number, percent, table } from './table.mjs'

function header(r) {
  const m = r.machine
  const out = [
    `training, ${describeBuild(r)}, ${r.model.title}`,
    `${m.cpu} (${m.device}), ${m.physicalCores} cores${m.virtualised ? ', virtual' : ''}, ` +
      `${number(m.memoryBytes / 2 ** 30)} GiB, Node ${m.node}, ${r.settings.threads} threads for everyone`,
  ]
  if (r.peak) {
    const rate = (p) => {
      if (!r.peak[p]) return `no ${p} (its limit is that of float32)`
      const { median, gops, instructions } = r.peak[p]
      return `${number(median ?? gops)} GFLOP/s ${p} (best ${number(gops)}, ${instructions})`
    }
    out.push(`peak in turn, median: ${['float32', 'bfloat16'].map(rate).join(', ')}`)
  } else out.push(`measured peak: none (${r.peakReason})`)
  if (m.loadAverageBefore > 0.3)
    out.push(`note: the machine was busy before the start (load ${m.loadAverageBefore.toFixed(2)}): expect spread`)
  out.push(
    `texts: ${r.texts.source}, seed ${r.texts.seed}; InfoNCE, AdamW, clipping; ` +
      `LoRA of rank ${r.settings.lora.rank} on all linear layers; strings to updated weights, tokenising included`,
    `measured: ${r.settings.rounds} rounds in turn, no more of a row once it has taken ${r.settings.limit} s`,
  )
  return out.join('\n')
}

const milliseconds = (seconds) => number(1000 * seconds, seconds < 1 ? 1 : 0)

function caseTable(r, name, dtype) {
  const peers = r.peers.filter((p) => p.precision === dtype && p.cases[name])
  if (peers.length === 0) return null
  const rows = peers.map((p) => {
    const c = p.cases[name]
    const step = c.stepSeconds
    return [
      p.id,
      milliseconds(step.median),
      `${milliseconds(step.min)} - ${milliseconds(step.max)}`,
      String(c.rounds.length),
      number(c.tokensPerSecond.median),
      percent(c.shareOfPeak?.median),
      percent(c.shareOfPeakByClock?.median),
      milliseconds(c.updateSeconds.median),
      c.eventLoopDelayP99Ms === null ? '-' : number(c.eventLoopDelayP99Ms, 1),
      c.peakRssBytes === null ? '-' : number(c.peakRssBytes / 2 ** 20),
    ]
  })
  const head = [
    'peer',
    'step ms',
    'min - max',
    'rounds',
    'tokens/s',
    'of peak',
    'by clock',
    'update ms',
    'loop p99 ms',
    'peak MiB',
  ]
  const { tokens, shortest, longest, flops } = r.texts.batches[name]
  const work =
    `${number(tokens)} tokens in texts of ${shortest === longest ? shortest : `${shortest} to ${longest}`}, ` +
    `${number(flops.full / 1e9)} GFLOP (LoRA ${number(flops.lora / 1e9)})`
  return `${CASES[name].title}, ${dtype}: ${work}\n${table(head, rows)}`
}

function targetTable(r) {
  if (r.targets.length === 0) return null
  const show = (value, unit) =>
    unit === 'share' ? `${(100 * value).toFixed(1)} %` : unit === 'ms' ? number(value, 1) : value.toFixed(3)
  const limit = ({ target, unit }) =>
    target === null
      ? '-'
      : target.most === undefined
        ? `at least ${show(target.least, unit)}`
        : `at most ${show(target.most, unit)}`
  const rows = r.targets.map((t) => [
    `${t.of}: ${t.figure}`,
    t.case,
    show(t.value, t.unit),
    limit(t),
    t.held === null ? '' : t.held ? 'pass' : 'FAIL',
  ])
  const columns = ['figure', 'case', 'measured', 'target', '']
  return `targets (ratios are medians of those within a round)\n${table(columns, rows)}`
}

function notRanked(r) {
  const out = r.peers.filter((p) => p.status !== 'ranked')
  return out.length > 0 ? ['not ranked', ...out.map((p) => `  ${p.id}: ${p.status}: ${p.reason}`)].join('\n') : null
}

export function reportTrain(r) {
  const cells = r.settings.cells.map((cell) => cell.split('/'))
  return (
    [header(r), ...cells.map(([name, dtype]) => caseTable(r, name, dtype)), targetTable(r), notRanked(r)]
      .filter(Boolean)
      .join('\n\n') + '\n'
  )
}
