/** Turns the measurements into the result that is printed, written and compared: plain data, see README.md. */
import { trainingFlops } from '../lib/flops.mjs'
import { wholePeak } from '../lib/machine.mjs'
import { MODELS } from '../lib/specs.mjs'
import { median, summary } from '../lib/stats.mjs'
import { CASES, LORA } from './cases.mjs'
import { judge } from './targets.mjs'

export const SCHEMA = 1

const sum = (values) => values.reduce((a, b) => a + b, 0)
const measuredRounds = (entry) => entry.rounds.flatMap((round, number) => (round ? [{ ...round, number }] : []))
const secondsOf = (round) => median(round.steps.map((step) => step.seconds))
const summaryOf = (values) => (values.length === 0 || values.includes(null) ? null : summary(values))

/** Operations of the steps of a round, which everyone makes with the same batches. */
function roundFlops(entry, name, number, { model, pairs }) {
  const batches = pairs.sets[name]
  const { steps } = CASES[name]
  const lora = entry.row.method === 'lora' ? LORA : null
  return sum(
    Array.from({ length: steps }, (_, i) =>
      trainingFlops(model.config, batches[(number * steps + i) % batches.length].tokens, lora),
    ),
  )
}

/** The figures of a row in a case. */
function figures(entry, name, context) {
  const rounds = measuredRounds(entry)
  const of = (phase, figure) => (round) => sum(round.steps.map((step) => step[phase][figure]))
  const share = (seconds) => (round) =>
    round.peak === null ? null : roundFlops(entry, name, round.number, context) / (seconds(round) * round.peak)
  const wholeSeconds = (round) => sum(round.steps.map((step) => step.seconds))
  const delays = rounds.map((round) => round.eventLoopDelayP99Ms).filter((delay) => delay !== null)
  const memory = rounds.map((round) => round.peakRssBytes).filter((bytes) => bytes !== null)
  const perStep = (phase) => rounds.map((round) => median(round.steps.map((step) => step[phase].seconds)))
  return {
    rounds: rounds.map((round) => round.number),
    stepSeconds: summary(rounds.map(secondsOf)),
    gradientSeconds: summary(perStep('gradients')),
    updateSeconds: summary(perStep('update')),
    tokensPerSecond: summary(rounds.map((round) => sum(round.steps.map((step) => step.tokens)) / wholeSeconds(round))),
    shareOfPeak: summaryOf(rounds.map(share((round) => of('gradients', 'cpuSeconds')(round) / context.threads))),
    shareOfPeakByClock: summaryOf(rounds.map(share(of('gradients', 'seconds')))),
    stepShareOfPeakByClock: summaryOf(rounds.map(share(wholeSeconds))),
    peakRssBytes: memory.length > 0 ? (entry.row.ours ? median(memory) : Math.max(...memory)) : null,
    eventLoopDelayP99Ms: delays.length > 0 ? median(delays) : null,
  }
}

/** Ours and a row of theirs with the same method; LoRA and recomputation also with the row without. */
function comparable(ours, other) {
  if (!ours.ours || ours === other) return false
  if (!other.ours) return !ours.recompute && ours.method === other.method
  if (other.recompute) return false
  return ours.recompute ? ours.method === other.method : ours.method === 'lora' && other.method === 'full'
}

/** How many times as fast ours is, within the rounds that both have; and how many times less memory it needs. */
function ratio(ours, other, name) {
  const both = measuredRounds(ours).filter(({ number }) => other.rounds[number])
  const out = {}
  if (both.length > 0)
    out[name] = summary(both.map((round) => secondsOf(other.rounds[round.number]) / secondsOf(round)))
  const [less, more] = [ours, other].map((entry) => entry.figures?.peakRssBytes)
  if (less && more) out[`memory/${name}`] = summary([more / less])
  return out
}

/** groups: [{ name, dtype, entries }] as measured. */
export function buildResult({ groups, context, machine, commit, peak, date }) {
  const { model, modelName, pairs } = context
  const peers = new Map()
  const ratios = {}
  for (const { name, dtype, entries } of groups) {
    for (const entry of entries) {
      if (!peers.has(entry.id)) {
        const { ours = false, method, dropout, recompute = false } = entry.row
        peers.set(entry.id, {
          id: entry.id,
          precision: dtype,
          ours,
          method,
          dropout,
          recompute,
          status: 'ranked',
          cases: {},
        })
      }
      const peer = peers.get(entry.id)
      if (entry.version) peer.version = entry.version
      if (entry.agreement) peer.agreement = { ...peer.agreement, [name]: entry.agreement }
      if (entry.status !== 'loaded')
        Object.assign(peer, {
          status: entry.status,
          reason: entry.status === 'skipped' ? entry.reason : `${name}: ${entry.reason}`,
        })
      else peer.cases[name] = entry.figures = figures(entry, name, context)
    }
    const ranked = entries.filter((entry) => entry.status === 'loaded')
    for (const ours of ranked)
      for (const other of ranked.filter((one) => comparable(ours.row, one.row))) {
        ratios[ours.id] ??= {}
        ratios[ours.id][other.id] = { ...ratios[ours.id][other.id], ...ratio(ours, other, name) }
      }
  }
  const peaks = groups.flatMap(({ entries }) => entries.flatMap(measuredRounds)).map((round) => round.peaks)
  const result = {
    schema: SCHEMA,
    bench: 'train',
    date: date.toISOString(),
    ...commit,
    model: { name: modelName, title: MODELS[modelName].title },
    machine,
    peak: peak ? wholePeak(peak, new Map([['train', peaks.flat().filter(Boolean)]])) : null,
    ...(context.meter.reason && { peakReason: context.meter.reason }),
    texts: {
      source: pairs.source,
      seed: pairs.seed,
      sha256: pairs.sha256,
      batches: Object.fromEntries(
        Object.entries(pairs.sets).map(([name, batches]) => [name, describe(batches, model)]),
      ),
    },
    settings: {
      threads: context.threads,
      rounds: context.rounds,
      limit: context.limit,
      cells: groups.map(({ name, dtype }) => `${name}/${dtype}`),
      lora: LORA,
    },
    peers: [...peers.values()],
    ratios,
  }
  return { ...result, targets: judge(result) }
}

function describe(batches, { config }) {
  const tokens = batches.map((batch) => sum(batch.tokens))
  const flops = (lora) => median(batches.map((batch) => trainingFlops(config, batch.tokens, lora)))
  return {
    batches: batches.length,
    tokens: median(tokens),
    shortest: Math.min(...batches.flatMap((batch) => batch.tokens)),
    longest: Math.max(...batches.flatMap((batch) => batch.tokens)),
    flops: { full: flops(null), lora: flops(LORA) },
  }
}
