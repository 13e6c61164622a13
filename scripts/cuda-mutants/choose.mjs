// The order in which mutants are tried: random, the same for the same seed, with the kinds in turn and the files in
// turn within a kind.

/** Random numbers in [0, 1), as of mulberry32. */
export function randomOf(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

function shuffled(list, random) {
  const result = [...list]
  for (let i = result.length - 1; i > 0; --i) {
    const j = Math.floor(random() * (i + 1))
    ;[result[i], result[j]] = [result[j], result[i]]
  }
  return result
}

/** One of each list after the other, until all are empty. */
function inTurn(lists) {
  const result = []
  for (let i = 0; lists.some((list) => i < list.length); ++i)
    for (const list of lists) if (i < list.length) result.push(list[i])
  return result
}

function groups(list, key) {
  const found = new Map()
  for (const one of list) found.set(key(one), [...(found.get(key(one)) ?? []), one])
  return [...found.values()]
}

/** `mutants`: { file, kind, ... } in a fixed order. */
export function inRandomOrder(mutants, seed) {
  const random = randomOf(seed)
  const kinds = groups(mutants, ({ kind }) => kind).map((ofKind) =>
    inTurn(
      shuffled(
        groups(shuffled(ofKind, random), ({ file }) => file),
        random,
      ),
    ),
  )
  return inTurn(shuffled(kinds, random))
}
