/** Writes safetensors files of tensors that are in memory or in other such files. */
import { open, rename, rm } from 'node:fs/promises'
import { EmbedCoreError } from '../core/errors.js'
import { readSafetensorsHeader } from '../core/safetensors-header.js'

export type TensorSource = { name: string; dtype: string; shape: readonly number[] } & (
  { bytes: Uint8Array } | { file: string; start: number; length: number }
)

/** The tensors of a file whose names `keeps` accepts, in the order of their bytes. */
export async function tensorsIn(file: string, keeps: (name: string) => boolean): Promise<TensorSource[]> {
  const handle = await open(file, 'r')
  try {
    const tensors = await readSafetensorsHeader(file)
    const size = Buffer.alloc(8)
    await handle.read(size, 0, 8, 0)
    const text = Buffer.alloc(Number(size.readBigUInt64LE()))
    await handle.read(text, 0, text.length, 8)
    const header = JSON.parse(text.toString('utf8')) as Record<string, { data_offsets?: unknown }>
    return [...tensors]
      .filter(([name]) => keeps(name))
      .map(([name, { dtype, shape }]) => {
        const [begin, end] = offsetsOf(header[name]!.data_offsets, name, file)
        return { name, dtype, shape, file, start: 8 + text.length + begin, length: end - begin }
      })
      .sort((a, b) => a.start - b.start)
  } finally {
    await handle.close()
  }
}

function offsetsOf(given: unknown, name: string, file: string): [number, number] {
  const [begin, end] = Array.isArray(given) ? (given as unknown[]) : []
  if (Number.isSafeInteger(begin) && Number.isSafeInteger(end) && 0 <= Number(begin) && Number(begin) <= Number(end))
    return [Number(begin), Number(end)]
  throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `Expected the place of the tensor ${name} in ${file}`)
}

const PIECE = 1 << 22

/** The file appears when it is whole. */
export async function writeTensors(path: string, tensors: readonly TensorSource[]): Promise<void> {
  let at = 0
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  for (const tensor of tensors) {
    const length = 'bytes' in tensor ? tensor.bytes.length : tensor.length
    header[tensor.name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [at, at + length] }
    at += length
  }
  // Tensors begin at a multiple of 8 bytes: blanks fill the header up.
  const text = JSON.stringify(header)
  const json = Buffer.from(text + ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(json.length))
  const unfinished = `${path}.unfinished`
  const handle = await open(unfinished, 'w')
  try {
    await handle.writeFile(size)
    await handle.writeFile(json)
    for (const tensor of tensors) for await (const piece of bytesOf(tensor)) await handle.writeFile(piece)
    await handle.sync()
  } catch (error) {
    await handle.close()
    await rm(unfinished, { force: true })
    throw error
  }
  await handle.close()
  await rename(unfinished, path)
}

async function* bytesOf(tensor: TensorSource): AsyncGenerator<Uint8Array> {
  if ('bytes' in tensor) {
    yield tensor.bytes
    return
  }
  const handle = await open(tensor.file, 'r')
  try {
    for (let done = 0; done < tensor.length;) {
      const piece = Buffer.alloc(Math.min(PIECE, tensor.length - done))
      const { bytesRead } = await handle.read(piece, 0, piece.length, tensor.start + done)
      if (bytesRead === 0)
        throw new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', `${tensor.file} ends within the tensor ${tensor.name}`)
      yield piece.subarray(0, bytesRead)
      done += bytesRead
    }
  } finally {
    await handle.close()
  }
}
