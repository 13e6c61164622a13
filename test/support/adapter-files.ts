/** Small LoRA adapters in files, as PEFT saves them. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'

export interface FileTensor {
  shape: number[]
  data: Float32Array | Int8Array | BigInt64Array
}

const dtypeOf = (data: FileTensor['data']): string =>
  data instanceof Float32Array ? 'F32' : data instanceof Int8Array ? 'I8' : 'I64'

export function writeSafetensors(file: string, tensors: Readonly<Record<string, FileTensor>>): void {
  const header: Record<string, unknown> = {}
  let at = 0
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype: dtypeOf(data), shape, data_offsets: [at, at + data.byteLength] }
    at += data.byteLength
  }
  const text = Buffer.from(JSON.stringify(header).padEnd(Math.ceil(JSON.stringify(header).length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  const bodies = Object.values(tensors).map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength))
  writeFileSync(file, Buffer.concat([length, text, ...bodies]))
}

/** Numbers within +-size, the same for the same seed. */
export function numbers(count: number, seed: number, size: number): Float32Array {
  let state = (seed * 2654435761 + 12345) >>> 0
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return size * (state / 2 ** 31 - 1)
  })
}

/** An adapter of these matrices ([out, in] by name), with rank 3 and scale 2. */
export function writeAdapter(
  directory: string,
  matrices: ReadonlyMap<string, readonly number[]>,
  seed = 1,
  config: Record<string, unknown> = {},
): string {
  const rank = 3
  const tensors: Record<string, FileTensor> = {}
  let number = seed * 1000
  for (const [module, [out, into]] of matrices) {
    const name = `base_model.model.${module}`
    tensors[`${name}.lora_A.weight`] = { shape: [rank, into!], data: numbers(rank * into!, number++, 0.3) }
    tensors[`${name}.lora_B.weight`] = { shape: [out!, rank], data: numbers(out! * rank, number++, 0.3) }
  }
  mkdirSync(directory, { recursive: true })
  writeSafetensors(path.join(directory, 'adapter_model.safetensors'), tensors)
  const settings = { peft_type: 'LORA', r: rank, lora_alpha: 2 * rank, target_modules: 'all-linear', ...config }
  writeFileSync(path.join(directory, 'adapter_config.json'), JSON.stringify(settings))
  return directory
}
