/** Prints a result as tables. */
import { ownTables } from './report-own.mjs'
import { describeBuild, number, percent, table, times } from './table.mjs'

const mebibytes = (bytes) => number(bytes / 2 ** 20)

function header(r) {
  const m = r.machine
  const out = [
    `${describeBuild(r)}, ${r.model.title}`,
    `${m.cpu} (${m.device}), ${m.physicalCores} cores${m.virtualised ? ', virtual' : ''}, ` +
      `${number(m.memoryBytes / 2 ** 30)} GiB, Node ${m.node}, ${r.settings.threads} threads for everyone`,
  ]
  if (r.peak) {
    const rate = (p, unit) => {
      if (!r.peak[p]) return `no ${p}`
      const { median, gops, instructions } = r.peak[p]
      return `${number(median ?? gops)} ${unit} ${p} (best ${number(gops)}, ${instructions})`
    }
    const rates = [rate('float32', 'GFLOP/s'), rate('bfloat16', 'GFLOP/s'), rate('int8', 'GOP/s')].join(', ')
    out.push(`peak in turn, median: ${rates}; read at best ${number(r.peak.read_gb_s)} GB/s`)
    out.push(
      `operations: ${Object.entries(r.model.flopsPerToken)
        .map(([set, flops]) => `${number(flops / 1e6, 1)} MFLOP a token of ${set} texts`)
        .join(', ')}`,
    )
  } else out.push(`measured peak: none (${r.peakReason})`)
  if (m.loadAverageBefore > 0.3)
    out.push(`note: the machine was busy before the start (load ${m.loadAverageBefore.toFixed(2)}): expect spread`)
  const sets = [...new Set(r.settings.cells.map((cell) => cell.set))].map((name) => [name, r.texts.sets[name]])
  const sizes = sets.map(
    ([name, s]) => `${name}: ${s.texts} of ${s.shortest} to ${s.longest} tokens, mean ${number(s.tokens / s.texts)}`,
  )
  out.push(`texts: ${r.texts.source}, seed ${r.texts.seed}; ${sizes.join('; ')}`)
  out.push(`measured: ${r.settings.rounds} rounds of ${r.settings.seconds} s or one batch, peers in turn`)
  return out.join('\n')
}

/** The ratio of our row of the same precision to this peer, and the name of our row. */
function against(r, peer, metric) {
  if (peer.ours) return ['-', '-']
  const ours = Object.keys(r.ratios).find((id) => r.ratios[id][peer.id]?.[metric])
  return ours ? [times(r.ratios[ours][peer.id][metric].median), ours] : ['-', '-']
}

function cellTable(r, cell) {
  const rows = r.peers
    .filter((p) => p.cells?.[cell])
    .map((p) => {
      const { tokensPerSecond: t, shareOfLimit, eventLoopDelayP99Ms } = p.cells[cell]
      return [
        p.id,
        p.precision,
        number(t.median),
        `${number(t.min)} - ${number(t.max)}`,
        percent(shareOfLimit),
        eventLoopDelayP99Ms === null ? '-' : number(eventLoopDelayP99Ms, 1),
        ...against(r, p, cell),
      ]
    })
  const head = ['peer', 'precision', 'tokens/s', 'min - max', 'of limit', 'loop p99 ms', 'ours is', 'ours']
  const missing = r.peers.filter((p) => p.notMeasured?.[cell]).map((p) => `\n  ${p.id}: ${p.notMeasured[cell]}`)
  const limits = r.limitsTokensPerSecond?.[cell]
  const limit = limits
    ? `; limit ${Object.entries(limits)
        .map(([p, rate]) => `${number(rate)} ${p}`)
        .join(', ')} tokens/s`
    : ''
  return `${cell.replace('/', ' texts, batch ')}${limit}\n${table(head, rows)}${missing.join('')}`
}

function queryTable(r) {
  const rows = r.peers
    .filter((p) => p.latencyMs)
    .map((p) => [
      p.id,
      number(p.latencyMs.p50, 2),
      number(p.latencyMs.p99, 2),
      ...against(r, p, 'latency'),
      mebibytes(p.peakRssBytes),
      number(p.firstVectorMs),
      p.idleCpuShare === null ? '-' : `${(100 * p.idleCpuShare).toFixed(2)} %`,
      p.agreement.leastCosine.toFixed(5),
      p.version,
    ])
  const head = ['peer', 'p50 ms', 'p99 ms', 'ours is', 'ours', 'peak MiB', 'start ms', 'idle cpu', 'cosine', 'version']
  return `ten-token query, memory, start\n${table(head, rows)}`
}

/** Our rows compared with our float32 row: gain and cost of fewer bits. */
function precisionTable(r, cells) {
  const float32 = r.peers.find((p) => p.ours && p.precision === 'float32')
  const rows = r.peers
    .filter((p) => p.ours && p !== float32 && r.ratios[p.id]?.[float32?.id])
    .map((p) => [
      p.id,
      p.agreement.leastCosineToOurFloat32.toFixed(6),
      ...[...cells, 'latency', 'memory'].map((metric) => times(r.ratios[p.id][float32.id][metric].median)),
    ])
  if (rows.length === 0) return null
  const title = 'our rows against our float32: least cosine, times as fast, times less memory'
  return `${title}\n${table(['row', 'cosine', ...cells, 'query', 'memory'], rows)}`
}

export function report(r) {
  const cells = r.settings.cells
    .map(({ set, batch }) => `${set}/${batch}`)
    .filter((cell) => r.peers.some((p) => p.cells?.[cell]))
  const parts = [header(r), ...cells.map((cell) => cellTable(r, cell)), precisionTable(r, cells)].filter(Boolean)
  if (cells.length > 0) parts.push(queryTable(r))
  parts.push(...ownTables(r))
  const out = r.peers.filter((p) => p.status !== 'ranked')
  if (out.length > 0) parts.push(['not ranked', ...out.map((p) => `  ${p.id}: ${p.status}: ${p.reason}`)].join('\n'))
  return parts.join('\n\n') + '\n'
}
