/** One source of cuda/ compiled for one architecture: how, and what the compiler's output says of its kernels. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ReportCache } from './cache.mjs'
import { occupancy } from './occupancy.mjs'

const HERE = dirname(fileURLToPath(import.meta.url))
export const ROOT = join(HERE, '../..')
export const CUDA = join(ROOT, 'cuda')
export const NATIVE = join(ROOT, 'native')

export class UsageError extends Error {}

/** Instructions that the machine code is searched for: what each shows. */
export const INSTRUCTIONS = ['HMMA', 'IMMA', 'HGMMA', 'LDGSTS', 'LDSM', 'UTMALDG']
export function capture(command, args, input) {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    input,
    maxBuffer: 1 << 28,
  })
  if (error?.code === 'ENOENT') return null
  if (error) throw error
  if (status !== 0) throw new UsageError(`${command} ${args.join(' ')} failed\n${stdout}${stderr}`.trimEnd())
  return stdout
}

/** What decides the machine code of a source, besides its architecture: the same as in a build of the library. */
export const CODE_FLAGS = ['-std=c++20', '-O3', '-DNDEBUG']
export const flagsFor = (arch) => [
  ...CODE_FLAGS,
  '-DEMBEDCORE_CUDA_REPORT',
  ...['-gencode', `arch=compute_${arch},code=sm_${arch}`],
]

/** What is known of sources that this nvcc has compiled. */
export function keptBy(nvcc, disassembler) {
  return new ReportCache(
    join(ROOT, 'build-cuda-cmake/report'),
    [CUDA, NATIVE],
    [
      capture(nvcc, ['--version']),
      disassembler === null ? '' : `${disassembler} ${capture(disassembler, ['--version'])}`,
      ...['compilation.mjs', 'occupancy.mjs'].map((name) => readFileSync(join(HERE, name), 'utf8')),
    ],
  )
}

/** Threads, least blocks and dynamic shared memory of each entry, from the PTX. */
function readPtx(ptx) {
  const entries = new Map()
  for (const part of ptx.split(/^(?=(?:\.visible |\.weak )?\.entry )/m).slice(1)) {
    const body = part.slice(part.indexOf('{'))
    const code = body.match(/^\s+(?:@%p\d+ )?[a-z][\w.]*[ ;]/gm) ?? []
    const shared = /\/\/ shared bytes (\d+)/.exec(body)
    entries.set(/\.entry (\w+)/.exec(part)[1], {
      threads: Number(/\.maxntid (\d+)/.exec(part)?.[1] ?? 0),
      sharedBytes: shared ? Number(shared[1]) : null,
      isEmpty: code.length <= 1, // the return
    })
  }
  return entries
}

/** What ptxas printed of each entry. */
function readPtxas(output) {
  const kernels = new Map()
  let current
  for (const line of output.split('\n')) {
    const entry = /Compiling entry function '(\w+)'/.exec(line)
    if (entry) kernels.set(entry[1], (current = { stackBytes: 0, spillBytes: 0, staticBytes: 0, registers: 0 }))
    const spills = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line)
    if (spills && current) {
      current.stackBytes = Number(spills[1])
      current.spillBytes = Math.max(Number(spills[2]), Number(spills[3]))
    }
    const used = /Used (\d+) registers/.exec(line)
    if (used && current) {
      current.registers = Number(used[1])
      current.staticBytes = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0)
    }
  }
  return kernels
}

/** "NormKernel<4, 8>" of a mangled kernel_entry<NormKernel<4, 8>>. */
function shortNames(mangled) {
  const demangled = capture('c++filt', [], mangled.join('\n'))
  const names = demangled === null ? mangled : demangled.trimEnd().split('\n')
  return names.map((name) => {
    const plain = name.replaceAll('embedcore::cuda::', '').replaceAll('(anonymous namespace)::', '')
    const entry = /^void kernel_entry<(.*)>\((?:.*)::Args\)$/.exec(plain)
    return (entry ? entry[1] : plain).trim()
  })
}

export function findDisassembler() {
  for (const tool of [process.env.CUDA_DISASSEMBLER, 'cuobjdump', 'nvdisasm'].filter(Boolean)) {
    const { error } = spawnSync(tool, ['--version'], { stdio: 'ignore' })
    if (!error) return tool
    if (tool === process.env.CUDA_DISASSEMBLER) throw new UsageError(`CUDA_DISASSEMBLER=${tool} cannot be run`)
  }
  return null
}

/** The number of each of INSTRUCTIONS in each entry. */
function countInstructions(tool, cubin) {
  const isObjdump = /cuobjdump/.test(tool)
  const text = capture(tool, isObjdump ? ['-sass', cubin] : ['-c', cubin])
  const counts = new Map()
  const parts = isObjdump ? text.split(/^\s*Function : /m) : text.split(/^\s*\.section\s+\.text\./m)
  for (const part of parts.slice(1)) {
    const count = Object.fromEntries(INSTRUCTIONS.map((name) => [name, 0]))
    for (const [, name] of part.matchAll(/^\s+\/\*[0-9a-f]{4,}\*\/\s+(?:@!?U?P\w+ )?([A-Z0-9]+)/gm))
      if (name in count) ++count[name]
    counts.set(/^\w+/.exec(part)[0], count)
  }
  return counts
}

/** The rows of the table of one source on one architecture, and where ptxas has serialised wgmma. */
export function resultOf({ file, arch, cubin, output, ptx }, disassembler) {
  const entries = readPtx(ptx)
  const ptxas = readPtxas(output)
  const counts = disassembler && ptxas.size > 0 ? countInstructions(disassembler, cubin) : new Map()
  const names = shortNames([...ptxas.keys()])
  const rows = [...ptxas].map(([mangled, kernel], i) => {
    const entry = entries.get(mangled) ?? { threads: 0, sharedBytes: null, isEmpty: false }
    const sharedBytes = (entry.sharedBytes ?? 0) + kernel.staticBytes
    if (disassembler && !counts.has(mangled))
      throw new Error(`${disassembler} shows no machine code of ${names[i]} for sm_${arch}`)
    return {
      file,
      arch,
      kernel: names[i],
      ...kernel,
      threads: entry.threads,
      sharedBytes: entry.sharedBytes === null && kernel.staticBytes === 0 ? null : sharedBytes,
      occupancy: occupancy(arch, { threads: entry.threads, registers: kernel.registers, sharedBytes }),
      instructions: counts.get(mangled) ?? null,
      isEmpty: entry.isEmpty,
    }
  })
  const serialised = output.split('\n').filter((line) => line.includes('C7511'))
  return {
    rows: rows.filter((row) => !row.isEmpty).sort((a, b) => a.kernel.localeCompare(b.kernel, 'en', { numeric: true })),
    serialised: serialised.map((line) => `cuda/${file}.cu on sm_${arch}: ${line.trim()}`),
  }
}
