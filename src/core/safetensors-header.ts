/** The header of a safetensors file: names, types and shapes of its tensors. Values are read natively. */
import { open } from 'node:fs/promises'
import { EmbedCoreError } from './errors.js'
import { reason, show } from './show.js'

export interface TensorHeader {
  dtype: string
  shape: number[]
}

/** As the library of the format. */
const LONGEST_HEADER = 100_000_000

/** @throws ERR_EMBEDCORE_INVALID_FILE, also when there is no such file */
export async function readSafetensorsHeader(file: string): Promise<Map<string, TensorHeader>> {
  const bad = (found: string, cause?: unknown): EmbedCoreError =>
    new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Expected a safetensors file at ${file} but found ${found}`, {
      cause,
    })
  let handle
  try {
    handle = await open(file, 'r')
  } catch (error) {
    throw bad(reason(error), error)
  }
  try {
    const length = Buffer.alloc(8)
    if ((await handle.read(length, 0, 8, 0)).bytesRead < 8) throw bad('fewer than 8 bytes')
    const size = length.readBigUInt64LE()
    if (size > BigInt(LONGEST_HEADER)) throw bad(`a header of ${size} bytes`)
    const header = Buffer.alloc(Number(size))
    if ((await handle.read(header, 0, header.length, 8)).bytesRead < header.length) throw bad('a part of its header')
    return parsed(JSON.parse(header.toString('utf8')), bad)
  } catch (error) {
    throw error instanceof EmbedCoreError ? error : bad(`another header: ${reason(error)}`, error)
  } finally {
    await handle.close()
  }
}

function parsed(header: unknown, bad: (found: string) => EmbedCoreError): Map<string, TensorHeader> {
  if (typeof header !== 'object' || header === null || Array.isArray(header)) throw bad(`the header ${show(header)}`)
  const tensors = new Map<string, TensorHeader>()
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const { dtype, shape } = (value ?? {}) as { dtype?: unknown; shape?: unknown }
    const isShape = Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size >= 0)
    if (typeof dtype !== 'string' || !isShape) throw bad(`${show(value)} for the tensor ${show(name)}`)
    tensors.set(name, { dtype, shape: shape as number[] })
  }
  return tensors
}
