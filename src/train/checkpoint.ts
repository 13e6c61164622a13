/**
 * Checkpoints: `<output>/checkpoint-<step>/` with `state.json` and `trainer.safetensors`. A checkpoint is written under
 * another name and renamed when its bytes are on the disk, so that whatever has the name is whole.
 */
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { EmbedCoreError, toEmbedCoreError } from '../core/errors.js'
import { reason, show } from '../core/show.js'
import type { Best } from './evaluation.js'
import type { SamplerState } from './samplers/sampler.js'

export interface RunState {
  version: 1
  /** Updates made, and batches computed for them. */
  step: number
  batches: number
  /** Epochs done, with a fraction where it is known. */
  epoch: number
  sampler: SamplerState
  /** The best evaluations so far by purpose, and how many came after. */
  trackers: Record<string, Best | null>
  /** Whether the evaluation that is due after this update has not been made. */
  pendingEvaluation: boolean
  tokens: number
  /** What the bits of the run depend on. */
  identity: Record<string, unknown>
}

const NAME = /^checkpoint-(\d+)$/
const UNFINISHED = '.unfinished-'
const STATE = 'state.json'
const TRAINER = 'trainer.safetensors'

export const checkpointDirectory = (output: string, step: number): string => path.join(output, `checkpoint-${step}`)
export const trainerFile = (directory: string): string => path.join(directory, TRAINER)

/** @throws ERR_EMBEDCORE_WRITE_FAILED with the directory; the checkpoints before it stay as they are. */
export async function writeCheckpoint(
  output: string,
  state: RunState,
  writeTrainer: (file: string) => Promise<void>,
): Promise<string> {
  const directory = checkpointDirectory(output, state.step)
  const unfinished = path.join(output, `${UNFINISHED}checkpoint-${state.step}`)
  try {
    await rm(unfinished, { recursive: true, force: true })
    await mkdir(unfinished)
    await writeTrainer(trainerFile(unfinished))
    await writeWhole(path.join(unfinished, STATE), `${JSON.stringify(state)}\n`)
    await syncFolder(unfinished)
    // A run that goes on from here may come to the same step again.
    await rm(directory, { recursive: true, force: true })
    await rename(unfinished, directory)
    await syncFolder(output)
    return directory
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true }).catch(() => undefined)
    throw writeFailure(error, directory)
  }
}

export function writeFailure(error: unknown, what: string): EmbedCoreError {
  if (error instanceof EmbedCoreError) return error
  const isSystem = error instanceof Error && 'syscall' in error
  return isSystem
    ? new EmbedCoreError('ERR_EMBEDCORE_WRITE_FAILED', `Cannot write ${what}: ${reason(error)}`, { cause: error })
    : toEmbedCoreError(error)
}

/** Writes a file and waits until it is on the disk. */
export async function writeWhole(file: string, text: string): Promise<void> {
  const handle = await open(file, 'w')
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes renames and new names last. Some systems cannot open folders; there this is not needed. */
export async function syncFolder(folder: string): Promise<void> {
  let handle
  try {
    handle = await open(folder, 'r')
  } catch {
    return
  }
  try {
    await handle.sync()
  } catch (error) {
    if (!['EINVAL', 'EPERM', 'EISDIR', 'EBADF'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    await handle.close()
  }
}

/** Steps of the whole checkpoints in a directory, the newest last. */
export async function listCheckpoints(output: string): Promise<number[]> {
  let names: string[]
  try {
    names = await readdir(output)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Cannot read ${output}: ${reason(error)}`, { cause: error })
  }
  const steps = names.map((name) => NAME.exec(name)?.[1]).filter((step) => step !== undefined)
  return steps.map(Number).sort((a, b) => a - b)
}

/** Removes all but the newest `keep` and those of `protect`, and what a killed process left unfinished. */
export async function pruneCheckpoints(output: string, keep: number, protect: readonly number[]): Promise<void> {
  const steps = await listCheckpoints(output)
  for (const step of steps.slice(0, Math.max(0, steps.length - keep)))
    if (!protect.includes(step)) await removeCheckpoint(output, step)
}

/** In two steps, so that a checkpoint that is half removed is not taken for a whole one. */
async function removeCheckpoint(output: string, step: number): Promise<void> {
  const gone = path.join(output, `${UNFINISHED}removed-${step}`)
  await rm(gone, { recursive: true, force: true })
  await rename(checkpointDirectory(output, step), gone)
  await rm(gone, { recursive: true, force: true })
}

export async function removeUnfinished(output: string): Promise<void> {
  for (const name of await readdir(output))
    if (name.startsWith(UNFINISHED)) await rm(path.join(output, name), { recursive: true, force: true })
}

export async function removeCheckpoints(output: string): Promise<void> {
  for (const step of await listCheckpoints(output)) await removeCheckpoint(output, step)
}

/** @throws ERR_EMBEDCORE_NOT_FOUND, _INVALID_FILE */
export async function readCheckpoint(directory: string): Promise<RunState> {
  const file = path.join(directory, STATE)
  let text: string
  try {
    text = await readFile(file, 'utf8')
    await stat(trainerFile(directory))
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new EmbedCoreError(
      absent ? 'ERR_EMBEDCORE_NOT_FOUND' : 'ERR_EMBEDCORE_INVALID_FILE',
      absent
        ? `Expected a checkpoint of a run in ${directory} but found none`
        : `Cannot read ${file}: ${reason(error)}`,
      { cause: error },
    )
  }
  let state: unknown
  try {
    state = JSON.parse(text)
  } catch {
    state = null
  }
  if (!isState(state))
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_INVALID_FILE',
      `Expected the state of a run in ${file} but found something else`,
    )
  return state
}

function isState(value: unknown): value is RunState {
  const state = value as Partial<RunState> | null
  return (
    typeof state === 'object' &&
    state !== null &&
    state.version === 1 &&
    Number.isInteger(state.step) &&
    Number.isInteger(state.batches) &&
    Number.isFinite(state.epoch) &&
    typeof state.sampler === 'object' &&
    typeof state.trackers === 'object' &&
    typeof state.identity === 'object'
  )
}

/** @throws ERR_EMBEDCORE_INVALID_OPTION naming what differs: the run would not be the one that was interrupted. */
export function refuseOtherRun(state: RunState, identity: Readonly<Record<string, unknown>>, directory: string): void {
  for (const name of new Set([...Object.keys(identity), ...Object.keys(state.identity)])) {
    const [now, then] = [identity[name], state.identity[name]].map((value) => JSON.stringify(value ?? null))
    if (now !== then)
      throw new EmbedCoreError(
        'ERR_EMBEDCORE_INVALID_OPTION',
        `Expected the options of the run that wrote ${directory} but ${name} is ${show(now)} and was ${show(then)}; ` +
          'without resume the run begins anew',
      )
  }
}
