/**
 * The texts every peer encodes: made once per tokenizer and seed, written to a file, the same for all.
 *
 *   mixed    512 texts of 5 to 250 tokens, mean about 35, log-normal: many short titles, few long descriptions
 *   uniform  256 texts of 128 tokens
 *   query     64 texts of 10 tokens
 *   check     16 of the mixed ones from the shortest to the longest, whose vectors are compared
 *
 * Tokens include the special ones. Sentences are real English where ../shared/data is, else made of a list of words.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CACHE, SHARED } from './paths.mjs'
import { normal, random, shuffle } from './random.mjs'

const VERSION = 1
const MIXED = { texts: 512, least: 5, most: 250, mean: 35, deviation: 0.8, deal: 256 }
const UNIFORM = { texts: 256, tokens: 128 }
const QUERY = { texts: 64, tokens: 10 }
const CHECK = 16

const WORDS = (
  'the a of and with for from in on to is are new small large light heavy soft hard clean fast slow simple modern classic red blue green black white silver ' +
  'cotton leather wooden steel plastic glass paper digital wireless portable waterproof kitchen garden office travel outdoor children winter summer camera ' +
  'phone cable battery charger speaker keyboard printer monitor screen lamp table chair desk shelf bag shirt jacket shoes watch bottle cup knife pan oven ' +
  'water music sound picture video game book story school house street city river mountain people woman man child dog cat bird horse train plane car bike ' +
  'makes gives takes holds keeps shows plays runs opens closes works helps fits comes goes looks feels stays includes supports protects connects replaces ' +
  'easily quickly safely together always often every many several high low long short wide narrow strong quality design size colour price weight length'
).split(' ')

/** Sentences of plain ASCII, so that no tokenizer's handling of rare letters decides anything. */
function realSentences() {
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

function madeSentences(next) {
  return Array.from({ length: 4000 }, () => {
    const words = Array.from({ length: 4 + Math.floor(next() * 14) }, () => WORDS[Math.floor(next() * WORDS.length)])
    return words.join(' ').replace(/^./, (c) => c.toUpperCase()) + '.'
  })
}

/** A text of exactly or nearly `target` tokens: sentences one after another, cut at a word. */
function textOf(target, exact, sentences, next, count) {
  for (;;) {
    let words = []
    while (count(words.join(' ')) < target)
      words = words.concat(sentences[Math.floor(next() * sentences.length)].split(' '))
    while (words.length > 1 && count(words.join(' ')) > target) words.pop()
    // The last words may have left a gap; a word of one token fills it.
    for (let tries = 0; exact && tries < 8 && count(words.join(' ')) < target; tries++) words.push('the')
    const text = words.join(' ')
    if (exact ? count(text) === target : count(text) >= MIXED.least) return text
  }
}

function mixedTargets(next) {
  const gauss = normal(next)
  const median = Math.log(MIXED.mean) - MIXED.deviation ** 2 / 2
  const draw = () => Math.round(Math.exp(median + MIXED.deviation * gauss()))
  // Every 32nd of many draws in order: the whole distribution, long tail included, whatever the seed.
  const draws = Array.from({ length: MIXED.texts * 32 }, draw)
    .sort((a, b) => a - b)
    .filter((_, i) => i % 32 === 16)
  const targets = draws.map((n) => Math.min(MIXED.most, Math.max(MIXED.least, n)))
  // Dealt out so that every run of `deal` texts has the same spread of lengths, then shuffled within it.
  const hands = Array.from({ length: MIXED.texts / MIXED.deal }, () => [])
  targets.forEach((target, i) => hands[i % hands.length].push(target))
  return hands.flatMap((hand) => shuffle(hand, next))
}

function make(count, seed) {
  const next = random(seed)
  const real = realSentences()
  const sentences = real ?? madeSentences(next)
  const set = (targets, exact) => {
    const texts = targets.map((target) => textOf(target, exact, sentences, next, count))
    return { texts, tokens: texts.map(count) }
  }
  const mixed = set(mixedTargets(next), false)
  const uniform = set(Array(UNIFORM.texts).fill(UNIFORM.tokens), true)
  const query = set(Array(QUERY.texts).fill(QUERY.tokens), true)
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

/** layout: folder with tokenizer.json. Returns { path, sha256, source, seed, sets }. */
export async function prepareTexts(layout, kind, seed) {
  const source = existsSync(join(SHARED, 'data', 'stsb')) ? 'real' : 'made'
  const path = join(CACHE, 'texts', `${kind}-${source}-seed${seed}-v${VERSION}.json`)
  if (!existsSync(path)) {
    const { AutoTokenizer, env } = await import('@huggingface/transformers')
    env.allowRemoteModels = false
    env.localModelPath = dirname(layout)
    const tokenizer = await AutoTokenizer.from_pretrained(layout.slice(dirname(layout).length + 1))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, JSON.stringify(make((text) => tokenizer.encode(text).length, seed)))
  }
  const content = readFileSync(path)
  return { path, sha256: createHash('sha256').update(content).digest('hex'), ...JSON.parse(content) }
}
