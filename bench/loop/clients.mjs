/**
 * Many clients, each with one short query after another: measures how even the waiting times are, and how many calls
 * are overtaken by many later ones.
 */
import { quantile } from '../lib/stats.mjs'

/**
 * Returns { calls, p50, p99, max, ratio, overtaken }; times in milliseconds, ratio = p99 / p50, overtaken = share of
 * the calls that more than `clients` later ones overtook.
 */
export async function runClients(model, queries, clients, seconds) {
  const times = []
  const underWay = new Set()
  let started = 0
  let finished = 0
  let overtaken = 0
  const end = performance.now() + seconds * 1000
  const client = async () => {
    while (performance.now() < end) {
      const id = started++
      underWay.add(id)
      const start = performance.now()
      await model.encode(queries[id % queries.length])
      times.push(performance.now() - start)
      underWay.delete(id)
      const earlier = [...underWay].filter((other) => other < id).length
      // All calls before this one but `earlier` have finished; the other finished calls started later.
      if (finished - (id - earlier) > clients) overtaken++
      finished++
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)]
  return {
    calls: times.length,
    p50,
    p99,
    max: quantile(times, 1),
    ratio: p99 / p50,
    overtaken: overtaken / times.length,
  }
}
