/**
 * Trains with embedcore and saves the vectors as text; prints seconds and CPU seconds, without and with saving.
 * argv: options as JSON.
 */
const { corpus, out, epochs, threads, sg, vectorSize, window, negative, sample, minCount, alpha, seed, dist } =
  JSON.parse(process.argv[2])
const { trainStatic } = await import(dist)
const cpu = process.cpuUsage()
const begin = performance.now()
const { vectors, words, tokens, trainingSeconds } = await trainStatic({
  corpus,
  epochs,
  threads,
  sg,
  vectorSize,
  window,
  negative,
  sample,
  minCount,
  alpha,
  seed,
  progressSeconds: 10,
})
const seconds = (performance.now() - begin) / 1000
const sum = ({ user, system }) => (user + system) / 1e6
const cpuSeconds = sum(process.cpuUsage(cpu))
await vectors.save(out)
const saved = { seconds: (performance.now() - begin) / 1000, cpuSeconds: sum(process.cpuUsage(cpu)) }
console.log(JSON.stringify({ seconds, cpuSeconds, saved, words, tokens, trainingSeconds }))
