/** What bench:recipes says of a task: whether the first losses are equal, and the last metrics as good. */
import { table } from '../lib/table.mjs'

/**
 * Relative difference of the first losses. Both compute in float32, in other orders of sums; AdamW divides a gradient by
 * its own size, so that the sign of a gradient near zero moves a weight by the whole rate, and differences grow from
 * step to step.
 */
const LOSS_TOLERANCE = 1e-3
/** Below this a loss is compared absolutely: semi-hard triplets may have nothing left to learn. */
const SMALL_LOSS = 0.01

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length

const difference = (ours, theirs) =>
  Math.max(...ours.map((loss, i) => Math.abs(loss - theirs[i]) / Math.max(SMALL_LOSS, Math.abs(theirs[i]))))

/** Standard error of a metric over `count` held-out queries or pairs: of a rank correlation, or of a mean in 0 to 1. */
const standardError = (key, value, count) =>
  key.includes('spearman') ? (1 - value * value) / Math.sqrt(count - 1) : Math.sqrt((value * (1 - value)) / count)

function judgeMetric([title, key, count], runs) {
  const of = (side) => runs.map((run) => run[side].metrics[key])
  const [ours, theirs] = [of('ours'), of('theirs')]
  const noise = 2 * standardError(key, mean(theirs), count)
  return {
    title,
    key,
    count,
    before: runs[0].before[key],
    ours,
    theirs,
    noise,
    held: mean(ours) >= mean(theirs) - noise,
  }
}

export function judgeTask(recipe, task, runs) {
  const lossDifference = difference(runs[0].ours.firstLosses, runs[0].theirs.firstLosses)
  const metrics = task.metrics.map((metric) => judgeMetric(metric, runs))
  return {
    recipe,
    task: task.name,
    about: task.about,
    floors: task.floors,
    lossDifference,
    lossTolerance: LOSS_TOLERANCE,
    metrics,
    held: lossDifference <= LOSS_TOLERANCE && metrics.every(({ held }) => held),
    runs,
  }
}

const cell = (value) => value.toFixed(4)
const cells = (values) =>
  values.length === 1
    ? cell(values[0])
    : `${cell(mean(values))} (${cell(Math.min(...values))}-${cell(Math.max(...values))})`

function taskReport({ recipe, task, about, lossDifference, lossTolerance, metrics, floors, runs }) {
  const seconds = (side) => mean(runs.map((run) => run[side].seconds)).toFixed(1)
  const [floor] = Object.entries(floors).slice(-1)
  return [
    `${recipe}, ${task}: ${runs[0].steps} steps, seeds ${runs.map(({ seed }) => seed).join(', ')}`,
    ...about.map((line) => `  ${line}`),
    '',
    table(
      ['metric', floor?.[0] ?? 'floor', 'before', 'embedcore', 'sentence-transformers', 'noise', ''],
      metrics.map(({ title, key, before, ours, theirs, noise, held }) => [
        title,
        floor?.[1][key] === undefined ? '-' : cell(floor[1][key]),
        cell(before),
        cells(ours),
        cells(theirs),
        cell(noise),
        held ? 'holds' : 'WORSE',
      ]),
    ),
    `  first losses: the largest relative difference is ${lossDifference.toExponential(1)} ` +
      `(tolerance ${lossTolerance.toExponential(0)}${lossDifference > lossTolerance ? ', EXCEEDED' : ''}); ` +
      `training took ${seconds('ours')} s here, ${seconds('theirs')} s there`,
    '',
    '',
  ].join('\n')
}

export const reportRecipes = ({ recipes }) => recipes.map(taskReport).join('\n')
