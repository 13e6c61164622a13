/** Turns the measurements into the result that is printed, drawn, written and compared: plain data, see README.md. */
import { flopsPerToken, linearFlops } from './flops.mjs'
import { PRECISIONS, peaksOfCells, wholePeak } from './machine.mjs'
import { MODELS, cellName } from './specs.mjs'
import { median, quantile, summary } from './stats.mjs'

/** 2: limits by cell, from peaks measured in turn; 1: by set, from the best peak before all cells. */
export const SCHEMA = 2

const setOf = (cell) => cell.slice(0, cell.indexOf('/'))

function peerResult(entry, context, limits) {
  const { spec, status, reason } = entry
  const result = {
    id: spec.id,
    precision: spec.precision,
    ours: spec.ours ?? false,
    status: status === 'loaded' ? 'ranked' : status,
  }
  if (reason) result.reason = reason
  if (entry.loaded)
    Object.assign(result, {
      version: entry.loaded.version,
      loadMs: entry.loaded.loadMs,
      firstVectorMs: entry.loaded.firstVectorMs,
    })
  if (entry.agreement) result.agreement = entry.agreement
  if (status !== 'loaded') return result
  result.cells = {}
  for (const [cell, rounds] of entry.cells) {
    const tokensPerSecond = summary(rounds.map((r) => r.tokens / r.seconds))
    const delays = rounds.map((r) => r.eventLoopDelayP99Ms).filter((d) => d !== null)
    result.cells[cell] = {
      tokensPerSecond,
      shareOfLimit: limits?.[cell] ? tokensPerSecond.median / limits[cell][spec.precision] : null,
      eventLoopDelayP99Ms: delays.length ? median(delays) : null,
    }
  }
  result.notMeasured = Object.fromEntries(
    context.cells
      .map(cellName)
      .filter((cell) => !entry.cells.has(cell))
      .map((cell) => [cell, spec.why]),
  )
  const samples = entry.latency.flat()
  result.latencyMs = {
    p50: quantile(samples, 0.5),
    p99: quantile(samples, 0.99),
    samples: samples.length,
    p50Rounds: entry.latency.map((s) => median(s)),
  }
  const { peakRssBytes, idle } = entry.stats
  Object.assign(result, { peakRssBytes, idleCpuShare: idle.seconds > 0 ? idle.cpuSeconds / idle.seconds : null })
  return result
}

/**
 * The pairs that are compared: a peer with our row of its precision, and our rows of fewer bits with our float32 row.
 */
const comparable = (ours, peer) =>
  peer.ours ? peer.precision === 'float32' && ours.precision !== 'float32' : peer.precision === ours.precision

/** The ratios of our row to a peer by cell, in query latency (p50) and in peak memory, within each round. */
function ratio(ours, peer) {
  const out = {}
  for (const [cell, { tokensPerSecond }] of Object.entries(ours.cells)) {
    const other = peer.cells[cell]?.tokensPerSecond
    if (other) out[cell] = summary(tokensPerSecond.rounds.map((rate, i) => rate / other.rounds[i]))
  }
  out.latency = summary(ours.latencyMs.p50Rounds.map((ms, i) => peer.latencyMs.p50Rounds[i] / ms))
  out.memory = summary([peer.peakRssBytes / ours.peakRssBytes])
  return out
}

export function buildResult({ entries, own, context, machine, commit, peak, date }) {
  const { model, modelName, texts } = context
  const used = [...new Set(context.cells.map((cell) => cell.set))]
  const flops = Object.fromEntries(used.map((set) => [set, flopsPerToken(model.config, texts.sets[set].tokens)]))
  const peakInTurn = peaksOfCells(context.turns)
  const limits =
    peak &&
    Object.fromEntries(
      Object.entries(peakInTurn).map(([cell, peaks]) => [
        cell,
        Object.fromEntries(PRECISIONS.map((p) => [p, peaks[p].median / flops[setOf(cell)]])),
      ]),
    )
  const peers = entries.map((entry) => peerResult(entry, context, limits))
  const ranked = peers.filter((p) => p.status === 'ranked')
  const ratios = {}
  for (const ours of ranked.filter((p) => p.ours)) {
    ratios[ours.id] = Object.fromEntries(
      ranked.filter((peer) => comparable(ours, peer)).map((peer) => [peer.id, ratio(ours, peer)]),
    )
  }
  const stat = (set) => ({
    texts: set.texts.length,
    tokens: set.tokens.reduce((a, b) => a + b, 0),
    longest: Math.max(...set.tokens),
    shortest: Math.min(...set.tokens),
  })
  return {
    schema: SCHEMA,
    date: date.toISOString(),
    ...commit,
    model: {
      name: modelName,
      title: MODELS[modelName].title,
      linearFlopsPerToken: linearFlops(model.config),
      flopsPerToken: flops,
    },
    machine,
    peak: peak ? wholePeak(peak, context.turns) : null,
    ...(context.meter.reason && { peakReason: context.meter.reason }),
    peakInTurn,
    limitsTokensPerSecond: limits ?? null,
    texts: {
      source: texts.source,
      seed: texts.seed,
      sha256: texts.sha256,
      sets: Object.fromEntries(Object.entries(texts.sets).map(([k, v]) => [k, stat(v)])),
    },
    settings: { threads: context.threads, rounds: context.rounds, seconds: context.seconds, cells: context.cells },
    peers,
    ratios,
    own,
  }
}
