/** The devices of this machine, with the reason why one cannot be used. */
import { toEmbedCoreError } from './errors.js'
import { native } from './native.js'

/** A kind of device, and the reason if models cannot run on it here. */
export interface DeviceInfo {
  readonly device: 'cpu' | 'cuda'
  readonly available: boolean
  /** null when available. */
  readonly reason: string | null
  readonly detail: Readonly<Record<string, unknown>>
}

export function devices(): DeviceInfo[] {
  return [
    cpu(),
    { device: 'cuda', available: false, reason: 'this version of embedcore has no CUDA backend', detail: {} },
  ]
}

function cpu(): DeviceInfo {
  try {
    const { isa, forced, features, cores, quota, refused } = native().cpu()
    return {
      device: 'cpu',
      available: true,
      reason: null,
      detail: { isa, forced, paths: features, cores, quota, refused },
    }
  } catch (error) {
    return { device: 'cpu', available: false, reason: toEmbedCoreError(error).message, detail: {} }
  }
}
