/** Did memory and threads stay flat? Judged by the lowest value of each third of the run after the warm-up. */
import { median, slope } from './stats.mjs'

/** With fewer samples in a third, its lowest value is not reliable. */
const LEAST_SAMPLES = 30
/** The warm-up: until then the allocator's arenas, one per thread, still grow. README.md has figures. */
const WARM_CALLS = 5000
/** Tolerated growth of a floor. That of resident memory comes from the allocator, as README.md explains. */
const TOLERATED = {
  rss: (typical) => Math.max(4 * 2 ** 20, 0.02 * typical),
  external: () => 2 ** 20,
  threads: () => 0,
}

/** The samples in three parts of equal time. */
function thirds(samples) {
  if (samples.length === 0) return [[], [], []]
  const [begin, end] = [samples[0].minutes, samples.at(-1).minutes]
  const part = (s) => Math.min(2, Math.floor((3 * (s.minutes - begin)) / (end - begin || 1)))
  return [0, 1, 2].map((k) => samples.filter((s) => part(s) === k))
}

/**
 * samples: [{ minutes, calls, rss, external, threads }]; threads is null if the system does not report it. Returns {
 * flat, reason, floors, grown, tolerated, slopeMbPerHour }, the middle ones by name of the value. flat is null if the
 * run was too short, and `reason` says why; the floors are then those of the whole run.
 *
 * The run is flat if no floor of the last third is above that of the first by more than the tolerance. The floor is
 * used instead of a fitted line, because resident memory varies by tens of megabytes as the allocator keeps and returns
 * pages, while a leak raises the floor.
 */
export function verdict(samples) {
  const warm = samples.filter((s) => s.calls >= WARM_CALLS)
  const judged = thirds(warm)
  const least = Math.min(...judged.map((part) => part.length))
  const enough = least >= LEAST_SAMPLES
  const parts = enough ? judged : thirds(samples)
  const out = { floors: {}, grown: {}, tolerated: {}, slopeMbPerHour: null }
  if (samples.length > 2) {
    for (const name of Object.keys(TOLERATED).filter((one) => samples[0][one] !== null)) {
      const floors = parts.map((part) => Math.min(...part.map((s) => s[name])))
      out.floors[name] = floors
      out.grown[name] = floors[2] - floors[0]
      out.tolerated[name] = TOLERATED[name](median(parts[2].map((s) => s[name])))
    }
    const used = enough ? warm : samples
    const perMinute = slope(
      used.map((s) => s.minutes),
      used.map((s) => s.rss),
    )
    out.slopeMbPerHour = (perMinute * 60) / 1e6
  }
  if (!enough) {
    const reason =
      warm.length === 0
        ? `${samples.at(-1)?.calls ?? 0} calls do not warm up the allocator, which needs ${WARM_CALLS}: run longer`
        : `a third has ${least} samples after the warm-up, and its floor needs ${LEAST_SAMPLES}: run longer`
    return { flat: null, reason, ...out }
  }
  const growing = Object.keys(out.grown).filter((name) => out.grown[name] > out.tolerated[name])
  return { flat: growing.length === 0, reason: growing.length > 0 ? growing.join(', ') : null, ...out }
}
