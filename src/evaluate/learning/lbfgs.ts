/** L-BFGS: the minimum of a smooth convex function from its values and gradients (Liu and Nocedal, 1989). */
import { eachInSlices, type Slices } from '../slices.js'

/** Steps that the curvature is taken from. */
const MEMORY = 10
const MOST_STEPS = 1000
/** The largest number of the gradient at the end. */
const TOLERANCE = 1e-5
/** Halvings of a step; where none is better, rounding hides what is left. */
const MOST_HALVINGS = 30
/** Share of the fall that the slope promises, which a step must reach (Armijo). */
const LEAST_FALL = 1e-4

/**
 * Near the minimum the fall is less than the rounding of the value, of which this is the share. A step that does not
 * raise the value by more is then taken if it makes the slope as much smaller (Hager and Zhang, 2005).
 */
const NOISE = 1e-6
const LEAST_FLATTENING = 0.9

/** Writes the gradient at a point and returns the value. */
export type Evaluate = (point: Float64Array, gradient: Float64Array) => Promise<number>

/** Changes the point given, and returns it. */
export async function minimize(point: Float64Array, evaluate: Evaluate, slices: Slices): Promise<Float64Array> {
  const size = point.length
  const past: { step: Float64Array; change: Float64Array; inverse: number }[] = []
  let gradient = new Float64Array(size)
  let value = await evaluate(point, gradient)
  for (let iteration = 0; iteration < MOST_STEPS; iteration++) {
    if (gradient.every((slope) => Math.abs(slope) <= TOLERANCE)) break
    const direction = await directionOf(gradient, past, slices)
    const slope = dot(direction, gradient)
    let length = past.length === 0 ? Math.min(1, 1 / Math.sqrt(dot(gradient, gradient))) : 1
    const next = new Float64Array(size)
    const nextGradient = new Float64Array(size)
    let nextValue = Infinity
    let halvings = 0
    for (; halvings < MOST_HALVINGS; halvings++, length /= 2) {
      const reach = length
      await eachInSlices(size, slices, (i) => (next[i] = point[i]! + reach * direction[i]!))
      nextValue = await evaluate(next, nextGradient)
      if (nextValue <= value + LEAST_FALL * reach * slope) break
      if (
        nextValue <= value + NOISE * Math.abs(value) &&
        Math.abs(dot(direction, nextGradient)) <= LEAST_FLATTENING * -slope
      )
        break
    }
    if (halvings === MOST_HALVINGS) break
    const step = next.map((to, i) => to - point[i]!)
    const change = nextGradient.map((to, i) => to - gradient[i]!)
    const curvature = dot(step, change)
    // Rounding may turn the sign where the steps are tiny.
    if (curvature > 1e-12 * dot(change, change)) {
      past.push({ step, change, inverse: 1 / curvature })
      if (past.length > MEMORY) past.shift()
    }
    point.set(next)
    value = nextValue
    gradient = nextGradient
  }
  return point
}

/** The gradient times the negative inverse of the curvature, from the past steps. */
async function directionOf(
  gradient: Float64Array,
  past: readonly { step: Float64Array; change: Float64Array; inverse: number }[],
  slices: Slices,
): Promise<Float64Array> {
  const direction = gradient.map((slope) => -slope)
  const factors = new Array<number>(past.length)
  for (let p = past.length - 1; p >= 0; p--) {
    if (slices.over) await slices.next()
    const { step, change, inverse } = past[p]!
    factors[p] = inverse * dot(step, direction)
    add(direction, change, -factors[p]!)
  }
  const last = past.at(-1)
  if (last !== undefined) {
    const scale = 1 / (last.inverse * dot(last.change, last.change))
    for (let i = 0; i < direction.length; i++) direction[i]! *= scale
  }
  for (const [p, { step, change, inverse }] of past.entries()) {
    if (slices.over) await slices.next()
    add(direction, step, factors[p]! - inverse * dot(change, direction))
  }
  return direction
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

function add(to: Float64Array, from: Float64Array, factor: number): void {
  for (let i = 0; i < to.length; i++) to[i]! += factor * from[i]!
}
