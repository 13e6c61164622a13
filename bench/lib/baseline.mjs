/**
 * Baselines: the ratios of a result, kept in baselines/<device>-<model>.json (of training <device>-train-<model>.json,
 * of Word2Vec <device>-static-word2vec.json), and the comparison of a later result with them. Only ratios are kept and
 * compared, of our speed to a peer's in the same rounds, because they do not depend on the clock of the machine.
 */
import { join } from 'node:path'
import { BASELINES } from './paths.mjs'
import { median, medianError } from './stats.mjs'

const SCHEMA = 1

/** How much of a ratio may be lost before it counts; README.md says where the numbers come from. */
const TOLERANCE = { throughput: 0.2, latency: 0.3, memory: 0.15 }
/** A ratio counts as below the tolerated one only if the difference is more than this many of its standard errors. */
const ERRORS = 2

/** Which bench made a result, or measured for a baseline. */
export const benchOf = ({ bench }) => bench ?? 'encode'

export function baselineFile(result) {
  const name = benchOf(result) === 'encode' ? result.model.name : `${benchOf(result)}-${result.model.name}`
  return join(BASELINES, `${result.machine.device}-${name}.json`)
}

const isMemory = (metric) => metric === 'memory' || metric.startsWith('memory/')
const kindOf = (metric) => (isMemory(metric) ? 'memory' : metric === 'latency' ? metric : 'throughput')
const rounded = (value) => Number(value.toPrecision(4))

export function baselineOf(result) {
  const ratios = Object.fromEntries(
    Object.entries(result.ratios).map(([ours, peers]) => [
      ours,
      Object.fromEntries(
        Object.entries(peers).map(([peer, metrics]) => [
          peer,
          Object.fromEntries(Object.entries(metrics).map(([metric, { median }]) => [metric, rounded(median)])),
        ]),
      ),
    ]),
  )
  const { cpu, device, isa, node } = result.machine
  const { threads, cells, rounds } = result.settings
  const versions = Object.fromEntries(
    result.peers.filter((p) => p.status === 'ranked' && !p.ours).map((p) => [p.id, p.version]),
  )
  return {
    schema: SCHEMA,
    ...(result.bench && { bench: result.bench }),
    date: result.date,
    version: result.version,
    commit: result.commit,
    dirty: result.dirty,
    device,
    machine: { cpu, isa, node },
    model: result.model.name,
    settings: { threads, rounds, cells },
    texts: result.texts.sha256,
    versions,
    tolerance: TOLERANCE,
    ratios,
  }
}

/** Digests of all texts, or by the case of training: of those that both have. */
function sameTexts(a, b) {
  if (typeof a === 'string' || typeof b === 'string') return a === b
  return Object.keys(a).every((name) => b[name] === undefined || a[name] === b[name])
}

/** Why the two cannot be compared, or null. */
export function incomparable(baseline, result) {
  if (baseline.schema !== SCHEMA) return `the baseline has schema ${baseline.schema}, this check reads ${SCHEMA}`
  if (benchOf(baseline) !== benchOf(result))
    return `the baseline is of the bench ${benchOf(baseline)}, the result of ${benchOf(result)}`
  if (baseline.model !== result.model.name)
    return `the baseline is of model ${baseline.model}, the result of ${result.model.name}`
  if (baseline.device !== result.machine.device)
    return `the baseline is of device ${baseline.device}, the result of ${result.machine.device}`
  if (!sameTexts(baseline.texts, result.texts.sha256)) return 'baseline and result were measured on different texts'
  for (const peer of result.peers) {
    const known = baseline.versions[peer.id] !== undefined || baseline.ratios[peer.id] !== undefined
    if (known && peer.status !== 'ranked')
      return `${peer.id}, which the baseline knows, was not measured this time: ${peer.status}: ${peer.reason}`
    if (known && !peer.ours && peer.version !== baseline.versions[peer.id])
      return (
        `the baseline was measured against ${peer.id} ${baseline.versions[peer.id]}, ` +
        `the result against ${peer.version}`
      )
  }
  return null
}

const sameCells = (a, b) => JSON.stringify(a) === JSON.stringify(b)

/** Every ratio that both have: { ours, peer, metric, then, now, change, tolerance, backwards }. */
export function compare(baseline, result) {
  const rows = []
  for (const [ours, peers] of Object.entries(baseline.ratios)) {
    for (const [peer, metrics] of Object.entries(peers)) {
      for (const [metric, then] of Object.entries(metrics)) {
        const measured = result.ratios[ours]?.[peer]?.[metric]
        if (!measured) continue
        // Peak memory of a process that ran all batches depends on the largest one: it is not compared if others ran.
        if (metric === 'memory' && !sameCells(baseline.settings.cells, result.settings.cells)) continue
        const tolerance = baseline.tolerance[kindOf(metric)]
        const now = median(measured.rounds)
        const backwards = now + ERRORS * medianError(measured.rounds) < then * (1 - tolerance)
        rows.push({ ours, peer, metric, then, now, change: now / then - 1, tolerance, backwards })
      }
    }
  }
  return rows
}

const METRICS = {
  latency: 'ten-token query, p50',
  memory: 'peak memory',
  skipgram: 'Word2Vec, skip-gram',
  cbow: 'Word2Vec, CBOW',
}

/** Names without a batch are cases of training. */
export function metricName(metric) {
  if (METRICS[metric]) return METRICS[metric]
  if (isMemory(metric)) return metric.replace('memory/', 'peak memory, training, ')
  return metric.includes('/') ? `throughput, ${metric.replace('/', ' texts, batch ')}` : `step of training, ${metric}`
}

/** Every ratio of a result: { ours, peer, metric, now }. */
export const ratiosOf = (result) =>
  Object.entries(result.ratios).flatMap(([ours, peers]) =>
    Object.entries(peers).flatMap(([peer, metrics]) =>
      Object.entries(metrics).map(([metric, { median: now }]) => ({ ours, peer, metric, now })),
    ),
  )

export function sentence({ ours, peer, metric, then, now, change, tolerance }) {
  return (
    `${ours} against ${peer} went backwards (${metricName(metric)}): ${then.toFixed(2)}x in the baseline, ` +
    `${now.toFixed(2)}x now, ${(100 * change).toFixed(0)} %, tolerated ${(-100 * tolerance).toFixed(0)} %`
  )
}
