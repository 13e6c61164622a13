/**
 * Cells that only our rows run, after the peers have ended, each in fresh processes:
 *
 *   threads  one thread against all, in alternation within a round
 *   long     one text of about 4,000 tokens against a batch of four such texts
 *   load     a ten-token call on an idle model, and while long calls keep all its threads busy
 *   start    load to first vector in a fresh process, also of transformers.js
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { prepareModel } from './models.mjs'
import { SETTLE_MS, startPeer } from './peer.mjs'
import { LONG, MODELS, cellName } from './specs.mjs'
import { median, quantile, summary } from './stats.mjs'
import { prepareLongTexts } from './texts.mjs'

export const OWN_CELLS = ['threads', 'long', 'load', 'start']

const STARTS = 5
/** Long calls that run at any time, and the texts of each: more than all workers can take together. */
const BUSY = { lanes: 2, batch: 256 }
/** A round under load is longer than others, because its calls are slower and a 99th percentile needs many of them. */
const BUSY_SECONDS_FACTOR = 3
/** The reference call for the limit of a call under load: a call of two uniform texts, 256 tokens, on one thread. */
const YARDSTICK = { set: 'uniform', batch: 2 }

const rate = ({ tokens, seconds }) => tokens / seconds
const percentiles = (samples) => ({
  p50: quantile(samples, 0.5),
  p99: quantile(samples, 0.99),
  samples: samples.length,
})

async function withPeers(starters, task) {
  const peers = []
  try {
    for (const start of starters) peers.push((await start()).peer)
    return await task(...peers)
  } finally {
    for (const peer of peers) peer.stop()
  }
}

/**
 * Tokens per second of two choices, which alternate and take turns in starting a round. `share` is the rate of the
 * first divided by that of the second.
 */
async function duel(context, choices) {
  const rounds = choices.map(() => [])
  for (const { peer, cell } of choices) await peer.send('warm', cell)
  for (let round = 0; round < context.rounds; round++) {
    for (let i = 0; i < choices.length; i++) {
      const at = (i + round) % choices.length
      await sleep(SETTLE_MS)
      rounds[at].push(rate(await choices[at].peer.send('round', { ...choices[at].cell, seconds: context.seconds })))
    }
  }
  return { rates: rounds.map(summary), share: summary(rounds[0].map((r, i) => r / rounds[1][i])) }
}

async function threads(spec, context) {
  const cell = MODELS[context.modelName].threadsCell
  const start = (count) => () => startPeer(spec, { ...context, threads: count })
  return withPeers([start(context.threads), start(1)], async (all, one) => {
    const { rates, share } = await duel(context, [
      { peer: all, cell },
      { peer: one, cell },
    ])
    return {
      cell: cellName(cell),
      threads: context.threads,
      allTokensPerSecond: rates[0],
      oneTokensPerSecond: rates[1],
      ratio: share,
    }
  })
}

async function long(spec, context) {
  const model = {
    ...prepareModel(LONG.name, undefined, context.say, LONG, context.model.layout),
    packageVersion: context.model.packageVersion,
  }
  const start = () => startPeer(spec, { ...context, model, texts: { path: prepareLongTexts(context.texts) } })
  return withPeers([start], async (peer) => {
    const cell = (batch) => ({ peer, cell: { set: 'long', batch } })
    const { rates, share } = await duel(context, [cell(1), cell(4)])
    return { model: LONG.title, loneTokensPerSecond: rates[0], batchTokensPerSecond: rates[1], share }
  })
}

/** Milliseconds of one layer of the reference call, measured in a process with one thread. */
async function layerOfYardstick(spec, context) {
  return withPeers([() => startPeer(spec, { ...context, threads: 1 })], async (peer) => {
    const rounds = []
    await peer.send('warm', YARDSTICK)
    for (let round = 0; round < context.rounds; round++) {
      await sleep(SETTLE_MS)
      const { texts, seconds } = await peer.send('round', { ...YARDSTICK, seconds: context.seconds })
      rounds.push((1000 * seconds * YARDSTICK.batch) / texts)
    }
    return median(rounds) / context.model.config.num_hidden_layers
  })
}

async function load(spec, context) {
  const layerMs = await layerOfYardstick(spec, context)
  return withPeers([() => startPeer(spec, context)], async (peer) => {
    const idle = []
    const busy = []
    const background = []
    for (let round = 0; round < context.rounds; round++) {
      await sleep(SETTLE_MS)
      idle.push(...(await peer.send('latency', { seconds: context.seconds })).samples)
      const { samples, backgroundTokensPerSecond } = await peer.send('load_latency', {
        seconds: BUSY_SECONDS_FACTOR * context.seconds,
        ...BUSY,
      })
      busy.push(...samples)
      background.push(backgroundTokensPerSecond)
    }
    const [idleMs, busyMs] = [percentiles(idle), percentiles(busy)]
    return {
      idleMs,
      busyMs,
      backgroundTokensPerSecond: summary(background),
      layerMs,
      p99OverBound: busyMs.p99 / (4 * idleMs.p50 + layerMs),
    }
  })
}

/** Measures starts in fresh processes, peers in turn. Returns one entry per peer. */
async function start(specs, context) {
  const times = specs.map(() => [])
  for (let i = 0; i < STARTS; i++) {
    for (let at = 0; at < specs.length; at++) {
      const { peer, loaded } = await startPeer(specs[at], context)
      peer.stop()
      times[at].push(loaded)
      await sleep(SETTLE_MS)
    }
  }
  return Object.fromEntries(
    specs.map((spec, at) => [
      spec.id,
      {
        withImportMs: summary(times[at].map((t) => t.firstVectorMs)),
        withoutImportMs: summary(times[at].map((t) => t.firstVectorMs - t.importMs)),
      },
    ]),
  )
}

const BY_ROW = { threads, long, load }

/** entries: as of measure(). Returns { threads: { row: result | { failed } }, ... } of the cells in context.own. */
export async function measureOwn(entries, context) {
  const ranked = entries.filter((e) => e.status === 'loaded')
  const rows = ranked.filter((e) => e.spec.ours).map((e) => e.spec)
  const out = {}
  for (const cell of context.own) {
    if (cell === 'start') continue
    out[cell] = {}
    for (const spec of rows) {
      context.progress(`${cell}: ${spec.id}`)
      out[cell][spec.id] = await BY_ROW[cell](spec, context).catch((error) => ({ failed: error.message }))
    }
  }
  if (context.own.includes('start') && rows.length > 0) {
    context.progress('start')
    out.start = await start(
      [...rows, ...ranked.map((e) => e.spec).filter((s) => s.runner === 'transformers-js.mjs')],
      context,
    )
  }
  context.progress('')
  return out
}
