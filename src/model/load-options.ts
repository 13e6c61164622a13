/** Options of load: their types, the rules that check them, and the settings derived from them. */
import { type DeviceName, type Dtype, DTYPES } from '../core/names.js'
import { abortSignal, callback, checkOptions, deviceName, filledText, flag, integer, oneOf } from '../core/options.js'
import type { DownloadProgress, HubOptions } from '../hub/types.js'

/** Options of `load`. Those of the hub have no effect on the path of a directory. */
export interface LoadOptions extends HubOptions {
  /**
   * Where the arithmetic runs. `'auto'`, the default, is the first CUDA device that can be used, else the CPU; static
   * models, whose vectors are only looked up and added, and everything where EMBEDCORE_CPU_ISA is set stay on the CPU.
   * If a GPU is there and cannot be used, a process warning says why. `'cuda'` and `'cuda:1'` are refused with
   * ERR_EMBEDCORE_DEVICE and the reason if they cannot be used. `devices()` lists what there is, `info.device` says
   * what was taken.
   */
  device?: DeviceName
  /**
   * The type of the arithmetic. Default `'float32'`. Static models have no other: `'auto'` selects it, and the others
   * are refused with ERR_EMBEDCORE_INVALID_OPTION.
   *
   * `'auto'` takes the fastest that keeps cosine to float32 at 0.9999 or better, and a less exact one only when it is 5
   * % faster. The first load of a model on a machine measures it (seconds, or a minute for a large model; never more
   * than two copies of the weights in memory). The result is remembered in `dtype-choices.json` in `EMBEDCORE_CACHE`,
   * else `XDG_CACHE_HOME/embedcore`, else `~/.cache/embedcore`, and measured again when the model's files, the
   * processor, the instruction set or the number of threads change. If the file cannot be read or written, the load
   * measures and continues. `info.dtype` and `info.dtypeChoice` give the result. On a CUDA device nothing is measured:
   * `'auto'` is bfloat16 where the device computes in it.
   *
   * A matrix of more than 65,536 inputs cannot be computed in int8 (ERR_EMBEDCORE_UNSUPPORTED_MODEL); `'auto'` then
   * skips int8.
   */
  dtype?: Dtype | 'auto'
  /**
   * The directory of a LoRA adapter that PEFT or `train` saved. It is added to the weights as they are read, in float32
   * and before they are rounded to `dtype`, so that it costs nothing per call. Without it the same files give the base
   * model; both can be in memory. For several adapters on one base, see `loadAdapter`.
   */
  adapter?: string
  /** Worker threads, 1 to 1024. Default: the physical cores this process may use (cgroup limits honoured). */
  threads?: number
  /**
   * Tokens that are computed together at most; one longer text is computed alone. Default 32768. The CPU computes about
   * 256 tokens at a time, since their activations fit a core's cache, and a GPU 128 for each of its multiprocessors, so
   * that larger limits make no difference. A GPU computes fewer for a while when its memory runs out.
   */
  maxBatchTokens?: number
  /**
   * Tokens that may wait before new calls are rejected with ERR_EMBEDCORE_QUEUE_FULL. Default 16 Mi tokens. A call that
   * comes alone is never refused, and a call that was admitted does not fail later.
   */
  maxQueueTokens?: number
  /** Tokens a text is cut to, special ones included. Default: the model's own `max_seq_length`. */
  maxTokens?: number
}

export const LOAD_RULES = {
  device: deviceName,
  dtype: oneOf('auto', ...DTYPES),
  adapter: filledText,
  threads: integer(1, 1024),
  maxBatchTokens: integer(1),
  maxQueueTokens: integer(1),
  maxTokens: integer(1),
  revision: filledText,
  cacheDir: filledText,
  token: filledText,
  offline: flag,
  onProgress: callback<(progress: DownloadProgress) => void>(),
  signal: abortSignal,
}

/**
 * Options of load; null = the caller named none and the default depends on the machine, the environment or the model.
 */
export interface ResolvedLoad {
  device: DeviceName
  dtype: Dtype | 'auto'
  adapter: string | null
  threads: number | null
  maxBatchTokens: number
  maxQueueTokens: number
  maxTokens: number | null
  revision: string
  cacheDir: string | null
  token: string | null
  offline: boolean | null
  onProgress: ((progress: DownloadProgress) => void) | null
  signal: AbortSignal | null
}

export function resolveLoadOptions(options?: LoadOptions): ResolvedLoad {
  const given = checkOptions(options, LOAD_RULES)
  return {
    device: given.device ?? 'auto',
    dtype: given.dtype ?? 'float32',
    adapter: given.adapter ?? null,
    threads: given.threads ?? null,
    maxBatchTokens: given.maxBatchTokens ?? 32768,
    maxQueueTokens: given.maxQueueTokens ?? 16 * 1024 * 1024,
    maxTokens: given.maxTokens ?? null,
    revision: given.revision ?? 'main',
    cacheDir: given.cacheDir ?? null,
    token: given.token ?? null,
    offline: given.offline ?? null,
    onProgress: given.onProgress ?? null,
    signal: given.signal ?? null,
  }
}
