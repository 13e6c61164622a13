/** Memory for results: a coded error instead of the bare RangeError of the JavaScript engine. */
import { EmbedCoreError } from './errors.js'

interface TypedArrayOf<T> {
  new (length: number): T
  readonly BYTES_PER_ELEMENT: number
}

/** A typed array of `length` zeros. @throws ERR_EMBEDCORE_OUT_OF_MEMORY */
export function allocate(length: number): Float32Array
export function allocate<T>(length: number, type: TypedArrayOf<T>): T
export function allocate(length: number, type: TypedArrayOf<unknown> = Float32Array): unknown {
  try {
    return new type(length)
  } catch (error) {
    const megabytes = Math.ceil((length * type.BYTES_PER_ELEMENT) / 2 ** 20)
    throw new EmbedCoreError(
      'ERR_EMBEDCORE_OUT_OF_MEMORY',
      `No memory for a result of ${length} numbers (${megabytes} MiB); ` +
        'encode fewer texts per call, or use encodeStream',
      { cause: error },
    )
  }
}
