// The frequency of each piece: its share of the tokens of a language, averaged over the languages. All languages have
// the same weight, and so have all corpora of a language, whatever their size.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { parse } from 'csv-parse/sync'

const BATCH = 4096

/**
 * @param tokenizer of the `tokenizers` library
 * @param {{ name: string, language: string, files: string[], columns?: number[] }[]} corpora the list corpora.json
 * @param {string} folder what the corpora's files are relative to
 * @returns {Promise<Float64Array>} [vocabulary], adding up to 1
 */
export async function pieceFrequencies(tokenizer, corpora, folder, { onProgress = () => {} } = {}) {
  const frequencies = new Float64Array(tokenizer.getVocabSize(true))
  const languages = new Set(corpora.map(({ language }) => language))
  for (const { name, language, files, columns } of corpora) {
    const texts = files.flatMap((file) => readTexts(join(folder, file), columns))
    const { counts, total } = await countPieces(tokenizer, texts, frequencies.length)
    onProgress(`${language} ${name}: ${texts.length} texts, ${total} tokens`)
    if (total === 0) throw new Error(`Expected texts in ${files.join(', ')} but found none`)
    const siblings = corpora.filter((other) => other.language === language).length
    const share = 1 / (languages.size * siblings * total)
    for (let id = 0; id < counts.length; ++id) frequencies[id] += counts[id] * share
  }
  return frequencies
}

async function countPieces(tokenizer, texts, vocabulary) {
  const counts = new Float64Array(vocabulary)
  let total = 0
  for (let start = 0; start < texts.length; start += BATCH) {
    const encodings = await tokenizer.encodeBatch(texts.slice(start, start + BATCH), { addSpecialTokens: false })
    for (const encoding of encodings) {
      for (const id of encoding.getIds()) counts[id]++
      total += encoding.getLength()
    }
  }
  return { counts, total }
}

/** Lines of a .txt file, columns of a .csv or .tsv file (the latter with a header); .br and .gz are unpacked. */
function readTexts(file, columns) {
  const text = unpack(file)
  const kind = /\.(txt|csv|tsv)(\.br|\.gz)?$/.exec(file)?.[1]
  if (kind === undefined) throw new Error(`Expected a .txt, .csv or .tsv file but received ${file}`)
  if (kind === 'txt') return filled(text.split('\n'))
  const rows = kind === 'csv' ? parse(text) : text.split('\n').map((line) => line.split('\t'))
  return filled((kind === 'tsv' ? rows.slice(1) : rows).flatMap((row) => columns.map((column) => row[column] ?? '')))
}

function unpack(file) {
  const bytes = readFileSync(file)
  if (file.endsWith('.br')) return brotliDecompressSync(bytes).toString('utf8')
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
}

const filled = (texts) => texts.filter((text) => text.length > 0)
