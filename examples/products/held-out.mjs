/**
 * Splits product pairs by connected component, so that no product of the held-out queries is trained on in any wording.
 * A quarter of the components that have a match are held out.
 */
import { random, shuffled } from '../lib/random.mjs'
import { components } from './pairs.mjs'

const SHARE = 0.25

/**
 * Returns the rows to train on, [{ anchor, positive, group }], and the retrieval that is held out: a query for each
 * held-out component, whose documents are the other wordings of its product. The corpus has these and all right-hand
 * texts without a match, which are not trained on either. Equal texts in different letters are one text.
 */
export function split(name, pairs, seed) {
  const known = new Map()
  const one = (text) => {
    const key = text.toLowerCase()
    if (!known.has(key)) known.set(key, text)
    return known.get(key)
  }
  const texts = pairs
    .map(({ left, right, match }) => ({ left: one(left), right: one(right), match }))
    .filter(({ left, right }) => left !== '' && right !== '')
  const number = components(texts)
  const matches = texts.filter(({ left, right, match }) => match && left !== right)
  const matched = shuffled(new Set(matches.map(({ left }) => number.get(left))), random(seed))
  const heldOut = new Set(matched.slice(0, Math.round(SHARE * matched.length)))
  const trained = new Set(matched.slice(heldOut.size))

  const queries = new Map()
  for (const { left } of matches)
    if (heldOut.has(number.get(left)) && !queries.has(number.get(left))) queries.set(number.get(left), left)
  const asked = new Set(queries.values())
  const corpus = new Map()
  const ofComponent = new Map()
  for (const { right } of texts) {
    const component = number.get(right)
    if (trained.has(component) || asked.has(right) || corpus.has(right)) continue
    corpus.set(right, right)
    if (heldOut.has(component)) ofComponent.set(component, (ofComponent.get(component) ?? new Set()).add(right))
  }
  const judged = [...queries].filter(([component]) => ofComponent.has(component))
  const rows = new Map()
  for (const { left, right } of matches)
    if (trained.has(number.get(left)))
      rows.set(`${left}\t${right}`, { anchor: left, positive: right, group: `${name} ${number.get(left)}` })
  return {
    rows: [...rows.values()],
    retrieval: {
      name,
      queries: new Map(judged.map(([component, text]) => [`q${component}`, text])),
      corpus,
      relevantDocs: new Map(judged.map(([component]) => [`q${component}`, ofComponent.get(component)])),
    },
  }
}
