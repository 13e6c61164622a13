/**
 * Logistic regression as LogisticRegression of scikit-learn: the sum of the losses plus |W|^2 / (2 C), the intercepts
 * without a penalty; two classes have one row of weights, more have one row each (softmax). The minimum is unique, so
 * that how it is found does not matter: here by L-BFGS. Products of matrices are the addon's, in float32; sums of
 * losses and steps are float64.
 */
import { allocate } from '../../core/memory.js'
import { compare } from '../../core/vectors.js'
import type { Rows } from '../pairs.js'
import { eachInSlices, type Slices } from '../slices.js'
import { minimize } from './lbfgs.js'

export interface Classifier {
  /** [rows of weights, width] */
  weights: Float32Array
  intercepts: Float64Array
  width: number
  classes: number
}

/** `labels`: the class of each row, 0 to classes - 1, of which there are two at least. */
export async function fitClassifier(
  { data, width }: Rows,
  labels: Int32Array,
  classes: number,
  C: number,
  slices: Slices,
  signal: AbortSignal,
): Promise<Classifier> {
  const count = labels.length
  const rows = classes === 2 ? 1 : classes
  const size = rows * width
  const columns = await transposed(data, width, slices)
  const weights = allocate(size)
  const logits = allocate(count * rows)
  const residuals = allocate(rows * count)
  const products = allocate(size)

  const evaluate = async (point: Float64Array, gradient: Float64Array): Promise<number> => {
    weights.set(point.subarray(0, size))
    await compare(data, weights, width, 'dot', logits, signal)
    gradient.fill(0)
    let loss = 0
    for (let i = 0; i < count; i++) {
      if (slices.over) await slices.next()
      loss += residualsOf(i, labels[i]!, point.subarray(size), logits, residuals, count)
      for (let r = 0; r < rows; r++) gradient[size + r]! += residuals[r * count + i]!
    }
    await compare(residuals, columns, count, 'dot', products, signal)
    await eachInSlices(size, slices, (i) => {
      gradient[i] = products[i]! + point[i]! / C
      loss += (point[i]! * point[i]!) / (2 * C)
    })
    return loss
  }
  const point = await minimize(allocate(size + rows, Float64Array), evaluate, slices)
  return { weights: Float32Array.from(point.subarray(0, size)), intercepts: point.slice(size), width, classes }
}

/** The class of each row. */
export async function predict(
  { weights, intercepts, width, classes }: Classifier,
  data: Float32Array,
  slices: Slices,
  signal: AbortSignal,
): Promise<Int32Array> {
  const [count, rows] = [data.length / width, intercepts.length]
  const found = allocate(count, Int32Array)
  const step = Math.max(1, Math.floor((1 << 20) / rows))
  for (let start = 0; start < count; start += step) {
    const end = Math.min(count, start + step)
    const logits = allocate((end - start) * rows)
    await compare(data.subarray(start * width, end * width), weights, width, 'dot', logits, signal)
    await eachInSlices(end - start, slices, (i) => {
      let best = 0
      if (classes === 2) best = logits[i]! + intercepts[0]! > 0 ? 1 : 0
      else
        for (let r = 1; r < rows; r++)
          if (logits[i * rows + r]! + intercepts[r]! > logits[i * rows + best]! + intercepts[best]!) best = r
      found[start + i] = best
    })
  }
  return found
}

/** The loss of row i; its probabilities minus the truth go to column i of the residuals. */
function residualsOf(
  i: number,
  label: number,
  intercepts: Float64Array,
  logits: Float32Array,
  residuals: Float32Array,
  count: number,
): number {
  const rows = intercepts.length
  if (rows === 1) {
    const logit = logits[i]! + intercepts[0]!
    residuals[i] = 1 / (1 + Math.exp(-logit)) - label
    // log(1 + exp(logit)) - label * logit, without overflow.
    return Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit))) - label * logit
  }
  let most = -Infinity
  for (let r = 0; r < rows; r++) most = Math.max(most, logits[i * rows + r]! + intercepts[r]!)
  let sum = 0
  for (let r = 0; r < rows; r++) sum += Math.exp(logits[i * rows + r]! + intercepts[r]! - most)
  for (let r = 0; r < rows; r++) {
    const probability = Math.exp(logits[i * rows + r]! + intercepts[r]! - most) / sum
    residuals[r * count + i] = probability - (r === label ? 1 : 0)
  }
  return Math.log(sum) + most - (logits[i * rows + label]! + intercepts[label]!)
}

/** [width, rows] of [rows, width]. */
export async function transposed(data: Float32Array, width: number, slices: Slices): Promise<Float32Array> {
  const columns = allocate(data.length)
  const count = data.length / width
  for (let row = 0; row < count; row++) {
    if (slices.over) await slices.next()
    for (let column = 0; column < width; column++) columns[column * count + row] = data[row * width + column]!
  }
  return columns
}
