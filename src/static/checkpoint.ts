/** What a checkpoint of `trainStatic` says of its run: the metadata of a safetensors file. */
import { open } from 'node:fs/promises'
import { EmbedCoreError } from '../core/errors.js'
import { reason, show } from '../core/show.js'
import type { RawStaticTrainerOptions } from '../core/static-binding.js'

const FORMAT = 'embedcore-static-1'
const LONGEST_HEADER = 1 << 20

export interface CheckpointData {
  options: Record<string, unknown>
  corpusHash: string
  block: number
}

/** The options that the weights depend on. */
export function identityOf({ scratch: _, threads: __, ...options }: RawStaticTrainerOptions): Record<string, unknown> {
  return options
}

export function metadataOf({ options, corpusHash, block }: CheckpointData): Record<string, string> {
  return { format: FORMAT, options: JSON.stringify(options), corpus: corpusHash, block: String(block) }
}

/** null = there is no such file. @throws ERR_EMBEDCORE_INVALID_FILE */
export async function readCheckpoint(path: string): Promise<CheckpointData | null> {
  let header: string
  try {
    const file = await open(path, 'r')
    try {
      const length = Buffer.alloc(8)
      await file.read(length, 0, 8, 0)
      const bytes = Buffer.alloc(Math.min(Number(length.readBigUInt64LE()), LONGEST_HEADER))
      await file.read(bytes, 0, bytes.length, 8)
      header = bytes.toString()
    } finally {
      await file.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Cannot read ${path}: ${reason(error)}`, { cause: error })
  }
  try {
    const { __metadata__: data } = JSON.parse(header) as { __metadata__?: Record<string, string> }
    const block = Number(data?.['block'])
    if (data?.['format'] === FORMAT && Number.isSafeInteger(block))
      return {
        options: JSON.parse(data['options']!) as Record<string, unknown>,
        corpusHash: data['corpus']!,
        block,
      }
  } catch {
    // Refused below.
  }
  throw new EmbedCoreError(
    'ERR_EMBEDCORE_INVALID_FILE',
    `Expected a checkpoint of trainStatic in ${path} but found something else`,
  )
}

/** @throws ERR_EMBEDCORE_INVALID_OPTION naming what differs */
export function refuseOtherRun(found: CheckpointData, now: CheckpointData, path: string): void {
  for (const name of new Set([...Object.keys(now.options), ...Object.keys(found.options)]))
    if (found.options[name] !== now.options[name])
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected the options of the run that wrote ${path} but ${name} is ${show(now.options[name])} and was ` +
          `${show(found.options[name])}; without resume the run begins anew`,
      )
  if (found.corpusHash !== now.corpusHash)
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_OPTION', `${path} is of a run on another corpus`)
}
