/** The files of a data set in the layout of BEIR: corpus.jsonl, queries.jsonl, qrels/<split>.tsv, each also as .gz. */
import { access, readdir } from 'node:fs/promises'
import path from 'node:path'
import { show } from '../core/show.js'
import { invalidData } from '../data/data-file.js'

export async function beirFiles(
  directory: string,
  split: string,
): Promise<{ queries: string; corpus: string; relevantDocs: string }> {
  return {
    corpus: await find(directory, 'corpus.jsonl'),
    queries: await find(directory, 'queries.jsonl'),
    relevantDocs: await find(directory, path.join('qrels', `${split}.tsv`)),
  }
}

async function find(directory: string, name: string): Promise<string> {
  for (const ending of ['', '.gz']) {
    const file = path.join(directory, name + ending)
    try {
      await access(file)
      return file
    } catch {
      continue
    }
  }
  const folder = path.dirname(path.join(directory, name))
  const there = await readdir(folder).catch(() => [])
  throw invalidData(
    `Expected ${name} or ${name}.gz in ${directory} but found ` +
      (there.length === 0 ? `nothing in ${folder}` : there.sort().slice(0, 20).map(show).join(', ')),
  )
}
