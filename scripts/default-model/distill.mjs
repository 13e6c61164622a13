// From a transformer to the directory of a static model: all steps in order.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { writeDocuments, writeModel } from './directory.mjs'
import { evaluate, tableEncoder } from './evaluation.mjs'
import { pieceFrequencies } from './frequencies.mjs'
import { pieceVectors, specialPieces } from './piece-vectors.mjs'
import { whitenedComponents } from './principal-components.mjs'
import { quantizedRows, weightedRows } from './table.mjs'

const { Tokenizer } = createRequire(import.meta.url)('tokenizers')

/** a of a / (a + frequency). */
const SMOOTHING = 1e-3
/** A piece's own state counts half as much again as in the mean of all states. */
const OWN_SHARE = 0.5
/** Weight in the components of a piece that occurs in no corpus. */
const LEAST_FREQUENCY = 1e-7

/**
 * The same inputs give the same bytes on the same instruction set.
 *
 * @param embedCore the package
 * @param {{ source: string, out: string, corpora: object[], data: string, prefix: string, dimensions: number,
 *   pairs: object[] | null, baseModel?: string, say?: (line: string) => void }} options
 *   corpora: see frequencies.mjs, their files in the folder `data`; pairs: of developmentPairs, null = no evaluation
 */
export async function distill(embedCore, options) {
  const { source, out, corpora, data, prefix, dimensions, pairs, baseModel, say = () => {} } = options
  const tokenizer = Tokenizer.fromString(readFileSync(join(source, 'tokenizer.json'), 'utf8'))
  tokenizer.disablePadding()
  tokenizer.disableTruncation()
  const special = specialPieces(source)
  const report = async (step, encode) => {
    if (pairs === null) return null
    const results = await evaluate(pairs, encode)
    for (const result of results) say(`${step}: ${sentence(result)}`)
    return results
  }

  const { data: pieces, width } = await pieceVectors(embedCore, source, {
    prefix,
    ownShare: OWN_SHARE,
    onProgress: (done, total) => say(`${done} of ${total} pieces encoded`),
  })
  await report(`pieces alone, ${width} dimensions`, tableEncoder(tokenizer, pieces, width))

  const frequencies = await pieceFrequencies(tokenizer, corpora, data, { onProgress: say })
  // The square root is a compromise between equal weights, with which rare pieces dominate, and frequencies, with which
  // a few frequent pieces do.
  const counted = frequencies.map((share, id) => (special.has(id) ? 0 : Math.sqrt(share + LEAST_FREQUENCY)))
  const whitened = whitenedComponents(pieces, width, counted, dimensions)
  await report('components of unit variance', tableEncoder(tokenizer, whitened, dimensions))

  const weighted = weightedRows(whitened, dimensions, frequencies, SMOOTHING, special)
  await report('weighted by frequency', tableEncoder(tokenizer, weighted, dimensions))

  writeModel(out, quantizedRows(weighted, dimensions), { source, baseModel })
  const model = await embedCore.load(out)
  const results = await report('int8, through the package', async (texts) => [...(await model.encode(texts))])
  await model.dispose()
  if (results !== null) writeDocuments(out, results.map(tableRow))
}

const sentence = ({ language, spearman, translations }) =>
  `${language} Spearman ${spearman.toFixed(4)}` +
  (translations === null ? '' : `, ${(100 * translations).toFixed(1)} % of translations found`)

const tableRow = ({ language, spearman, translations }) =>
  `| ${language} | ${spearman.toFixed(3)} | ${translations === null ? '–' : translations.toFixed(3)} |`
