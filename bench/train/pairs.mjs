/**
 * The pairs of texts that everyone trains on: made once per case, tokenizer and seed, written to files. Speed does not depend
 * on what a pair says, so its two texts are independent.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Tokenizer } from 'tokenizers'
import { CACHE } from '../lib/paths.mjs'
import { random } from '../lib/random.mjs'
import { digest, madeSentences, mixedTargets, realSentences, textOf } from '../lib/texts.mjs'
import { CASES, CHECK } from './cases.mjs'

const VERSION = 1
const SETS = { ...CASES, check: { ...CHECK, tokens: null } }

/** Batches of pairs: { pairs: [[anchor, positive], ...], tokens: [of anchor 0, of positive 0, of anchor 1, ...] }. */
function batchesOf(texts, counts, { pairs, batches }) {
  const first = (batch) => 2 * pairs * batch
  return Array.from({ length: batches }, (_, b) => ({
    pairs: Array.from({ length: pairs }, (_, i) => texts.slice(first(b) + 2 * i, first(b) + 2 * i + 2)),
    tokens: counts.slice(first(b), first(b + 1)),
  }))
}

async function make({ pairs, tokens, batches }, count, next, sentences) {
  const texts = []
  const number = 2 * pairs * batches
  const targets = tokens ? Array(number).fill(tokens) : mixedTargets(next, { texts: number, deal: 2 * pairs })
  for (const target of targets) texts.push(await textOf(target, Boolean(tokens), sentences, next, count))
  return batchesOf(texts, await Promise.all(texts.map(count)), { pairs, batches })
}

/**
 * model: as of prepareModel. Returns { source, seed, files: { set: path }, sha256: { set }, sets: { set: batches } } of
 * the cases and the check. A generated tokenizer gets generated texts, because its vocabulary does not have the words of
 * real ones.
 */
export async function preparePairs({ layout, made }, cases, seed) {
  const real = made ? null : realSentences()
  const tokenizerFile = readFileSync(join(layout, 'tokenizer.json'), 'utf8')
  const name = `train-${digest(tokenizerFile).slice(0, 8)}-${real ? 'real' : 'made'}-seed${seed}-v${VERSION}`
  const out = {
    source: real ? 'stsb and ddtp, English' : 'made of a list of words',
    seed,
    files: {},
    sha256: {},
    sets: {},
  }
  for (const set of ['check', ...cases]) {
    const path = join(CACHE, 'texts', `${name}-${set}.json`)
    if (!existsSync(path)) {
      const tokenizer = Tokenizer.fromString(tokenizerFile)
      const count = async (text) => (await tokenizer.encode(text)).getLength()
      const next = random(seed)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, JSON.stringify(await make(SETS[set], count, next, real ?? madeSentences(next))))
    }
    const content = readFileSync(path)
    Object.assign(out.files, { [set]: path })
    Object.assign(out.sha256, { [set]: digest(content) })
    Object.assign(out.sets, { [set]: JSON.parse(content) })
  }
  return out
}
