// Measures the quality of text vectors: rank correlation with human scores on STS benchmark pairs, and how often the
// nearest English sentence is the translation.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'

const LANGUAGES = ['en', 'zh', 'es', 'fr']
const TRANSLATED = 1000

/**
 * The development parts stsb-en-dev.csv, stsb-zh-dev.csv, ... in a folder: sentence1, sentence2, score 0 to 5. Line i
 * is the same pair in every language.
 */
export function developmentPairs(folder) {
  return LANGUAGES.map((language) => {
    const file = join(folder, `stsb-${language}-dev.csv`)
    if (!existsSync(file)) throw new Error(`Expected ${file} but found none`)
    const rows = parse(readFileSync(file, 'utf8'))
    return {
      language,
      first: rows.map(([first]) => first),
      second: rows.map(([, second]) => second),
      scores: rows.map(([, , score]) => Number(score)),
    }
  })
}

/**
 * @param pairs of developmentPairs
 * @param {(texts: string[]) => Promise<Float32Array[]>} encode normalised vectors
 * @returns one row per language: Spearman's correlation, and the share of translations found (null for English)
 */
export async function evaluate(pairs, encode) {
  const results = []
  let english = null
  for (const { language, first, second, scores } of pairs) {
    const [a, b] = [await encode(first), await encode(second)]
    const similarities = a.map((vector, i) => dot(vector, b[i]))
    const sentences = a.slice(0, TRANSLATED)
    if (language === 'en') english = sentences
    results.push({
      language,
      spearman: spearman(similarities, scores),
      translations: language === 'en' ? null : foundTranslations(sentences, english),
    })
  }
  return results
}

/** Some English sentences occur twice: either one is the translation. */
function foundTranslations(sentences, english) {
  const found = sentences.filter((vector, i) => {
    const own = dot(vector, english[i])
    return english.every((other) => dot(vector, other) <= own)
  })
  return found.length / sentences.length
}

/** Normalised means of a table's rows, as a static model takes them. */
export function tableEncoder(tokenizer, table, width) {
  return async (texts) => {
    const encodings = await tokenizer.encodeBatch(texts, { addSpecialTokens: false })
    return encodings.map((encoding) => {
      const sum = new Float64Array(width)
      for (const id of encoding.getIds()) for (let d = 0; d < width; ++d) sum[d] += table[id * width + d]
      const length = Math.sqrt(dot(sum, sum)) || 1
      return Float32Array.from(sum, (value) => value / length)
    })
  }
}

function dot(x, y) {
  let sum = 0
  for (let d = 0; d < x.length; ++d) sum += x[d] * y[d]
  return sum
}

/** Spearman's rank correlation; ties get their mean rank. */
export function spearman(x, y) {
  const [a, b] = [ranks(x), ranks(y)]
  const mean = (x.length + 1) / 2
  let [ab, aa, bb] = [0, 0, 0]
  for (let i = 0; i < a.length; ++i) {
    ab += (a[i] - mean) * (b[i] - mean)
    aa += (a[i] - mean) ** 2
    bb += (b[i] - mean) ** 2
  }
  return ab / Math.sqrt(aa * bb)
}

function ranks(values) {
  const order = Array.from(values, (_, i) => i).sort((i, j) => values[i] - values[j])
  const out = new Float64Array(values.length)
  for (let i = 0; i < order.length;) {
    let j = i
    while (j < order.length && values[order[j]] === values[order[i]]) ++j
    for (let k = i; k < j; ++k) out[order[k]] = (i + j + 1) / 2
    i = j
  }
  return out
}
