/** Precision, recall and F1 of whole entities, by the rules of conlleval: type and both ends must be right. */

export interface EntityMetrics {
  entity_precision: number
  entity_recall: number
  entity_f1: number
}

export function entityMetrics(
  truth: readonly (readonly string[])[],
  found: readonly (readonly string[])[],
): EntityMetrics {
  let [right, wanted, given] = [0, 0, 0]
  truth.forEach((tags, i) => {
    const [expected, guessed] = [entities(tags), entities(found[i]!)]
    const known = new Set(expected)
    wanted += expected.length
    given += guessed.length
    right += guessed.filter((entity) => known.has(entity)).length
  })
  const precision = given === 0 ? 0 : right / given
  const recall = wanted === 0 ? 0 : right / wanted
  const sum = precision + recall
  return {
    entity_precision: precision,
    entity_recall: recall,
    entity_f1: sum === 0 ? 0 : (2 * precision * recall) / sum,
  }
}

/**
 * The entities of a sentence as `type start end`. One begins with B-, and with I- after another type or after none; it
 * ends where the next begins, or at O.
 */
export function entities(tags: readonly string[]): string[] {
  const found: string[] = []
  let [type, start] = ['', 0]
  const close = (end: number): void => {
    if (type !== '') found.push(`${type} ${start} ${end}`)
    type = ''
  }
  tags.forEach((tag, i) => {
    const [, mark, kind] = /^([BI])-(.*)$/.exec(tag) ?? []
    if (mark === undefined) return close(i)
    if (mark === 'B' || kind !== type) {
      close(i)
      ;[type, start] = [kind!, i]
    }
  })
  close(tags.length)
  return found
}
