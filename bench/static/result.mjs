/** The result of bench:static as JSON: the form that lib/baseline.mjs reads. */
import { median, summary } from '../lib/stats.mjs'

const OURS = 'embedcore'

const summaries = (rows) =>
  Object.fromEntries(Object.keys(rows[0]).map((name) => [name, summary(rows.map((row) => row[name]))]))

/** How many times as fast ours is as another, by round: of the seconds or CPU seconds of both. */
function ratiosOf(own, theirs) {
  if (own.length === 0 || theirs.length !== own.length) return null
  return summary(theirs.map((seconds, round) => seconds / own[round]))
}

/**
 * times: { model: { peer: { seconds, cpuSeconds, quality, savedSeconds, savedCpuSeconds } } }, lists by round; `saves`:
 * names of those whose seconds include saving.
 */
export function rowsOf(times, saves, tokens) {
  return Object.entries(times).flatMap(([model, peers]) => {
    const own = peers[OURS]
    return Object.entries(peers).map(([peer, { seconds, cpuSeconds, quality }]) => {
      const saved = saves.includes(peer)
      return {
        model,
        peer,
        seconds: summary(seconds),
        cpuSeconds: cpuSeconds.length === 0 ? null : summary(cpuSeconds),
        wordsPerSecond: tokens / median(seconds),
        ratio: own ? ratiosOf(saved ? own.savedSeconds : own.seconds, seconds) : null,
        cpuRatio: own ? ratiosOf(saved ? own.savedCpuSeconds : own.cpuSeconds, cpuSeconds) : null,
        quality: quality.length === 0 ? null : summaries(quality),
      }
    })
  })
}

/** versions: { peer: version }; notRanked: { peer: why }. */
export function buildResult({ rows, versions, notRanked, corpus, settings, machine, commit, date }) {
  const measured = [...new Set(rows.map(({ peer }) => peer))]
  const ratios = Object.fromEntries(
    measured
      .filter((peer) => peer !== OURS)
      .map((peer) => [
        peer,
        Object.fromEntries(
          rows.filter((row) => row.peer === peer && row.ratio !== null).map(({ model, ratio }) => [model, ratio]),
        ),
      ]),
  )
  return {
    schema: 1,
    bench: 'static',
    date,
    ...commit,
    model: { name: 'word2vec' },
    machine,
    texts: { tokens: corpus.tokens, real: corpus.real, sha256: corpus.sha256 },
    settings: { ...settings, cells: [...new Set(rows.map(({ model }) => model))] },
    peers: [
      ...measured.map((id) => ({ id, ours: id === OURS, status: 'ranked', version: versions[id] ?? null })),
      ...Object.entries(notRanked).map(([id, reason]) => ({ id, ours: id === OURS, status: 'skipped', reason })),
    ],
    rows,
    ratios: measured.includes(OURS) ? { [OURS]: ratios } : {},
  }
}
