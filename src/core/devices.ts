/** The devices of this machine, the reason why one cannot be used, and the choice of the device of a load. */
import { cpus, freemem, totalmem } from 'node:os'
import type { RawDevice, RawDevices } from './binding.js'
import { EmbedCoreError, toEmbedCoreError } from './errors.js'
import { type DeviceId, type DeviceName, type Dtype } from './names.js'
import { native } from './native.js'

/** Something that models run on. */
export interface DeviceInfo {
  /**
   * What the option `device` of load takes: `'cpu'`, or `'cuda:0'` and so on. `'cuda'` stands for all devices of this
   * kind where there is none; `reason` says why.
   */
  readonly id: DeviceId | 'cuda'
  /** Its model; empty for the `'cuda'` that stands for none. */
  readonly name: string
  /** The code that would run: `cpu-avx512bf16`, `cuda`. */
  readonly backend: string
  /** `'9.0'`; null for the CPU. */
  readonly computeCapability: string | null
  readonly memoryBytes: number
  readonly freeBytes: number
  /** The version of its driver; null for the CPU. */
  readonly driver: string | null
  /** Whether models can run on it. */
  readonly usable: boolean
  /** Why it cannot be used, and what to do; null if it can. */
  readonly reason: string | null
  /** More for people: for the CPU its code paths and cores, for `cuda` the library of the backend. */
  readonly detail: Readonly<Record<string, unknown>>
}

/**
 * What models can run on here: the CPU first, then each NVIDIA GPU, with the reason if it cannot be used. Where there
 * is no GPU, or no CUDA backend, one entry `'cuda'` says why. The first call opens the CUDA backend, if it is
 * installed, on another thread; that may take some hundred milliseconds.
 * @throws ERR_EMBEDCORE_THREAD_LIMIT, _OUT_OF_MEMORY
 * @example
 * for (const { id, name, usable, reason } of await devices()) console.log(id, name, usable ? 'usable' : reason)
 */
export async function devices(): Promise<DeviceInfo[]> {
  const processor = cpu()
  if (!addonLoads()) return [processor] // Nothing is known of GPUs.
  const found = await cudaDevices('all')
  if (found.count === 0) return [processor, none(found)]
  return [processor, ...found.devices.map((device) => gpu(device, found))]
}

function addonLoads(): boolean {
  try {
    native()
    return true
  } catch {
    return false
  }
}

function cpu(): DeviceInfo {
  const facts = {
    id: 'cpu',
    name: cpus()[0]?.model.trim() ?? 'unknown',
    computeCapability: null,
    memoryBytes: totalmem(),
    freeBytes: freemem(),
    driver: null,
  } as const
  try {
    const { isa, forced, features, cores, quota, refused } = native().cpu()
    const detail = { isa, forced, paths: features, cores, quota, refused }
    return { ...facts, backend: isa, usable: true, reason: null, detail }
  } catch (error) {
    return { ...facts, backend: '', usable: false, reason: toEmbedCoreError(error).message, detail: {} }
  }
}

function gpu(device: RawDevice, { backend, library }: RawDevices): DeviceInfo {
  const { index, name, computeCapability, memoryBytes, freeBytes, driver, reason } = device
  return {
    id: `cuda:${index}`,
    name,
    backend,
    computeCapability: `${Math.floor(computeCapability / 10)}.${computeCapability % 10}`,
    memoryBytes,
    freeBytes,
    driver: driver === '' ? null : driver,
    usable: reason === '',
    reason: reason === '' ? null : reason,
    detail: { library },
  }
}

function none({ backend, library, reason }: RawDevices): DeviceInfo {
  return {
    id: 'cuda',
    name: '',
    backend: backend === '' ? 'cuda' : backend,
    computeCapability: null,
    memoryBytes: 0,
    freeBytes: 0,
    driver: null,
    usable: false,
    reason,
    detail: { library },
  }
}

/** The library that the environment names; empty = the one beside the addon. */
function libraryHere(): string {
  return process.env['EMBEDCORE_CUDA_LIBRARY'] ?? ''
}

function cudaDevices(which: 'all' | 'usable' | number, library = libraryHere()): Promise<RawDevices> {
  return new Promise((resolve, reject) => {
    native().devices({ library, which }, (error, found) => {
      if (found === undefined) reject(toEmbedCoreError(error))
      else resolve(found)
    })
  })
}

/** The device of a load, and the library that knows it. */
export interface ChosenDevice {
  id: DeviceId
  /** Empty for the CPU. */
  library: string
}

const CPU: ChosenDevice = { id: 'cpu', library: '' }

/** The library and the CPU path that the environment names at the time of a call. */
export interface DeviceSettings {
  library: string
  /** EMBEDCORE_CPU_ISA names a path, so that `'auto'` means the CPU. */
  cpuForced: boolean
}

export function deviceSettings(cpuForced: boolean): DeviceSettings {
  return { library: libraryHere(), cpuForced }
}

/** The device that a load runs on. Throws ERR_EMBEDCORE_DEVICE with the reason if it cannot. */
export async function chooseDevice(asked: DeviceName, { library, cpuForced }: DeviceSettings): Promise<ChosenDevice> {
  if (asked === 'cpu' || (asked === 'auto' && cpuForced)) return CPU
  if (asked === 'auto' || asked === 'cuda') {
    const found = await cudaDevices('usable', library)
    const usable = found.devices.find(({ reason }) => reason === '')
    if (usable !== undefined) return { id: `cuda:${usable.index}`, library }
    if (asked === 'cuda') throw noDevice(asked, found.devices[0]?.reason ?? found.reason)
    if (found.count > 0 || !(found.opened || found.absent)) warnOnce(found)
    return CPU
  }
  const index = Number(asked.slice('cuda:'.length))
  const { devices: described, count, reason } = await cudaDevices(index, library)
  if (count === 0) throw noDevice(asked, reason)
  const device = described[0]
  if (device === undefined)
    throw noDevice(
      asked,
      count === 1 ? "the only CUDA device here is 'cuda:0'" : `the last one here is 'cuda:${count - 1}'`,
    )
  if (device.reason !== '') throw noDevice(asked, device.reason)
  return { id: asked, library }
}

/** What `dtype: 'auto'` means on a CUDA device. */
export async function fastDtype({ id, library }: ChosenDevice): Promise<Dtype> {
  const index = Number(id.slice('cuda:'.length))
  return new Promise((resolve, reject) => {
    native().fastDtype({ library, index }, (error, dtype) => {
      if (dtype === undefined) reject(toEmbedCoreError(error))
      else resolve(dtype)
    })
  })
}

function noDevice(asked: DeviceName, reason: string): EmbedCoreError {
  return new EmbedCoreError('ERR_EMBEDCORE_DEVICE', `The device ${asked} cannot be used: ${reason}`)
}

/** A GPU or a CUDA backend is there and `device: 'auto'` cannot use it. Once in a process, whatever thread loads. */
function warnOnce({ devices: described, reason }: RawDevices): void {
  if (!native().firstDeviceWarning()) return
  const first = described[0]
  const what = first === undefined ? reason : `cuda:${first.index} (${first.name}) cannot be used: ${first.reason}`
  process.emitWarning(`Models run on the CPU: ${what}. With device: 'cpu' there is no such warning`, {
    code: 'EMBEDCORE_DEVICE_UNUSABLE',
  })
}
