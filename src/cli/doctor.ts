/**
 * `embedcore doctor`: what works on this machine, and why the rest does not. The exit code is 0 exactly when a text was
 * encoded.
 */
import { existsSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { toEmbedCoreError } from '../core/errors.js'
import { hubSettings } from '../hub/environment.js'
import type { DeviceInfo } from '../core/devices.js'
import { booleanOf, parseArguments, type Arguments, type Flags } from './arguments.js'
import type { CliIO, Core } from './contract.js'
import { EXIT, UsageError, withCode } from './failures.js'
import { glibcVersion, packageVersionOf } from './machine.js'
import { StreamSink } from './output/sink.js'
import { withSession } from './session.js'
import { bytes, pairs } from './text.js'
import { packageVersion } from '../core/version.js'

export const DOCTOR_COMMAND_FLAGS = {
  json: { type: 'boolean', help: 'for machines: one JSON object' },
  help: { type: 'boolean', short: 'h', help: 'this help' },
} as const satisfies Flags

const LEAST_NODE = 20

/** A part that works, or the reason why it does not. */
type Finding<T = object> = ({ ok: true } & T) | { ok: false; reason: string }

interface Report {
  ok: boolean
  embedcore: string
  node: { version: string; ok: boolean }
  platform: string
  glibc: string | null
  cpu: { model: string; logical: number; available: number; cgroupLimit: number | null }
  memory: { total: number; limit: number | null }
  addon: Finding
  devices: readonly DeviceInfo[]
  tokenizers: Finding<{ version: string | null }>
  defaultModel: Finding<{ name: string; path: string; dimension: number; milliseconds: number }>
  /** Whether there is a token, never the token. */
  hub: Finding<{ endpoint: string; cacheDir: string; cacheDirExists: boolean; tokenPresent: boolean; offline: boolean }>
}

export async function doctorCommand(argv: readonly string[], io: CliIO): Promise<number> {
  const args = parseArguments('doctor', argv, DOCTOR_COMMAND_FLAGS)
  if (args.positionals.length > 0)
    throw new UsageError(`doctor takes no arguments, but ${JSON.stringify(args.positionals[0])} was given`, args.topic)
  const report = await examine(args, io)
  io.signal?.throwIfAborted()
  await new StreamSink(io.stdout).write(booleanOf(args, 'json') ? `${JSON.stringify(report)}\n` : describe(report))
  return report.ok ? EXIT.ok : EXIT.failed
}

async function finding<T>(work: () => Promise<T>): Promise<Finding<T>> {
  try {
    return { ok: true, ...(await work()) }
  } catch (error) {
    const { code, message } = toEmbedCoreError(error)
    return { ok: false, reason: code === 'ERR_EMBEDCORE_INTERNAL' ? message : withCode(message, code) }
  }
}

async function examine(args: Arguments, io: CliIO): Promise<Report> {
  let core: Core | null = null
  let devices: readonly DeviceInfo[] = []
  const addon = await finding(async () => {
    core = await io.core()
    devices = await core.devices()
    const cpu = devices.find(({ id }) => id === 'cpu')
    if (cpu?.usable !== true) throw new Error(cpu?.reason ?? 'no CPU backend is in the addon')
    return {}
  })
  const tokenizers = await finding(async () => {
    const version = packageVersionOf('tokenizers')
    await import('tokenizers')
    return { version }
  })
  const defaultModel = await finding(() =>
    withSession(args, io, { bar: false }, async ({ load, signal }) => {
      const begin = performance.now()
      const model = await load()
      const { info } = model
      const { data } = await model.encode(['embedcore doctor'], { signal })
      if (data.length !== info.dimension)
        throw new Error(`the model gave ${data.length} numbers for one text, not ${info.dimension}`)
      if (!data.every(Number.isFinite) || data.every((value) => value === 0))
        throw new Error('the model gave a vector that is not finite or is zero')
      return {
        name: info.name,
        path: info.path,
        dimension: info.dimension,
        milliseconds: Math.round(performance.now() - begin),
      }
    }),
  )
  const limit = process.constrainedMemory?.()
  return {
    ok: defaultModel.ok,
    embedcore: packageVersion(),
    node: { version: process.versions.node, ok: Number(process.versions.node.split('.')[0]) >= LEAST_NODE },
    platform: `${process.platform}-${process.arch}`,
    glibc: process.platform === 'linux' ? glibcVersion() : null,
    cpu: {
      model: cpus()[0]?.model.trim() ?? 'unknown',
      logical: cpus().length,
      available: availableParallelism(),
      cgroupLimit: cgroupLimit(devices),
    },
    memory: { total: totalmem(), limit: limit !== undefined && limit > 0 && limit < totalmem() ? limit : null },
    addon,
    devices,
    tokenizers,
    defaultModel,
    hub: await finding(hub),
  }
}

/** As the addon counts it, for its default number of threads; null = no limit, or no addon. */
function cgroupLimit(devices: readonly DeviceInfo[]): number | null {
  const quota = devices.find(({ id }) => id === 'cpu')?.detail['quota']
  return typeof quota === 'number' ? quota : null
}

async function hub() {
  const { endpoint, cacheDir, token, offline } = await hubSettings({})
  return { endpoint, cacheDir, cacheDirExists: existsSync(cacheDir), tokenPresent: token !== undefined, offline }
}

const state = (finding: Finding, ok: string) => (finding.ok ? ok : `NOT WORKING: ${finding.reason}`)

function describe(report: Report): string {
  const { cpu, memory, hub, defaultModel: model } = report
  const libc =
    report.glibc === null
      ? report.platform.startsWith('linux')
        ? ', C library other than glibc'
        : ''
      : `, glibc ${report.glibc}`
  const group = cpu.cgroupLimit === null ? 'no cgroup limit' : `cgroup limit ${Number(cpu.cgroupLimit.toFixed(2))}`
  const rows: (readonly [string, string])[] = [
    ['embedcore', report.embedcore],
    ['node', `${report.node.version}${report.node.ok ? '' : ` (too old: ${LEAST_NODE} or later is needed)`}`],
    ['platform', report.platform + libc],
    ['processor', `${cpu.model}\n${cpu.logical} logical, ${cpu.available} for this process, ${group}`],
    ['memory', bytes(memory.total) + (memory.limit === null ? '' : `, limited to ${bytes(memory.limit)}`)],
    ['addon', state(report.addon, 'loaded')],
    ...report.devices.map((device) => [`device ${device.id}`, deviceLines(device).join('\n')] as const),
    [
      'tokenizers',
      report.tokenizers.ok ? `${report.tokenizers.version ?? ''} loaded`.trim() : state(report.tokenizers, ''),
    ],
    [
      'default model',
      model.ok
        ? `${model.name}: one text encoded in ${model.dimension} dimensions, ` +
          `loading included ${model.milliseconds} ms\n${model.path}`
        : state(model, ''),
    ],
    [
      'hub',
      !hub.ok
        ? state(hub, '')
        : `${hub.endpoint}${hub.offline ? ', offline (HF_HUB_OFFLINE)' : ''}, ` +
          `${hub.tokenPresent ? 'token present' : 'no token'}\n` +
          `cache ${hub.cacheDir}${hub.cacheDirExists ? '' : ' (not there yet)'}`,
    ],
  ]
  const verdict = report.ok ? 'Encoding works here.' : 'Encoding does NOT work here; see "NOT WORKING" above.'
  return `${pairs(rows)}\n${verdict}\n`
}

function deviceLines({ name, backend, usable, reason, ...device }: DeviceInfo): string[] {
  const facts = [
    name,
    device.computeCapability === null ? '' : `compute capability ${device.computeCapability}`,
    device.computeCapability === null
      ? ''
      : `${bytes(device.memoryBytes)} of memory, ${bytes(device.freeBytes)} of them free`,
    device.driver === null ? '' : `driver ${device.driver}`,
  ].filter((fact) => fact !== '')
  return [
    ...(facts.length === 0 ? [] : [facts.join(', ')]),
    usable ? `usable, by ${backend}` : `cannot be used: ${reason ?? 'no reason is given'}`,
    ...details(device.detail),
  ]
}

/** More properties of a device, one per line. Lists are joined; a list of {name, reason} takes one line per entry. */
function details(detail: object): string[] {
  return Object.entries(detail).flatMap(([name, value]) => {
    if (value === null || value === undefined || (Array.isArray(value) && value.length === 0)) return []
    if (Array.isArray(value) && value.every((item) => typeof item === 'object' && item !== null)) {
      return value.map((item) => `${name}: ${Object.values(item as object).join(': ')}`)
    }
    if (Array.isArray(value)) return [`${name}: ${value.join(' ')}`]
    return [`${name}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`]
  })
}
