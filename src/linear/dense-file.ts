/** The files of a Dense module of sentence-transformers. */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { writeFailure } from '../train/checkpoint.js'
import { replaceFile } from '../train/save.js'
import { moduleConfig, moduleFile } from '../train/stack.js'
import { type TensorSource, writeTensors } from './tensor-files.js'

/** A map y = x weight^T + bias. */
export interface DenseMap {
  readonly inFeatures: number
  readonly outFeatures: number
  /** [outFeatures, inFeatures] */
  readonly weight: Float32Array
  readonly bias: Float32Array
}

/** @throws ERR_EMBEDCORE_WRITE_FAILED */
export async function saveDense(directory: string, map: DenseMap): Promise<void> {
  try {
    await mkdir(directory, { recursive: true })
    await writeTensors(moduleFile(directory), tensorsOf(map))
    const raw = { type: 'dense', activation: 'identity', bias: true, residual: false, trained: false } as const
    const { inFeatures, outFeatures } = map
    const config = moduleConfig({ raw: { ...raw, inFeatures, outFeatures, directory }, directory, folder: '' })
    await replaceFile(path.join(directory, 'config.json'), `${JSON.stringify(config, null, 2)}\n`)
  } catch (error) {
    throw writeFailure(error, `the module to ${directory}`)
  }
}

function tensorsOf({ weight, bias, inFeatures, outFeatures }: DenseMap): TensorSource[] {
  return [
    { name: 'linear.weight', dtype: 'F32', shape: [outFeatures, inFeatures], bytes: bytesOf(weight) },
    { name: 'linear.bias', dtype: 'F32', shape: [outFeatures], bytes: bytesOf(bias) },
  ]
}

/** Little-endian, as the file is and every processor that the package runs on. */
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)
