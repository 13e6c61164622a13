/**
 * NumPy's .npy format, version 1.0: a header of fixed size whose row count is filled in at the end, then rows in C
 * order.
 */
import { endianness } from 'node:os'
import type { Precision } from '../../core/names.js'
import type { VectorData } from '../../core/types.js'

export type NpyType = '<f4' | '|i1' | '|u1' | '<i4'

export const NPY_TYPES: Readonly<Record<Precision, NpyType>> = {
  float32: '<f4',
  int8: '|i1',
  uint8: '|u1',
  binary: '|i1',
  ubinary: '|u1',
}

/** Enough for any shape of two dimensions, and a multiple of 64 as the format requires. */
export const NPY_HEADER_BYTES = 128

export function npyHeader(type: NpyType, shape: readonly number[]): Uint8Array {
  const dimensions = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const dictionary = `{'descr': '${type}', 'fortran_order': False, 'shape': (${dimensions}), }`
  const header = Buffer.alloc(NPY_HEADER_BYTES, ' ')
  header.write('\x93NUMPY\x01\x00', 0, 'latin1')
  header.writeUInt16LE(NPY_HEADER_BYTES - 10, 8)
  header.write(dictionary, 10, 'latin1')
  header[NPY_HEADER_BYTES - 1] = 0x0a
  return header
}

/** The bytes of an array in little-endian order, without a copy on little-endian machines. */
export function littleEndianBytes(data: VectorData<Precision> | Int32Array): Uint8Array {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return data.BYTES_PER_ELEMENT === 1 || endianness() === 'LE' ? bytes : Buffer.from(bytes).swap32()
}

/** Reads a small float32 .npy of two dimensions (quantisation ranges). Throws an Error without a code. */
export function parseFloat32Npy(file: Buffer): { data: Float32Array; shape: readonly [number, number] } {
  if (file.length < 10 || file.toString('latin1', 0, 6) !== '\x93NUMPY') throw new Error('it is not an .npy file')
  const start = file[6] === 1 ? 10 : 12
  const end = start + (file[6] === 1 ? file.readUInt16LE(8) : file.length >= 12 ? file.readUInt32LE(8) : Infinity)
  if (end > file.length) throw new Error('its header is cut off')
  const header = file.toString('latin1', start, end)
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1]
  const shape = /'shape':\s*\((\d+),\s*(\d+),?\s*\)/.exec(header)
  if (descr !== '<f4' || shape === null || !/'fortran_order':\s*False/.test(header))
    throw new Error(`it is not a row-major float32 matrix (${header.trim()})`)
  const [rows, columns] = [Number(shape[1]), Number(shape[2])]
  if (file.length - end !== rows * columns * 4)
    throw new Error(`it should hold ${rows} x ${columns} numbers, but has ${file.length - end} bytes`)
  const data = Float32Array.from({ length: rows * columns }, (_, i) => file.readFloatLE(end + 4 * i))
  return { data, shape: [rows, columns] }
}
