/** What can run here, and why the rest cannot. */
import { toEmbedCoreError } from './errors.js'
import { native } from './native.js'
import type { DeviceInfo } from './types.js'

export function devices(): DeviceInfo[] {
  return [
    cpu(),
    { device: 'cuda', available: false, reason: 'this version of embedcore has no CUDA backend', detail: {} },
  ]
}

function cpu(): DeviceInfo {
  try {
    const { isa, forced, features, cores, refused } = native().cpu()
    return { device: 'cpu', available: true, reason: null, detail: { isa, forced, paths: features, cores, refused } }
  } catch (error) {
    return { device: 'cpu', available: false, reason: toEmbedCoreError(error).message, detail: {} }
  }
}
