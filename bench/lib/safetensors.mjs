/** Writes a safetensors file of random weights, one tensor at a time, so that a large model needs little memory. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { normal, random } from './random.mjs'

const BYTES = { F32: 4, BF16: 2 }

/** Rounds to nearest even, in the float32 bits. */
function toBfloat16(floats) {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length)
  const out = new Uint16Array(floats.length)
  for (let i = 0; i < out.length; i++) out[i] = (bits[i] + 0x7fff + ((bits[i] >>> 16) & 1)) >>> 16
  return out
}

/** tensors: [{ name, shape, mean, deviation }]; values are normal. dtype: 'F32' or 'BF16'. */
export function writeRandom(path, tensors, dtype, seed) {
  const header = { __metadata__: { format: 'pt' } }
  let offset = 0
  const sizes = tensors.map(({ shape }) => shape.reduce((a, b) => a * b, 1))
  tensors.forEach(({ name, shape }, i) => {
    const end = offset + sizes[i] * BYTES[dtype]
    header[name] = { dtype, shape, data_offsets: [offset, end] }
    offset = end
  })
  const json = Buffer.from(JSON.stringify(header))
  const padded = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  const next = normal(random(seed))
  const file = openSync(path, 'w')
  try {
    writeSync(file, length)
    writeSync(file, padded)
    tensors.forEach(({ mean, deviation }, i) => {
      for (let start = 0; start < sizes[i]; start += 1 << 20) {
        const part = new Float32Array(Math.min(1 << 20, sizes[i] - start))
        for (let k = 0; k < part.length; k++) part[k] = mean + deviation * next()
        const bytes = dtype === 'F32' ? part : toBfloat16(part)
        writeSync(file, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
      }
    })
  } finally {
    closeSync(file)
  }
}
