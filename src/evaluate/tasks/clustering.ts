/** Clustering: how well clusters of the vectors agree with the labels of the texts. */
import { invalidData } from '../../data/data-file.js'
import { Random } from '../../core/random.js'
import { kMeans } from '../learning/k-means.js'
import { vMeasure } from '../learning/v-measure.js'
import type { Measured, Run } from '../run.js'
import { deviationOf, meanOf, numbered, readLabelled, rowsAt } from './labelled.js'
import type { CheckedClustering } from './options.js'

export async function evaluateClustering(evaluator: CheckedClustering, run: Run): Promise<Measured> {
  const { experiments, textsPerExperiment, clusterBatchSize, seed, dimensions } = evaluator
  const { texts, labels, items } = await readLabelled(evaluator, run)
  const truth = numbered(labels)
  const kinds = new Set(truth).size
  if (kinds < 2) throw invalidData(`Expected texts of two labels or more but found ${kinds} in ${texts.length} texts`)
  run.extent = { total: texts.length, share: () => null }
  const rows = await run.encoding.all(texts, run.batchSize, { dimensions })
  const scores = { homogeneity: [] as number[], completeness: [] as number[], v_measure: [] as number[] }
  for (let experiment = 0; experiment < experiments; experiment++) {
    const places =
      experiments === 1
        ? Array.from(texts, (_, i) => i)
        : drawn(texts.length, Math.min(textsPerExperiment, texts.length), seed, experiment)
    const part = Int32Array.from(places, (place) => truth[place]!)
    const found = await kMeans(
      experiments === 1 ? rows : await rowsAt(rows, places, run),
      { clusters: kinds, batchSize: clusterBatchSize, seed, run: experiment },
      run.slices,
      run.signal,
    )
    const agreement = vMeasure(part, found)
    for (const name of ['homogeneity', 'completeness', 'v_measure'] as const) scores[name].push(agreement[name])
  }
  return {
    metrics: {
      v_measure: meanOf(scores.v_measure),
      v_measure_std: deviationOf(scores.v_measure),
      homogeneity: meanOf(scores.homogeneity),
      completeness: meanOf(scores.completeness),
    },
    primary: 'v_measure',
    rows: texts.length,
    documents: 0,
    // One score an experiment: an interval says how much the draw of the texts matters.
    ...(experiments === 1
      ? {}
      : {
          items: {
            metric: 'v_measure',
            statistic: 'mean' as const,
            values: scores.v_measure,
            ...(await items.details(run.slices)),
          },
        }),
  }
}

function drawn(count: number, size: number, seed: number, experiment: number): number[] {
  const random = new Random(seed, 'examples', experiment)
  return Array.from({ length: size }, () => random.below(count))
}
