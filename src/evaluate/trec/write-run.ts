/** Writes TREC run files: `query Q0 document rank score run`, a line a document. */
import { withOwnStack } from '../../core/errors.js'
import { abortSignal, checkOptions, filledText, invalidOption } from '../../core/options.js'
import { show } from '../../core/show.js'
import { invalidData } from '../../data/data-file.js'
import { writeTexts } from '../../data/output-file.js'
import type { NearestDocuments } from '../nearest-documents.js'
import type { RunScores } from '../run-types.js'
import { runScoresRule } from '../source-rules.js'
import { Slices } from '../slices.js'
import { sortedOrder } from '../sorting.js'
import { readRun } from './run-scores.js'

const RUN_ID = 'embedcore'

/**
 * Writes scores as a TREC run file, the documents of each query in the order of their scores.
 * @throws ERR_EMBEDCORE_INVALID_OPTION; _INVALID_DATA for an id that is empty or has a blank, which the format cannot
 *   hold; _WRITE_FAILED; _ABORTED.
 * @example
 * await writeRun('mine.trec', { q1: { d3: 0.9, d7: 0.4 } }, { runId: 'mine' })
 */
export async function writeRun(
  path: string,
  run: RunScores,
  options?: { runId?: string; signal?: AbortSignal },
): Promise<void> {
  if (typeof path !== 'string' || path === '') throw invalidOption('path', 'the path of a file', path)
  const given = checkOptions(options, { runId: filledText, signal: abortSignal })
  const { run: scores } = checkOptions({ run }, { run: runScoresRule })
  if (scores === undefined || typeof scores === 'string') throw invalidOption('run', 'scores in memory', run)
  const slices = new Slices(given.signal ?? new AbortController().signal)
  try {
    const { queries } = await readRun(scores, given.signal ?? new AbortController().signal, slices)
    const runId = checkedId(given.runId ?? RUN_ID, 'the run')
    async function* texts(): AsyncGenerator<string> {
      for (const [query, { ids, scores }] of queries) {
        const order = await sortedOrder(ids.length, (i, j) => scores[j]! - scores[i]!, slices)
        yield linesOf(
          query,
          Array.from(order, (i) => ids[i]!),
          Array.from(order, (i) => scores[i]!),
          runId,
        )
      }
    }
    await writeTexts(path, texts())
  } catch (error) {
    throw withOwnStack(error)
  }
}

/** The documents that a retrieval has found. */
export async function writeRetrieved(
  path: string,
  nearest: NearestDocuments,
  queries: readonly string[],
  ids: readonly string[],
  depth: number,
  slices: Slices,
): Promise<void> {
  async function* texts(): AsyncGenerator<string> {
    for (const [i, query] of queries.entries()) {
      if (slices.over) await slices.next()
      const found = nearest.of(i).slice(0, depth)
      yield linesOf(
        query,
        found.map((document) => ids[document]!),
        nearest.scoresOf(i),
        RUN_ID,
      )
    }
  }
  await writeTexts(path, texts())
}

function linesOf(query: string, documents: readonly string[], scores: readonly number[], runId: string): string {
  checkedId(query, 'a query')
  return documents
    .map((id, rank) => `${query} Q0 ${checkedId(id, 'a document')} ${rank + 1} ${scores[rank]} ${runId}\n`)
    .join('')
}

function checkedId(id: string, what: string): string {
  if (/^\S+$/.test(id) && !id.startsWith('#')) return id
  throw invalidData(`Expected an id without blanks for ${what} in a TREC run but found ${show(id)}`)
}
