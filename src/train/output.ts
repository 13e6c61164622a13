/** The directory of a run: what may be in it at the beginning, and where a run goes on. */
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { EmbedCoreError } from '../core/errors.js'
import { invalidOption } from '../core/options.js'
import { reason, show } from '../core/show.js'
import {
  checkpointDirectory,
  listCheckpoints,
  readCheckpoint,
  removeCheckpoints,
  removeUnfinished,
  type RunState,
  writeFailure,
} from './checkpoint.js'
import { LOG_FILE } from './log.js'
import type { ResolvedTrain } from './options.js'
import { REPORT_FILE } from './report.js'

export interface Resumed {
  directory: string
  state: RunState
}

/** Where the run goes on; null = it begins. Writes nothing. */
export async function findResumed({ output, resume, overwrite }: ResolvedTrain): Promise<Resumed | null> {
  const names = await namesIn(output)
  if (typeof resume === 'string') return { directory: resume, state: await readCheckpoint(resume) }
  if (resume) {
    const last = (await listCheckpoints(output)).at(-1)
    if (last === undefined) return null
    const directory = checkpointDirectory(output, last)
    return { directory, state: await readCheckpoint(directory) }
  }
  if (names.length > 0 && !overwrite)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_OPTION',
      `Expected an empty or new directory for output but ${show(output)} holds ${names.slice(0, 3).join(', ')}` +
        `${names.length > 3 ? ` and ${names.length - 3} more` : ''}; resume: true goes on with the run that it ` +
        'holds, overwrite: true replaces it',
    )
  return null
}

async function namesIn(output: string): Promise<string[]> {
  try {
    if (!(await stat(output)).isDirectory()) throw invalidOption('output', 'the path of a directory', output)
    return await readdir(output)
  } catch (error) {
    if (error instanceof EmbedCoreError) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Cannot read ${output}: ${reason(error)}`, { cause: error })
  }
}

/** Makes the directory, and removes what another run left in it. Only files of a run are removed. */
export async function openOutput({ output }: ResolvedTrain, resumed: Resumed | null): Promise<void> {
  try {
    await mkdir(output, { recursive: true })
    await removeUnfinished(output)
    if (resumed !== null) return
    await removeCheckpoints(output)
    for (const name of [LOG_FILE, REPORT_FILE]) await rm(path.join(output, name), { force: true })
  } catch (error) {
    throw writeFailure(error, `to the directory ${output}`)
  }
}
