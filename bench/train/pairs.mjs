/**
 * The pairs of texts that everyone trains on: made once per tokenizer and seed, written to a file. Speed does not depend
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

/** Batches of pairs: { pairs: [[anchor, positive], ...], tokens: [of anchor 0, of positive 0, of anchor 1, ...] }. */
function batchesOf(texts, counts, { pairs, batches }) {
  const first = (batch) => 2 * pairs * batch
  return Array.from({ length: batches }, (_, b) => ({
    pairs: Array.from({ length: pairs }, (_, i) => texts.slice(first(b) + 2 * i, first(b) + 2 * i + 2)),
    tokens: counts.slice(first(b), first(b + 1)),
  }))
}

async function make(count, seed, real) {
  const next = random(seed)
  const sentences = real ?? madeSentences(next)
  const sets = {}
  for (const [name, { pairs, tokens, batches }] of Object.entries({ ...CASES, check: { ...CHECK, tokens: null } })) {
    const texts = []
    const targets = tokens
      ? Array(2 * pairs * batches).fill(tokens)
      : mixedTargets(next, { texts: 2 * pairs * batches, deal: 2 * pairs })
    for (const target of targets) texts.push(await textOf(target, tokens !== null, sentences, next, count))
    sets[name] = batchesOf(texts, await Promise.all(texts.map(count)), { pairs, batches })
  }
  return { version: VERSION, seed, source: real ? 'stsb and ddtp, English' : 'made of a list of words', sets }
}

/** model: as of prepareModel. Returns { path, sha256, source, seed, sets: { case: batches, check: batches } }. */
export async function preparePairs({ layout, made }, seed) {
  const real = made ? null : realSentences()
  const tokenizerFile = readFileSync(join(layout, 'tokenizer.json'), 'utf8')
  const name = `train-${digest(tokenizerFile).slice(0, 8)}-${real ? 'real' : 'made'}-seed${seed}-v${VERSION}`
  const path = join(CACHE, 'texts', `${name}.json`)
  if (!existsSync(path)) {
    const tokenizer = Tokenizer.fromString(tokenizerFile)
    const count = async (text) => (await tokenizer.encode(text)).getLength()
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, JSON.stringify(await make(count, seed, real)))
  }
  const content = readFileSync(path)
  return { path, sha256: digest(content), ...JSON.parse(content) }
}
