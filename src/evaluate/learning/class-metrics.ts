/** Metrics of predicted classes, as accuracy_score and f1_score of scikit-learn. */

export interface ClassMetrics {
  accuracy: number
  /** The mean over the classes that occur or are predicted. */
  f1: number
  /** The mean over the items of the F1 of their class. */
  f1_weighted: number
}

/** `truth` and `found`: classes from 0; -1 of `found` = none. */
export function classMetrics(truth: Int32Array, found: Int32Array, classes: number): ClassMetrics {
  const [right, wanted, given] = [0, 1, 2].map(() => new Float64Array(classes)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ]
  let correct = 0
  for (let i = 0; i < truth.length; i++) {
    const [t, f] = [truth[i]!, found[i]!]
    wanted[t]!++
    if (f >= 0) given[f]!++
    if (t === f) {
      right[t]!++
      correct++
    }
  }
  let [sum, weighted, occurring] = [0, 0, 0]
  for (let c = 0; c < classes; c++) {
    if (wanted[c] === 0 && given[c] === 0) continue
    const f1 = (2 * right[c]!) / (wanted[c]! + given[c]!)
    occurring++
    sum += f1
    weighted += f1 * wanted[c]!
  }
  return { accuracy: correct / truth.length, f1: sum / occurring, f1_weighted: weighted / truth.length }
}

/** Numbers of labels, in the order in which they come first. */
export class LabelNumbers {
  private readonly numbers = new Map<string, number>()

  of(label: string): number {
    let number = this.numbers.get(label)
    if (number === undefined) this.numbers.set(label, (number = this.numbers.size))
    return number
  }

  /** -1 = unknown. */
  find(label: string): number {
    return this.numbers.get(label) ?? -1
  }

  get size(): number {
    return this.numbers.size
  }

  get names(): string[] {
    return [...this.numbers.keys()]
  }
}
