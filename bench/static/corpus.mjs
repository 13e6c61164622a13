/** The corpus of bench:static: one sentence a line, words in lower case. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { CACHE, SHARED } from '../lib/paths.mjs'
import { digest } from '../lib/texts.mjs'

const DATA = join(SHARED, 'data')
const PARTS = [1, 2, 3].map((i) => join(DATA, 'text-en', `wiki-schools-${i}.txt.br`))

/** Files of questions, where they are. */
export const QUESTIONS = {
  analogies: join(DATA, 'analogies', 'questions-words.txt'),
  ws353: join(DATA, 'wordsim', 'EN-WS-353-ALL.txt'),
  simlex: join(DATA, 'wordsim', 'EN-SIMLEX-999.txt'),
}

function articles() {
  const lines = PARTS.flatMap((part) => brotliDecompressSync(readFileSync(part)).toString().split('\n'))
  return lines
    .map(
      (line) =>
        line
          .toLowerCase()
          .match(/[a-z]+/g)
          ?.join(' ') ?? '',
    )
    .filter((line) => line !== '')
}

/** Words by Zipf's law, 40,000 kinds, the same in every run. Speed depends on little else. */
function generated(tokens) {
  let state = 1
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
  const lines = []
  for (let done = 0; done < tokens;) {
    const length = 5 + Math.floor(random() * 40)
    lines.push(Array.from({ length }, () => `w${Math.floor(40000 ** random())}`).join(' '))
    done += length
  }
  return lines
}

/** { path, tokens, real, sha256 }; `most` tokens, whole lines. */
export function prepareCorpus(most) {
  const real = PARTS.every((part) => existsSync(part))
  const lines = real ? articles() : generated(most ?? 6.4e6)
  const kept = []
  let tokens = 0
  for (const line of lines) {
    if (most !== null && tokens >= most) break
    kept.push(line)
    tokens += line.split(' ').length
  }
  mkdirSync(CACHE, { recursive: true })
  const path = join(CACHE, `static-${real ? 'wiki' : 'generated'}-${tokens}.txt`)
  const text = `${kept.join('\n')}\n`
  writeFileSync(path, text)
  return { path, tokens, real, sha256: digest(text) }
}
