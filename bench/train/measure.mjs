/**
 * Measures the rows of a case in turn, as measure.mjs does for encoding: rounds are outermost, and the peak of the
 * machine is measured before and after every row. Ours trains in a fresh process each time; theirs stays alive, because
 * its libraries take seconds to load, and sleeps while others work.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BENCH } from '../lib/paths.mjs'
import { SETTLE_MS, startPeer } from '../lib/peer.mjs'
import { AGREEMENT, CASES, CHECK, LEARNING_RATE, LORA, MAX_GRAD_NORM, MINI_BATCH, SCALE, rowId } from './cases.mjs'

/** For a step of theirs on a busy machine. */
const COMMAND_SECONDS = 900

/** Runs some steps of ours in a fresh process. */
async function runOwn(given) {
  const folder = mkdtempSync(join(tmpdir(), 'embedcore-bench-train-'))
  const args = [join(BENCH, 'train', 'child.mjs'), JSON.stringify({ ...given, output: join(folder, 'model') })]
  try {
    return await new Promise((resolve, reject) => {
      execFile(process.execPath, args, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
        if (!error) return resolve(JSON.parse(stdout))
        const reason = stderr.trim().split('\n').at(-1)
        reject(new Error(`its process ended (${error.signal ?? `exit code ${error.code}`}): ${reason}`))
      })
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function own(row, dtype, name, { model, pairs, threads }) {
  const given = {
    directory: model.directory,
    row,
    dtype,
    gradientCache: CASES[name].gradientCache ?? false,
    threads,
  }
  const { warm, steps } = CASES[name]
  return {
    check: () =>
      runOwn({ ...given, texts: pairs.files.check, first: 0, warm: 0, steps: CHECK.batches, dropout: false }),
    warm: async () => {},
    round: (first) => runOwn({ ...given, texts: pairs.files[name], first, warm, steps, dropout: row.dropout }),
    stop: () => {},
  }
}

/** Rows of theirs that differ only in dropout have one process. Returns how to start it, by method. */
function theirProcesses(dtype, name, context) {
  const started = new Map()
  return (method) => {
    if (!started.has(method)) {
      const options = {
        dtype,
        check: context.pairs.files.check,
        lora: method === 'lora' ? LORA : null,
        scale: SCALE,
        learningRate: LEARNING_RATE[method],
        maxGradNorm: MAX_GRAD_NORM,
        gradientCache: CASES[name].gradientCache ?? false,
        miniBatch: MINI_BATCH,
        seed: context.seed,
      }
      const spec = {
        runner: 'sentence_transformers_trainer.py',
        python: true,
        options,
        commandSeconds: COMMAND_SECONDS,
      }
      const start = startPeer(spec, { ...context, texts: { path: context.pairs.files[name] } })
      started.set(
        method,
        start.then(({ peer, loaded }) => ({ peer, loaded, stop: () => peer.stop() })),
      )
    }
    return started.get(method)
  }
}

async function theirs(row, name, startProcess) {
  const { peer, loaded, stop } = await startProcess(row.method)
  const { warm, theirWarm = warm, steps } = CASES[name]
  return {
    version: loaded.version,
    check: () => peer.send('check'),
    warm: () => peer.send('warm', { count: theirWarm }),
    async round(first) {
      const { steps: took } = await peer.send('steps', { first, count: steps, dropout: row.dropout })
      // Without dropout less memory is needed: what the process had at most is that of the row with it.
      const memory = row.dropout ? await peer.send('stats') : { peakRssBytes: null }
      return { steps: took, ...memory, eventLoopDelayP99Ms: null }
    },
    stop,
  }
}

function drop(entry, status, reason) {
  entry.status = status
  entry.reason = reason
}

/** Runs `task` for every row that is left; a row that fails is measured no more. */
async function each(entries, label, context, task) {
  for (const entry of entries.filter((e) => e.status === 'loaded')) {
    context.progress(`${label}: ${entry.id}`)
    await sleep(SETTLE_MS)
    try {
      await task(entry)
    } catch (error) {
      drop(entry, 'failed', error.message)
    }
  }
}

const apart = (a, b) => Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b))

/**
 * How far the losses and gradient norms of the first steps without dropout are from theirs. The factors of LoRA begin
 * with other random numbers, so there it is the first loss alone.
 */
function difference(row, steps, reference) {
  if (row.method === 'lora') return apart(steps[0].loss, reference[0].loss)
  return Math.max(
    ...steps.map((s, i) =>
      Math.max(apart(s.loss, reference[i].loss), apart(s.gradientNorm, reference[i].gradientNorm)),
    ),
  )
}

/** One entry of each process: ours have one each, theirs one for each method. */
const leaders = (entries) =>
  entries.filter(
    (e) => e.row.ours || e === entries.find((other) => !other.row.ours && other.row.method === e.row.method),
  )

/** Drops an entry, and those that have its process. */
function dropAll(entries, entry, reason) {
  const process = entry.row.ours ? [entry] : entries.filter((e) => !e.row.ours && e.row.method === entry.row.method)
  for (const one of process) drop(one, 'disagrees', reason)
}

async function agree(entries, dtype, name, context) {
  const expected = context.pairs.sets.check.map(({ tokens }) => tokens.reduce((a, b) => a + b, 0))
  await each(leaders(entries), `check of ${name}`, context, async (entry) => {
    entry.checked = (await entry.runner.check()).steps
  })
  for (const method of ['full', 'lora']) {
    const alike = entries.filter((e) => e.row.method === method && e.checked)
    const reference = alike.find((e) => !e.row.ours)
    for (const entry of alike) {
      const differ = entry.checked.findIndex((step, i) => step.tokens !== expected[i])
      if (differ >= 0) {
        dropAll(entries, entry, `${entry.checked[differ].tokens} tokens in a batch of ${expected[differ]}`)
        continue
      }
      if (!reference) continue
      const by = difference(entry.row, entry.checked, reference.checked)
      entry.agreement = { reference: reference.id, difference: by, allowed: AGREEMENT[dtype] }
      // `!(<=)` and not `>`: a loss that is not a number disagrees too.
      if (!(by <= AGREEMENT[dtype]))
        dropAll(entries, entry, `losses or gradients differ from ${reference.id} by ${by.toExponential(1)}`)
    }
  }
}

function peakNow(context) {
  context.progress('peak of the machine')
  return context.meter.inTurn?.() ?? null
}

/** The mean of the two peaks by precision, operations a second; null = not measured. */
const meanPeak = (before, after, precision) => {
  const rates = [before, after].map((peak) => peak && (peak[precision] ?? peak.float32).gops * 1e9)
  return rates.includes(null) ? null : (rates[0] + rates[1]) / 2
}

async function time(entries, dtype, name, context) {
  const { rounds, limit } = context
  for (let round = 0; round < rounds; round++) {
    const left = entries.filter((e) => e.status === 'loaded' && e.seconds < limit)
    if (left.length === 0) return
    const turn = left.map((_, i) => left[(i + round) % left.length])
    let before = peakNow(context)
    await each(turn, `${name} in ${dtype}, round ${round + 1}/${rounds}`, context, async (entry) => {
      const measured = await entry.runner.round(round * CASES[name].steps)
      await sleep(SETTLE_MS)
      const after = peakNow(context)
      entry.rounds[round] = { ...measured, peak: meanPeak(before, after, dtype), peaks: [before, after] }
      entry.seconds += measured.steps.reduce((sum, step) => sum + step.seconds, 0)
      before = after
    })
  }
}

/** All rows of a case in a dtype. Returns { row, id, status, reason?, version?, agreement?, rounds } of each. */
export async function measureCase(name, dtype, context) {
  const { without } = CASES[name]
  const rows = context.rows.filter((row) => !without.includes(row.id))
  const startProcess = theirProcesses(dtype, name, context)
  const start = Date.now()
  context.progress(`loading for ${name} in ${dtype}`)
  const entries = await Promise.all(
    rows.map(async (row) => {
      const entry = { row, id: rowId(row, dtype), status: 'loaded', rounds: [], seconds: 0 }
      if (!row.ours && !context.python) {
        drop(entry, 'skipped', context.withoutPython)
        return entry
      }
      try {
        entry.runner = row.ours ? own(row, dtype, name, context) : await theirs(row, name, startProcess)
        entry.version = row.ours ? context.model.packageVersion : entry.runner.version
      } catch (error) {
        drop(entry, 'skipped', error.message)
      }
      return entry
    }),
  )
  try {
    await agree(entries, dtype, name, context)
    await each(leaders(entries), `warm-up of ${name}`, context, (entry) => entry.runner.warm())
    await time(entries, dtype, name, context)
  } finally {
    for (const stop of new Set(entries.map((e) => e.runner?.stop))) stop?.()
  }
  context.say(`bench:train: ${name} in ${dtype} took ${Math.round((Date.now() - start) / 1000)} s`)
  return entries
}
