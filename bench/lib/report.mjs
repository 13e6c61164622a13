/** Prints a result as tables for people. */

const number = (value, digits = 0) => value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
const percent = (value) => (value === null || value === undefined ? '-' : `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`)
const times = (value) => `${value.toFixed(value < 10 ? 2 : 1)}x`
const mebibytes = (bytes) => number(bytes / 2 ** 20)

/** First column left, the others right. */
export function table(head, rows) {
  const all = [head, ...rows]
  const widths = head.map((_, c) => Math.max(...all.map((row) => row[c].length)))
  const line = (row) => '  ' + row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join('  ').trimEnd()
  return [line(head), '  ' + widths.map((w) => '-'.repeat(w)).join('  '), ...rows.map(line)].join('\n')
}

function header(r) {
  const m = r.machine
  const out = [
    `embedcore ${r.version} (${r.commit?.slice(0, 9) ?? 'no commit'}${r.dirty ? ', changed since' : ''}), ${r.model.title}, ${r.date.slice(0, 10)}`,
    `${m.cpu} (${m.device}), ${m.physicalCores} cores${m.virtualised ? ', virtual' : ''}, ${number(m.memoryBytes / 2 ** 30)} GiB, Node ${m.node}, ${r.settings.threads} threads for everyone`,
  ]
  if (r.peak) {
    const rate = (p, unit) => (r.peak[p] ? `${number(r.peak[p].gops)} ${unit} ${p} (${r.peak[p].instructions})` : `no ${p}`)
    out.push(`measured peak: ${rate('float32', 'GFLOP/s')}, ${rate('bfloat16', 'GFLOP/s')}, ${rate('int8', 'GOP/s')}; read ${number(r.peak.read_gb_s)} GB/s`)
    for (const [set, limit] of Object.entries(r.limitsTokensPerSecond)) {
      out.push(`limit, ${set} texts: ${Object.entries(limit).map(([p, rate]) => `${number(rate)} ${p}`).join(', ')} tokens/s (${number(r.model.flopsPerToken[set] / 1e6, 1)} MFLOP a token)`)
    }
  } else out.push(`measured peak: none (${r.peakReason})`)
  if (m.loadAverageBefore > 0.3) out.push(`note: the machine was busy before the start (load ${m.loadAverageBefore.toFixed(2)}): expect spread`)
  const sets = [...new Set(r.settings.cells.map((cell) => cell.set))].map((name) => [name, r.texts.sets[name]])
  out.push(`texts: ${r.texts.source}, seed ${r.texts.seed}; ${sets.map(([name, s]) => `${name}: ${s.texts} of ${s.shortest} to ${s.longest} tokens, mean ${number(s.tokens / s.texts)}`).join('; ')}`)
  out.push(`measured: ${r.settings.rounds} rounds of ${r.settings.seconds} s or one batch, peers in turn`)
  return out.join('\n')
}

function cellTable(r, cell, oursIds) {
  const rows = r.peers
    .filter((p) => p.cells?.[cell])
    .map((p) => {
      const { tokensPerSecond: t, shareOfLimit, eventLoopDelayP99Ms } = p.cells[cell]
      const against = oursIds.map((id) => (p.id === id ? '-' : r.ratios[id][p.id]?.[cell] ? times(r.ratios[id][p.id][cell].median) : '-'))
      return [p.id, p.precision, number(t.median), `${number(t.min)} - ${number(t.max)}`, percent(shareOfLimit), eventLoopDelayP99Ms === null ? '-' : number(eventLoopDelayP99Ms, 1), ...against]
    })
  const head = ['peer', 'precision', 'tokens/s', 'min - max', 'of limit', 'loop p99 ms', ...oursIds.map((id) => `${id} is`)]
  const missing = r.peers.filter((p) => p.notMeasured?.[cell]).map((p) => `\n  ${p.id}: ${p.notMeasured[cell]}`)
  return `${cell.replace('/', ' texts, batch ')}\n${table(head, rows)}${missing.join('')}`
}

function queryTable(r, oursIds) {
  const rows = r.peers
    .filter((p) => p.latencyMs)
    .map((p) => [
      p.id, number(p.latencyMs.p50, 2), number(p.latencyMs.p99, 2), ...oursIds.map((id) => (p.id === id || !r.ratios[id][p.id] ? '-' : times(r.ratios[id][p.id].latency.median))),
      mebibytes(p.peakRssBytes), number(p.firstVectorMs), p.idleCpuShare === null ? '-' : `${(100 * p.idleCpuShare).toFixed(2)} %`, p.agreement.leastCosine.toFixed(5), p.version,
    ])
  const head = ['peer', 'p50 ms', 'p99 ms', ...oursIds.map((id) => `${id} is`), 'peak MiB', 'start ms', 'idle cpu', 'cosine', 'version']
  return `ten-token query, memory, start\n${table(head, rows)}`
}

export function report(r) {
  const oursIds = Object.keys(r.ratios)
  const cells = r.settings.cells.map(({ set, batch }) => `${set}/${batch}`).filter((cell) => r.peers.some((p) => p.cells?.[cell]))
  const parts = [header(r), ...cells.map((cell) => cellTable(r, cell, oursIds))]
  if (cells.length > 0) parts.push(queryTable(r, oursIds))
  const out = r.peers.filter((p) => p.status !== 'ranked')
  if (out.length > 0) parts.push(['not ranked', ...out.map((p) => `  ${p.id}: ${p.status}: ${p.reason}`)].join('\n'))
  return parts.join('\n\n') + '\n'
}
