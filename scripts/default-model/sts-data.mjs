// The texts that make-default-model.mjs counts and judges by.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'

/** STS benchmark pairs: sentence1, sentence2, score 0 to 5. */
export function stsPairs(file) {
  return parse(readFileSync(file, 'utf8')).map(([a, b, score]) => ({ a, b, score: Number(score) }))
}

/** English texts of the data folder, for token frequencies: sentences, package descriptions, product descriptions. */
export function corpusTexts(data) {
  const texts = stsPairs(join(data, 'stsb/stsb-en-train.csv')).flatMap(({ a, b }) => [a, b])
  for (const name of readdirSync(join(data, 'ddtp')).sort()) {
    if (!name.endsWith('.tsv')) continue
    for (const line of readFileSync(join(data, 'ddtp', name), 'utf8').split('\n')) texts.push(line.split('\t')[1] ?? '')
  }
  const ikea = join(data, 'ikea-en-fr/train_WMT_2017.en.gz')
  if (existsSync(ikea)) texts.push(...gunzipSync(readFileSync(ikea)).toString('utf8').split('\n'))
  return texts.filter((text) => text.length > 0)
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
