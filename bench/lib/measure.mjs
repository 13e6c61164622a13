/**
 * The measurement itself: starts the peers, compares their vectors, then times them in turn.
 *
 * One child per peer stays alive with its model loaded; only one works at a time. Rounds are outermost and peers
 * innermost, so the peers of one cell and round are timed within seconds of each other: a busy moment of the machine
 * affects all of them, and ratios are taken within a round. The limits of the machine are measured before and after the
 * peers of each cell and round.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { prepareFiles } from './models.mjs'
import { SETTLE_MS, startPeer } from './peer.mjs'
import { INSTALL_ADVICE } from './setup.mjs'
import { AGREEMENT, MODELS, cellName } from './specs.mjs'
import { cosine } from './stats.mjs'

/** Starts one peer. Returns { spec, peer, loaded } or { spec, status: 'skipped', reason }. */
async function start(spec, context) {
  const skipped = (reason) => ({ spec, status: 'skipped', reason })
  if (!spec.families.includes(context.model.config.model_type))
    return skipped(
      `set up for ${spec.families.join(' and ')} models, and this one is ${context.model.config.model_type}`,
    )
  if (!spec.ours && !spec.python && !context.installed) return skipped(`not installed: ${INSTALL_ADVICE}`)
  if (spec.needs) {
    const reason = (context.reasons[spec.needs] ??= { value: prepareFiles(spec.needs, context.model, context.say) })
      .value
    if (reason) return skipped(reason)
  }
  try {
    return { spec, ...(await startPeer(spec, context)), status: 'loaded', cells: new Map(), latency: [] }
  } catch (error) {
    return skipped(error.message)
  }
}

/**
 * The vectors that others must agree with come from a float32 peer other than embedcore, so that a mistake of ours is
 * found.
 */
function chooseReference(entries) {
  const float32 = entries.filter((e) => e.spec.precision === 'float32')
  return float32.find((e) => !e.spec.ours) ?? float32[0] ?? entries[0]
}

/** Cosines of the texts, row by row; 0 for vectors of different lengths. */
const leastCosine = (a, b) => Math.min(...a.map((row, i) => (row.length === b[i].length ? cosine(row, b[i]) : -1)))

async function agree(entries, context) {
  for (const entry of entries) {
    context.progress(`vectors: ${entry.spec.id}`)
    try {
      Object.assign(entry, await entry.peer.send('vectors', { set: 'check' }))
    } catch (error) {
      drop(entry, 'failed', error.message)
    }
  }
  const alive = entries.filter((e) => e.vectors)
  const reference = chooseReference(alive)
  const required = { ...AGREEMENT, ...MODELS[context.modelName].agreement }
  const ours = alive.find((e) => e.spec.ours && e.spec.precision === 'float32')
  const expected = context.texts.sets.check.tokens
  for (const entry of alive) {
    const least = leastCosine(entry.vectors, reference.vectors)
    const differ = entry.tokenCounts ? entry.tokenCounts.filter((n, i) => n !== expected[i]).length : null
    entry.agreement = {
      reference: reference.spec.id,
      leastCosine: least,
      required: required[entry.spec.precision],
      textsTokenisedDifferently: differ,
    }
    if (entry.spec.ours && ours) entry.agreement.leastCosineToOurFloat32 = leastCosine(entry.vectors, ours.vectors)
    // `!(>=)` and not `<`: NaN vectors disagree too.
    if (!(least >= entry.agreement.required)) {
      const { required, reference } = entry.agreement
      drop(entry, 'disagrees', `cosine ${least.toFixed(5)} to ${reference}, required ${required}`)
    }
  }
}

function drop(entry, status, reason) {
  entry.status = status
  entry.reason = reason
  entry.peer.stop()
}

const takes = (entry, cell) => cell.batch <= (entry.spec.maxBatch ?? Infinity)

/** Runs `task` for every living peer, starting with another one each round; a peer that fails is removed. */
async function inTurn(entries, round, label, context, task) {
  const alive = entries.filter((e) => e.status === 'loaded')
  for (let i = 0; i < alive.length; i++) {
    const entry = alive[(i + round) % alive.length]
    context.progress(`${label}: ${entry.spec.id}`)
    await sleep(SETTLE_MS)
    try {
      await task(entry)
    } catch (error) {
      drop(entry, 'failed', error.message)
    }
  }
}

async function peakNow(context) {
  context.progress('peak of the machine')
  await sleep(SETTLE_MS)
  return context.meter.inTurn?.() ?? null
}

/** context.turns: Map of cell name to the peaks measured before and after its rounds. */
function addPeaks(cell, peaks, { turns }) {
  const known = turns.get(cellName(cell)) ?? []
  const all = [...known, ...peaks.filter((peak) => peak !== null)]
  if (all.length > 0) turns.set(cellName(cell), all)
}

async function time(entries, context) {
  const { cells, rounds, seconds } = context
  for (const cell of cells) {
    await inTurn(entries, 0, `warm-up ${cellName(cell)}`, context, async (entry) => {
      if (takes(entry, cell)) await entry.peer.send('warm', cell)
    })
  }
  for (let round = 0; round < rounds; round++) {
    const start = Date.now()
    let before = await peakNow(context)
    for (const cell of cells) {
      await inTurn(entries, round, `round ${round + 1}/${rounds}, ${cellName(cell)}`, context, async (entry) => {
        if (!takes(entry, cell)) return
        const result = await entry.peer.send('round', { ...cell, seconds })
        if (!entry.cells.has(cellName(cell))) entry.cells.set(cellName(cell), [])
        entry.cells.get(cellName(cell)).push(result)
      })
      const after = await peakNow(context)
      addPeaks(cell, [before, after], context)
      before = after
    }
    await inTurn(entries, round, `round ${round + 1}/${rounds}, query`, context, async (entry) => {
      entry.latency.push((await entry.peer.send('latency', { seconds })).samples)
    })
    context.say(`bench: round ${round + 1} of ${rounds} took ${Math.round((Date.now() - start) / 1000)} s`)
  }
  await inTurn(entries, 0, 'memory', context, async (entry) => (entry.stats = await entry.peer.send('stats')))
}

/**
 * context: { specs, model, texts, cells, threads, rounds, seconds, meter, installed, turns, say, progress }. Returns
 * one entry per peer, in order.
 */
export async function measure(context) {
  const entries = []
  context.reasons = {}
  try {
    for (const spec of context.specs) {
      context.progress(`loading ${spec.id}`)
      entries.push(await start(spec, context))
    }
    const loaded = () => entries.filter((e) => e.status === 'loaded')
    if (loaded().length > 0) await agree(loaded(), context)
    if (loaded().length > 0) await time(entries, context)
  } finally {
    for (const entry of entries) entry.peer?.stop()
    context.progress('')
  }
  return entries
}
