/**
 * The files of data sets in directories. BEIR: corpus.jsonl, queries.jsonl, qrels/<split>.tsv. MTEB, as on the hub:
 * <split>.jsonl, or parquet in parts (data/<split>-00000-of-00001.parquet), in a folder by subset where there are some.
 */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { show } from '../core/show.js'
import { invalidData } from '../data/data-file.js'

const ENDING = String.raw`(\.(jsonl|ndjson|csv|tsv)(\.gz)?|\.parquet)`

/** The files of a split in their order. `subset`: null = there is none. */
export async function splitFiles(directory: string, split: string, subset: string | null): Promise<string[]> {
  const folders = subset === null ? ['', 'data'] : [subset, path.join('data', subset)]
  const names = new RegExp(`^${escaped(split)}(-\\d+-of-\\d+)?${ENDING}$`)
  for (const folder of folders) {
    const found = await matching(path.join(directory, folder), names)
    if (found.length > 0) return found
  }
  if (subset !== null) {
    // The other way round: a folder by split with a file by subset.
    const found = await matching(path.join(directory, split), new RegExp(`^${escaped(subset)}${ENDING}$`))
    if (found.length > 0) return found
  }
  throw invalidData(
    `Expected ${split}.jsonl, .csv, .tsv or .parquet${subset === null ? '' : ` of ${show(subset)}`} in ${directory} ` +
      `but found ${await listing(directory)}`,
  )
}

export async function retrievalFiles(
  directory: string,
  split: string,
): Promise<{ queries: string; corpus: string; relevantDocs: string }> {
  return {
    corpus: await onlyFile(directory, 'corpus', 'corpus.jsonl', 'jsonl|ndjson'),
    queries: await onlyFile(directory, 'queries', 'queries.jsonl', 'jsonl|ndjson'),
    relevantDocs: await onlyFile(directory, path.join('qrels', split), path.join('qrels', `${split}.tsv`), 'tsv|jsonl'),
  }
}

/** One file `<stem>.<ending>`, packed or not, or as parquet beside it or in a folder of its own. */
async function onlyFile(directory: string, stem: string, expected: string, endings: string): Promise<string> {
  const folder = path.dirname(path.join(directory, stem))
  const base = escaped(path.basename(stem))
  const name = new RegExp(`^${base}(\\.(${endings})(\\.gz)?|(-\\d+-of-\\d+)?\\.parquet)$`)
  let found = await matching(folder, name)
  if (found.length === 0) found = await matching(path.join(directory, stem), /\.parquet$/)
  // The packed file stands beside the one it was made of.
  const plain = found.filter((file) => !file.endsWith('.gz'))
  if (plain.length === 1) return plain[0]!
  if (found.length === 1) return found[0]!
  if (found.length > 1)
    throw invalidData(`Expected one file of ${stem} in ${directory} but found ${found.map(show).join(', ')}`)
  throw invalidData(`Expected ${expected} or ${expected}.gz in ${directory} but found ${await listing(folder)}`)
}

async function matching(folder: string, name: RegExp): Promise<string[]> {
  const names = await readdir(folder).catch((): string[] => [])
  return names
    .filter((file) => name.test(file))
    .sort()
    .map((file) => path.join(folder, file))
}

async function listing(folder: string): Promise<string> {
  const names = await readdir(folder).catch((): string[] => [])
  return names.length === 0 ? `nothing in ${folder}` : names.sort().slice(0, 20).map(show).join(', ')
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
