/** Word analogies and word similarity, counted as gensim counts them. */
import { readFile } from 'node:fs/promises'
import { abortError } from '../core/abort.js'
import { EmbedCoreError } from '../core/errors.js'
import { allocate } from '../core/memory.js'
import { abortSignal, checkOptions, flag, integer, oneOf } from '../core/options.js'
import { reason, show } from '../core/show.js'
import type { RawStaticVectors } from '../core/static-binding.js'
import { pearson, spearman } from '../evaluate/correlation.js'
import { Slices } from '../evaluate/slices.js'
import { analogyTerms, answer, type Query } from './nearest.js'
import type {
  AnalogyEvaluation,
  AnalogyEvaluationOptions,
  AnalogyScore,
  AnalogySection,
  WordPairsEvaluation,
  WordPairsOptions,
} from './types.js'

/** Questions of one call; as many candidates as gensim looks through for one that is in the vocabulary. */
const AT_ONCE = 512
const CANDIDATES = 5

const RESTRICT = 300_000

async function linesOf(file: string): Promise<string[]> {
  try {
    return (await readFile(file, 'utf8')).split(/\r?\n/)
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new EmbedCoreError(
      absent ? 'ERR_EMBEDCORE_NOT_FOUND' : 'ERR_EMBEDCORE_INVALID_FILE',
      absent ? `There is no file ${file}` : `Cannot read ${file}: ${reason(error)}`,
      { cause: error },
    )
  }
}

/** @throws ERR_EMBEDCORE_INVALID_DATA with the line */
export async function readAnalogies(file: string): Promise<AnalogySection[]> {
  const sections: { section: string; questions: [string, string, string, string][] }[] = []
  ;(await linesOf(file)).forEach((line, i) => {
    const fields = line.split(/\s+/).filter((field) => field !== '')
    if (fields[0] === ':') sections.push({ section: fields.slice(1).join(' '), questions: [] })
    else if (fields.length === 4 && sections.length > 0)
      sections.at(-1)!.questions.push(fields as [string, string, string, string])
    else if (fields.length > 0)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_DATA',
        `${file}, line ${i + 1}: expected \`: section\` or four words but found ${show(line)}`,
      )
  })
  return sections
}

/** Numbers of the first `restrict` words by their form; of equal forms the first word counts, as in gensim. */
function firstWords(
  raw: RawStaticVectors,
  restrict: number,
  form: (word: string) => string,
): { ids: Map<string, number>; forms: string[] } {
  const forms = raw.words(0, Math.min(restrict, raw.info.words)).map(form)
  const ids = new Map<string, number>()
  forms.forEach((word, id) => {
    if (!ids.has(word)) ids.set(word, id)
  })
  return { ids, forms }
}

export async function evaluateAnalogies(
  raw: RawStaticVectors,
  questions: string | readonly AnalogySection[],
  options?: AnalogyEvaluationOptions,
): Promise<AnalogyEvaluation> {
  const given = checkOptions(options, {
    restrictVocab: integer(1),
    caseInsensitive: flag,
    dummy4unknown: flag,
    method: oneOf('3CosAdd', '3CosMul'),
    signal: abortSignal,
  })
  const sections = typeof questions === 'string' ? await readAnalogies(questions) : questions
  const form = given.caseInsensitive === false ? (word: string) => word : (word: string) => word.toUpperCase()
  const restrict = given.restrictVocab ?? RESTRICT
  const { ids, forms } = firstWords(raw, restrict, form)
  const method = given.method ?? '3CosAdd'
  const vectors = new Map<number, Float32Array>()
  const vectorOf = (id: number): Float32Array => {
    let vector = vectors.get(id)
    if (vector === undefined) {
      vector = allocate(raw.info.dimension)
      raw.vectors(raw.words(id, id + 1), vector)
      vectors.set(id, vector)
    }
    return vector
  }
  const scores: AnalogyScore[] = []
  for (const { section, questions: all } of sections) {
    const asked = all.map((question) => question.map((word) => ids.get(form(word)) ?? -1))
    const known = asked.flatMap((question, i) => (question.includes(-1) ? [] : [i]))
    let correct = 0
    for (let from = 0; from < known.length; from += AT_ONCE) {
      const part = known.slice(from, from + AT_ONCE)
      const queries = part.map((i): Query => {
        const [a, b, c] = asked[i] as [number, number, number, number]
        return { terms: analogyTerms([vectorOf(b), vectorOf(c)], [vectorOf(a)], method), excluded: [a, b, c] }
      })
      const { ids: found } = await answer(raw, queries, { count: CANDIDATES, restrict, signal: given.signal })
      part.forEach((i, at) => {
        const [a, b, c, expected] = all[i]!.map(form) as [string, string, string, string]
        for (const id of found.subarray(at * CANDIDATES, (at + 1) * CANDIDATES)) {
          const word = id < 0 ? null : forms[id]!
          if (word === null || word === a || word === b || word === c) continue
          if (word === expected) correct++
          return
        }
      })
    }
    const unknown = all.length - known.length
    scores.push(scoreOf(section, correct, given.dummy4unknown === true ? all.length : known.length, unknown))
  }
  const sum = (name: 'correct' | 'judged' | 'unknown'): number =>
    scores.reduce((total, score) => total + score[name], 0)
  return { ...scoreOf('total', sum('correct'), sum('judged'), sum('unknown')), section: 'total', sections: scores }
}

const scoreOf = (section: string, correct: number, judged: number, unknown: number): AnalogyScore => ({
  section,
  correct,
  judged,
  unknown,
  accuracy: correct / judged,
})

async function readPairs(file: string): Promise<[string, string, number][]> {
  return (await linesOf(file)).flatMap((line, i): [string, string, number][] => {
    if (line.trim() === '' || line.startsWith('#')) return []
    const fields = line.includes('\t') ? line.split('\t').map((field) => field.trim()) : line.trim().split(/\s+/)
    const score = fields[2] === undefined || fields[2] === '' ? NaN : Number(fields[2])
    if (fields.length < 3 || !Number.isFinite(score)) {
      // A first line with the names of columns is not a pair.
      if (i === 0) return []
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_DATA',
        `${file}, line ${i + 1}: expected two words and a number but found ${show(line)}`,
      )
    }
    return [[fields[0]!, fields[1]!, score]]
  })
}

export async function evaluateWordPairs(
  raw: RawStaticVectors,
  pairs: string | readonly (readonly [string, string, number])[],
  options?: WordPairsOptions,
): Promise<WordPairsEvaluation> {
  const given = checkOptions(options, { caseInsensitive: flag, dummy4unknown: flag, signal: abortSignal })
  const rows = typeof pairs === 'string' ? await readPairs(pairs) : pairs
  const form = given.caseInsensitive === false ? (word: string) => word : (word: string) => word.toUpperCase()
  const { ids } = firstWords(raw, RESTRICT, form)
  const { dimension } = raw.info
  const [ours, theirs]: [number[], number[]] = [[], []]
  let unknown = 0
  for (const [a, b, score] of rows) {
    const [x, y] = [ids.get(form(a)), ids.get(form(b))]
    if (x === undefined || y === undefined) unknown++
    if ((x === undefined || y === undefined) && given.dummy4unknown !== true) continue
    theirs.push(score)
    ours.push(x === undefined || y === undefined ? 0 : cosine(raw, x, y, dimension))
  }
  const signal = given.signal ?? new AbortController().signal
  if (signal.aborted) throw abortError(signal)
  const slices = new Slices(signal)
  const [x, y] = [Float64Array.from(ours), Float64Array.from(theirs)]
  return {
    spearman: await spearman(x, y, slices),
    pearson: await pearson(x, y, slices),
    judged: ours.length,
    unknown,
  }
}

function cosine(raw: RawStaticVectors, a: number, b: number, dimension: number): number {
  const rows = new Float32Array(2 * dimension)
  raw.vectors([...raw.words(a, a + 1), ...raw.words(b, b + 1)], rows)
  let [ab, aa, bb] = [0, 0, 0]
  for (let d = 0; d < dimension; d++) {
    const [x, y] = [rows[d]!, rows[dimension + d]!]
    ab += x * y
    aa += x * x
    bb += y * y
  }
  return aa === 0 || bb === 0 ? 0 : ab / Math.sqrt(aa * bb)
}
