/**
 * Learning rates by step, as transformers' schedules: from 0 in a line to the rate of the call over the warm-up, then
 * by the schedule. `step` counts updates from 0.
 */
export const SCHEDULES = ['linear', 'cosine', 'constant'] as const
/**
 * The learning rate after the warm-up.
 * - `linear`: in a line to 0. `cosine`: half a wave to 0. `constant`: as it is.
 */
export type Schedule = (typeof SCHEDULES)[number]

/** Updates of the warm-up: below 1 a share of the run, else their number. */
export function warmupSteps(warmup: number, steps: number): number {
  return warmup < 1 ? Math.ceil(warmup * steps) : warmup
}

/** The factor of the learning rate. `steps` of the whole run; after it the rate stays 0. */
export function rateFactor(schedule: Schedule, step: number, warmup: number, steps: number): number {
  if (step < warmup) return step / Math.max(1, warmup)
  if (schedule === 'constant') return 1
  const rest = Math.max(1, steps - warmup)
  if (schedule === 'linear') return Math.max(0, (steps - step) / rest)
  const progress = Math.min(1, (step - warmup) / rest)
  return 0.5 * (1 + Math.cos(Math.PI * progress))
}
