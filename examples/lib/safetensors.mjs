/** The safetensors format: the length of a JSON header (8 bytes), the header, the bytes of the tensors. */
import { readFileSync, writeFileSync } from 'node:fs'

/** Map of name to { dtype, shape, bytes }. */
export function readTensors(file) {
  const buffer = readFileSync(file)
  const begin = 8 + Number(buffer.readBigUInt64LE(0))
  const { __metadata__: _, ...header } = JSON.parse(buffer.toString('utf8', 8, begin))
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => [name, { dtype, shape, bytes: buffer.subarray(begin + from, begin + to) }],
    ),
  )
}

/** `tensors`: as `readTensors` gives them. */
export function writeTensors(file, tensors) {
  const header = { __metadata__: { format: 'pt' } }
  let offset = 0
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.byteLength] }
    offset += bytes.byteLength
  }
  const json = JSON.stringify(header)
  const padded = Buffer.from(json + ' '.repeat((8 - (Buffer.byteLength(json) % 8)) % 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  writeFileSync(file, Buffer.concat([length, padded, ...[...tensors.values()].map(({ bytes }) => bytes)]))
}
