/** Classification: a logistic regression on a few examples of each label, or on all, judged on other texts. */
import { allocate } from '../../core/memory.js'
import { Random, shuffle } from '../../core/random.js'
import { show } from '../../core/show.js'
import { invalidData } from '../../data/data-file.js'
import { classMetrics, LabelNumbers } from '../learning/class-metrics.js'
import { fitClassifier, predict } from '../learning/logistic-regression.js'
import type { Measured, Run } from '../run.js'
import { deviationOf, meanOf, numbered, readLabelled, rowsAt } from './labelled.js'
import type { CheckedClassification } from './options.js'

export async function evaluateClassification(evaluator: CheckedClassification, run: Run): Promise<Measured> {
  const { experiments, samplesPerLabel, C, seed, dimensions } = evaluator
  const train = await readLabelled(evaluator.train, run)
  const test = await readLabelled(evaluator, run)
  const numbers = new LabelNumbers()
  const examples = numbered(train.labels, numbers)
  const classes = numbers.size
  if (classes < 2) throw invalidData(`Expected examples of two labels or more but found ${show(train.labels[0])} alone`)
  // Labels without an example are never found; they count as classes of their own.
  const truth = numbered(test.labels, numbers)
  const drawn = Array.from({ length: experiments }, (_, experiment) =>
    samplesPerLabel === 'all'
      ? Array.from(examples, (_label, i) => i)
      : draw(examples, samplesPerLabel, new Random(seed, 'examples', experiment)),
  )
  const used = [...new Set(drawn.flat())].sort((a, b) => a - b)
  run.extent = { total: used.length + test.texts.length, share: () => null }
  const known = await run.encoding.all(
    used.map((place) => train.texts[place]!),
    run.batchSize,
    { dimensions },
  )
  const rows = await run.encoding.all(test.texts, run.batchSize, { dimensions })
  const placeOf = new Map(used.map((place, i) => [place, i]))
  const right = allocate(truth.length, Float64Array)
  const scores = { accuracy: [] as number[], f1: [] as number[], f1_weighted: [] as number[] }
  for (const places of drawn) {
    const part = await rowsAt(
      known,
      places.map((place) => placeOf.get(place)!),
      run,
    )
    const labels = Int32Array.from(places, (place) => examples[place]!)
    const classifier = await fitClassifier(part, labels, classes, C, run.slices, run.signal)
    const found = await predict(classifier, rows.data, run.slices, run.signal)
    found.forEach((label, i) => (right[i]! += label === truth[i] ? 1 / experiments : 0))
    const metrics = classMetrics(truth, found, numbers.size)
    for (const name of ['accuracy', 'f1', 'f1_weighted'] as const) scores[name].push(metrics[name])
  }
  return {
    metrics: {
      accuracy: meanOf(scores.accuracy),
      accuracy_std: deviationOf(scores.accuracy),
      f1: meanOf(scores.f1),
      f1_weighted: meanOf(scores.f1_weighted),
    },
    primary: 'accuracy',
    rows: truth.length,
    documents: 0,
    items: { metric: 'accuracy', statistic: 'mean', values: right, ...(await test.items.details(run.slices)) },
  }
}

/** The first examples of each label in a random order; all of a label that has fewer. */
function draw(examples: Int32Array, samplesPerLabel: number, random: Random): number[] {
  const order = Uint32Array.from(examples, (_, i) => i)
  shuffle(order, random)
  const counts = new Map<number, number>()
  const chosen: number[] = []
  for (const place of order) {
    const count = counts.get(examples[place]!) ?? 0
    if (count === samplesPerLabel) continue
    counts.set(examples[place]!, count + 1)
    chosen.push(place)
  }
  return chosen
}
