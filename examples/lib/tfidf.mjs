/**
 * The floor of retrieval: cosines of TF-IDF vectors of the character n-grams within words, as scikit-learn's
 * TfidfVectorizer(analyzer='char_wb', ngram_range=(2, 4), sublinear_tf=True) has them. It needs no model.
 */

function counts(text) {
  const found = new Map()
  for (const word of text.toLowerCase().split(/\s+/).filter(Boolean)) {
    const characters = [...` ${word} `]
    for (let size = 2; size <= 4; size++)
      for (let start = 0; start + size <= characters.length; start++) {
        const gram = characters.slice(start, start + size).join('')
        found.set(gram, (found.get(gram) ?? 0) + 1)
      }
  }
  return found
}

/**
 * Metrics of retrieval by TF-IDF over the corpus. `queries` and `corpus` are Maps of id to text, `relevantDocs` a Map
 * of query to a Set of documents; the names of the metrics are those of `evaluate`.
 */
export function tfidfRetrieval({ name, queries, corpus, relevantDocs }) {
  const documents = [...corpus].map(([id, text]) => ({ id, counts: counts(text) }))
  const frequency = new Map()
  for (const document of documents)
    for (const gram of document.counts.keys()) frequency.set(gram, (frequency.get(gram) ?? 0) + 1)
  const vector = (of) => {
    const weights = [...of].flatMap(([gram, count]) =>
      frequency.has(gram)
        ? [[gram, (1 + Math.log(count)) * (1 + Math.log((1 + documents.length) / (1 + frequency.get(gram))))]]
        : [],
    )
    const norm = Math.hypot(...weights.map(([, weight]) => weight)) || 1
    return weights.map(([gram, weight]) => [gram, weight / norm])
  }
  const postings = new Map()
  for (const [d, document] of documents.entries())
    for (const [gram, weight] of vector(document.counts)) {
      if (!postings.has(gram)) postings.set(gram, [])
      postings.get(gram).push([d, weight])
    }
  let [first, reciprocal] = [0, 0]
  for (const [id, text] of queries) {
    const scores = new Float64Array(documents.length)
    for (const [gram, weight] of vector(counts(text)))
      for (const [d, other] of postings.get(gram)) scores[d] += weight * other
    const wanted = relevantDocs.get(id)
    const best = Math.max(...documents.flatMap((document, d) => (wanted.has(document.id) ? [scores[d]] : [])))
    // Equal scores count against the floor's documents by their order, as a sort would.
    const at = documents.findIndex((document, d) => wanted.has(document.id) && scores[d] === best)
    const rank = scores.reduce((above, score, d) => above + (score > best || (score === best && d < at) ? 1 : 0), 1)
    if (rank === 1) first++
    if (rank <= 10) reciprocal += 1 / rank
  }
  return {
    [`${name}_cosine_accuracy@1`]: first / queries.size,
    [`${name}_cosine_mrr@10`]: reciprocal / queries.size,
  }
}
