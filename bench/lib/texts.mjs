/**
 * The texts that every peer encodes: made once per tokenizer and seed, written to a file, the same for all.
 *
 *   mixed    512 texts of 5 to 250 tokens, mean about 35, log-normal: many short titles, few long descriptions
 *   uniform  256 texts of 128 tokens
 *   query     64 texts of 10 tokens
 *   check     16 of the mixed ones from the shortest to the longest, whose vectors are compared
 *
 * Tokens include the special ones. Sentences are real English if ../shared/data exists, else random ones of common
 * words.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Tokenizer } from 'tokenizers'
import { CACHE, SHARED } from './paths.mjs'
import { normal, random, shuffle } from './random.mjs'
import { WORDS } from './words.mjs'

const VERSION = 1
const MIXED = { texts: 512, least: 5, most: 250, mean: 35, deviation: 0.8, deal: 256 }
const UNIFORM = { texts: 256, tokens: 128 }
const QUERY = { texts: 64, tokens: 10 }
const CHECK = 16

/** Sentences of plain ASCII, so that the tokenizers' treatment of rare letters has no influence. */
export function realSentences() {
  const stsb = join(SHARED, 'data', 'stsb', 'stsb-en-train.csv')
  const packages = ['en-fr-short.tsv', 'en-fr-long.tsv'].map((name) => join(SHARED, 'data', 'ddtp', name))
  if (![stsb, ...packages].every(existsSync)) return null
  const lines = (path) => readFileSync(path, 'utf8').split('\n').filter(Boolean)
  const csv = lines(stsb).flatMap((line) =>
    [...line.matchAll(/"((?:[^"]|"")*)"|([^,]+)/g)].slice(0, 2).map((m) => (m[1] ?? m[2]).replaceAll('""', '"')),
  )
  const tsv = packages.flatMap((path) => lines(path).map((line) => line.split('\t')[1] ?? ''))
  const sentences = [...csv, ...tsv].flatMap((text) => text.split(/(?<=[.!?])\s+/)).map((s) => s.trim())
  return sentences.filter((s) => /^[\x20-\x7e]+$/.test(s) && s.split(' ').length >= 3)
}

export function madeSentences(next) {
  return Array.from({ length: 4000 }, () => {
    const words = Array.from({ length: 4 + Math.floor(next() * 14) }, () => WORDS[Math.floor(next() * WORDS.length)])
    return words.join(' ').replace(/^./, (c) => c.toUpperCase()) + '.'
  })
}

/** A text of exactly or nearly `target` tokens: sentences one after another, cut at a word. */
export async function textOf(target, exact, sentences, next, count) {
  for (;;) {
    let words = []
    const counted = () => count(words.join(' '))
    while ((await counted()) < target) words = words.concat(sentences[Math.floor(next() * sentences.length)].split(' '))
    while (words.length > 1 && (await counted()) > target) words.pop()
    // The last words may have left a gap; a word of one token fills it.
    for (let tries = 0; exact && tries < 8 && (await counted()) < target; tries++) words.push('the')
    const length = await counted()
    if (exact ? length === target : length >= MIXED.least) return words.join(' ')
  }
}

/** Lengths of `texts` log-normal texts, such that every `deal` of them have the same spread. */
export function mixedTargets(next, { texts, deal } = MIXED) {
  const gauss = normal(next)
  const median = Math.log(MIXED.mean) - MIXED.deviation ** 2 / 2
  const draw = () => Math.round(Math.exp(median + MIXED.deviation * gauss()))
  // Every 32nd of many sorted draws, so that for any seed the lengths cover the whole distribution, including the long
  // tail.
  const draws = Array.from({ length: texts * 32 }, draw)
    .sort((a, b) => a - b)
    .filter((_, i) => i % 32 === 16)
  const targets = draws.map((n) => Math.min(MIXED.most, Math.max(MIXED.least, n)))
  // Distributed so that every group of `deal` texts has the same spread of lengths, then shuffled within the group.
  const hands = Array.from({ length: texts / deal }, () => [])
  targets.forEach((target, i) => hands[i % hands.length].push(target))
  return hands.flatMap((hand) => shuffle(hand, next))
}

async function make(count, seed, real) {
  const next = random(seed)
  const sentences = real ?? madeSentences(next)
  const set = async (targets, exact) => {
    const texts = []
    for (const target of targets) texts.push(await textOf(target, exact, sentences, next, count))
    return { texts, tokens: await Promise.all(texts.map(count)) }
  }
  const mixed = await set(mixedTargets(next), false)
  const uniform = await set(Array(UNIFORM.texts).fill(UNIFORM.tokens), true)
  const query = await set(Array(QUERY.texts).fill(QUERY.tokens), true)
  const byLength = mixed.texts.map((_, i) => i).sort((a, b) => mixed.tokens[a] - mixed.tokens[b])
  const chosen = Array.from(
    { length: CHECK },
    (_, i) => byLength[Math.round((i * (byLength.length - 1)) / (CHECK - 1))],
  )
  const check = { texts: chosen.map((i) => mixed.texts[i]), tokens: chosen.map((i) => mixed.tokens[i]) }
  return {
    version: VERSION,
    seed,
    source: real ? 'stsb and ddtp, English' : 'made of a list of words',
    sets: { mixed, uniform, query, check },
  }
}

const LONG_PARTS = 32

/**
 * Set `long`: four texts of about 4,000 tokens, each of 32 uniform ones. Returns the path of its file. Only for a
 * tokenizer that splits at spaces and puts two special tokens around a text.
 */
export function prepareLongTexts(texts) {
  const { uniform, query } = texts.sets
  const starts = [0, 1, 2, 3].map((i) => i * LONG_PARTS)
  const long = {
    texts: starts.map((at) => uniform.texts.slice(at, at + LONG_PARTS).join(' ')),
    tokens: starts.map((at) => uniform.tokens.slice(at, at + LONG_PARTS).reduce((sum, n) => sum + n - 2, 2)),
  }
  const path = texts.path.replace(/\.json$/, '-long.json')
  writeFileSync(
    path,
    JSON.stringify({
      sets: { long, query, check: { texts: long.texts.slice(0, 1), tokens: long.tokens.slice(0, 1) } },
    }),
  )
  return path
}

export const digest = (content) => createHash('sha256').update(content).digest('hex')

/**
 * model: as of prepareModel. Returns { path, sha256, source, seed, sets }. A generated tokenizer gets generated texts,
 * because its vocabulary does not have the words of real ones.
 */
export async function prepareTexts({ layout, made }, seed) {
  const real = made ? null : realSentences()
  const tokenizerFile = readFileSync(join(layout, 'tokenizer.json'), 'utf8')
  const name = `${digest(tokenizerFile).slice(0, 8)}-${real ? 'real' : 'made'}-seed${seed}-v${VERSION}`
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
