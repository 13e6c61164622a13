// One vector for each piece of a vocabulary, from one forward pass of the source model for each.
//
// A piece is addressed by its id, because tokenising its text may give another piece ("▁de" and "de" differ by a
// space). So the source's weights are loaded with a tokenizer whose words are the ids: the text "39 907 12" is the
// tokens 39, 907 and 12.
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const BATCH = 2048

/**
 * @param embedCore the package
 * @param {string} source directory of the model that is distilled
 * @param {{ prefix: string, ownShare: number, pieces?: number[],
 *   onProgress?: (done: number, total: number) => void }} options
 *   prefix: text before each piece; ownShare: how much of the piece's own state is added to the mean of all states;
 *   pieces: ids, default the whole vocabulary
 * @returns {Promise<{ data: Float32Array, width: number }>} data [pieces, width]
 */
export async function pieceVectors(embedCore, source, { prefix, ownShare, pieces, onProgress = () => {} }) {
  const { before, ids, after, vocabulary } = await surroundings(embedCore, source, prefix)
  const all = pieces ?? Array.from({ length: vocabulary }, (_, id) => id)
  const scratch = mkdtempSync(join(tmpdir(), 'embedcore-pieces-'))
  try {
    writeDirectory(scratch, resolve(source), { vocabulary, before, after })
    const model = await embedCore.load(scratch)
    const width = model.info.dimension
    const data = new Float32Array(all.length * width)
    const own = before.length + ids.length
    const tokens = own + 1 + after.length
    const shares = Array.from({ length: tokens }, (_, t) => 1 / tokens + (t === own ? ownShare : 0))
    for (let start = 0; start < all.length; start += BATCH) {
      const batch = all.slice(start, start + BATCH)
      const texts = batch.map((id) => [...ids, id].join(' '))
      const states = await model.encode(texts, { output: 'token', normalize: false })
      if (states.shape[0] !== batch.length * tokens)
        throw new Error(
          `Expected ${batch.length * tokens} tokens for ${batch.length} pieces but received ${states.shape[0]}`,
        )
      for (let i = 0; i < batch.length; ++i) {
        const row = data.subarray((start + i) * width, (start + i + 1) * width)
        shares.forEach((share, t) => {
          const state = (i * tokens + t) * width
          for (let d = 0; d < width; ++d) row[d] += share * states.data[state + d]
        })
      }
      onProgress(start + batch.length, all.length)
    }
    await model.dispose()
    return { data, width }
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

/** The ids before and after a piece: special tokens and the prefix. */
async function surroundings(embedCore, source, prefix) {
  const model = await embedCore.load(source)
  const { ids, offsets } = (await model.encode(prefix, { output: 'token', prompt: '' })).text(0)
  const vocabulary = model.info.vocabSize
  await model.dispose()
  const inside = Array.from(offsets, ([start, end]) => end > start)
  const first = inside.indexOf(true)
  const end = inside.lastIndexOf(true) + 1
  if (first < 0) throw new Error(`Expected a prefix with tokens but received ${JSON.stringify(prefix)}`)
  return {
    before: [...ids.slice(0, first)],
    ids: [...ids.slice(first, end)],
    after: [...ids.slice(end)],
    vocabulary,
  }
}

/** The source's configuration and weights with a tokenizer that reads ids. */
function writeDirectory(directory, source, { vocabulary, before, after }) {
  const names = readdirSync(source).filter((name) => name === 'config.json' || name.startsWith('model'))
  for (const name of names) symlinkSync(join(source, name), join(directory, name))
  if (!existsSync(join(directory, 'config.json'))) throw new Error(`Expected config.json in ${source} but found none`)
  const special = (id) => ({ SpecialToken: { id: String(id), type_id: 0 } })
  const sequence = { Sequence: { id: 'A', type_id: 0 } }
  const single = [...before.map(special), sequence, ...after.map(special)]
  const used = [...new Set([...before, ...after])].map(String)
  writeFileSync(
    join(directory, 'tokenizer.json'),
    JSON.stringify({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'WhitespaceSplit' },
      post_processor: {
        type: 'TemplateProcessing',
        single,
        pair: [...single, { Sequence: { id: 'B', type_id: 1 } }],
        special_tokens: Object.fromEntries(used.map((id) => [id, { id, ids: [Number(id)], tokens: [id] }])),
      },
      decoder: null,
      model: {
        type: 'WordLevel',
        vocab: Object.fromEntries(Array.from({ length: vocabulary }, (_, id) => [String(id), id])),
        unk_token: '0',
      },
    }),
  )
}

/** Ids of the tokens that represent no text; they get no vector. */
export function specialPieces(source) {
  const { added_tokens: added = [] } = JSON.parse(readFileSync(join(source, 'tokenizer.json'), 'utf8'))
  return new Set(added.filter(({ special }) => special).map(({ id }) => id))
}
