/** Keeps a model busy with long calls while something else is measured in the same process. */

/**
 * run(texts): a call. long: { texts, tokens } of one long call. lanes: the number of long calls that run at any time;
 * `task` starts when each lane has finished its first. Returns the result of the task, and the tokens per second of the
 * long calls from their start to their end.
 */
export async function whileBusy(run, long, lanes, task) {
  let stop = false
  let started = 0
  let calls = 0
  let settled
  const ready = new Promise((resolve, reject) => (settled = { resolve, reject }))
  const start = performance.now()
  const lane = async () => {
    for (let first = true; !stop; first = false) {
      await run(long.texts)
      calls++
      if (first && ++started === lanes) settled.resolve()
    }
  }
  const all = Promise.all(Array.from({ length: lanes }, lane))
  all.catch(settled.reject)
  await ready
  let result
  try {
    result = await task()
  } finally {
    stop = true
    await all
  }
  return { ...result, backgroundTokensPerSecond: (calls * long.tokens * 1000) / (performance.now() - start) }
}
