/** Classification by the names of the labels: a text gets the label whose name is most similar, the first of equals. */
import { allocate } from '../../core/memory.js'
import { compare } from '../../core/vectors.js'
import { show } from '../../core/show.js'
import { invalidData } from '../../data/data-file.js'
import { classMetrics, LabelNumbers } from '../learning/class-metrics.js'
import type { Measured, Run } from '../run.js'
import { eachInSlices } from '../slices.js'
import { numbered, readLabelled } from './labelled.js'
import type { CheckedZeroShot } from './options.js'

/** Texts compared at once. */
const BLOCK = 1024

export async function evaluateZeroShot(evaluator: CheckedZeroShot, run: Run): Promise<Measured> {
  const { template, dimensions } = evaluator
  const { texts, labels, items } = await readLabelled(evaluator, run)
  const names = evaluator.labels ?? new Map([...new Set(labels)].sort().map((label) => [label, [label]] as const))
  if (names.size < 2) throw invalidData(`Expected texts of two labels or more but found ${show(labels[0])} alone`)
  const numbers = new LabelNumbers()
  const owners = [...names].flatMap(([label, list]) => list.map(() => numbers.of(label)))
  const unknown = labels.findIndex((label) => !names.has(label))
  if (unknown >= 0)
    throw invalidData(`Expected a name for every label but found none for ${show(labels[unknown])} in labels`)
  const truth = numbered(labels, numbers)
  run.extent = { total: owners.length + texts.length, share: () => null }
  const named = await run.encoding.all(
    [...names.values()].flat().map((name) => template.replaceAll('{}', () => name)),
    run.batchSize,
    { dimensions },
  )
  const { data, width } = await run.encoding.all(texts, run.batchSize, { dimensions })
  const found = allocate(texts.length, Int32Array)
  for (let first = 0; first < texts.length; first += BLOCK) {
    const count = Math.min(BLOCK, texts.length - first)
    const scores = allocate(count * owners.length)
    const part = data.subarray(first * width, (first + count) * width)
    await compare(part, named.data, width, evaluator.similarity ?? run.similarity, scores, run.signal)
    await eachInSlices(count, run.slices, (i) => {
      let best = 0
      for (let n = 1; n < owners.length; n++)
        if (scores[i * owners.length + n]! > scores[i * owners.length + best]!) best = n
      found[first + i] = owners[best]!
    })
  }
  return {
    metrics: { ...classMetrics(truth, found, numbers.size) },
    primary: 'accuracy',
    rows: texts.length,
    documents: 0,
    items: {
      metric: 'accuracy',
      statistic: 'mean',
      values: found.map((label, i) => (label === truth[i] ? 1 : 0)),
      ...(await items.details(run.slices)),
    },
  }
}
