/** A seeded generator: the same seed gives the same data on every machine. */

/** splitmix32; returns a function giving numbers in [0, 1). */
export function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) / 4294967296
  }
}

/** A copy in random order (Fisher-Yates). */
export function shuffled(items, next) {
  const array = [...items]
  for (let i = array.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    ;[array[i], array[j]] = [array[j], array[i]]
  }
  return array
}

/** `count` of the items, or all if there are fewer, in random order. */
export const sample = (items, count, next) => shuffled(items, next).slice(0, count)

/** A standard normal number (Box-Muller). */
export const normal = (next) => Math.sqrt(-2 * Math.log(1 - next())) * Math.sin(2 * Math.PI * next())
