/** Runs UMAP (McInnes, Healy and Melville 2018) of the package umap-js in a worker thread. */
import { Worker } from 'node:worker_threads'
import { abortError } from '../core/abort.js'
import { EmbedCoreError } from '../core/errors.js'
import { reason } from '../core/show.js'

export interface UmapOptions {
  neighbors: number
  minDist: number
  /** 0 = the library's own. */
  epochs: number
  seed: number
  signal: AbortSignal
  /** What it throws ends the run. */
  onRound: (done: number, total: number) => void
}

type Message = { done: number; total: number } | { points: Float64Array }

/** The points [rows, 2]. `data` is handed over to the thread. */
export async function umapPoints(
  data: Float32Array<ArrayBuffer>,
  width: number,
  { neighbors, minDist, epochs, seed, signal, onRound }: UmapOptions,
): Promise<Float64Array> {
  if (signal.aborted) throw abortError(signal)
  const worker = new Worker(new URL('./umap-worker.cjs', import.meta.url), {
    workerData: { data, width, neighbors, minDist, epochs, seed },
    transferList: [data.buffer],
  })
  let abort = (): void => undefined
  try {
    return await new Promise<Float64Array>((resolve, reject) => {
      abort = () => reject(abortError(signal))
      signal.addEventListener('abort', abort, { once: true })
      worker.on('error', (error) => {
        reject(
          new EmbedCoreError('ERR_EMBEDCORE_INTERNAL', `UMAP failed: ${reason(error)}`, {
            cause: error,
          }),
        )
      })
      worker.on('exit', (code) => {
        reject(new EmbedCoreError('ERR_EMBEDCORE_INTERNAL', `The thread of UMAP ended early, with code ${code}`))
      })
      worker.on('message', (message: Message) => {
        if ('points' in message) return resolve(message.points)
        try {
          onRound(message.done, message.total)
        } catch (error) {
          reject(error as Error)
        }
      })
    })
  } finally {
    signal.removeEventListener('abort', abort)
    await worker.terminate()
  }
}
