/** Judgments by the rules of trec_eval: whole grades, each document of a query once. */
import { show } from '../../core/show.js'
import { invalidData } from '../../data/data-file.js'
import { readJudgments } from '../relevant-docs.js'
import type { Slices } from '../slices.js'
import type { RelevantDocs } from '../types.js'

/** Grades by document. Below 0: in the pool of documents to judge, but not judged. */
export type Grades = ReadonlyMap<string, number>

export async function readGrades(
  source: RelevantDocs,
  quote: string | null,
  signal: AbortSignal,
  slices: Slices,
): Promise<Map<string, Grades>> {
  const found = new Map<string, Map<string, number>>()
  for await (const group of readJudgments(source, 'qrels', quote, signal)) {
    if (slices.over) await slices.next()
    for (const { query, document, grade, place } of group) {
      if (!Number.isSafeInteger(grade))
        throw invalidData(`Expected a whole number for the grade in ${place()} but found ${grade}`)
      let grades = found.get(query)
      if (grades === undefined) found.set(query, (grades = new Map()))
      if (grades.has(document))
        throw invalidData(
          `Expected one judgment of a document for a query but found ${show(document)} again for ${show(query)} ` +
            `in ${place()}`,
        )
      grades.set(document, grade)
    }
  }
  return found
}
