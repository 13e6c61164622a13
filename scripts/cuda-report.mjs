/**
 * `npm run cuda:report`: compiles the kernels of cuda/ for each architecture and prints what ptxas says of them,
 * without a GPU. Fails where a kernel exceeds cuda/budget.json, spills although it is named there, where ptxas
 * serialises wgmma, and where machine code lacks an instruction that the budget asks for. What this or `npm run
 * build:cuda` has compiled before is not compiled again. docs/gpu.md explains the table.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  capture,
  CUDA,
  findDisassembler,
  flagsFor,
  INSTRUCTIONS,
  keptBy,
  NATIVE,
  ROOT,
  resultOf,
  UsageError,
} from './cuda-report/compilation.mjs'

const HELP = `npm run cuda:report -- [options]
  --arch 80,90a      architectures (default those of cuda/CMakeLists.txt that this nvcc knows)
  --files norm,pool  sources of cuda/, without .cu (default all)
  --json             the figures as JSON
  --jobs N           compilations at a time (default 2)
  --budget FILE      (default cuda/budget.json)
  NVCC names the compiler; CUDA_DISASSEMBLER names cuobjdump or nvdisasm where neither is on the PATH.`

/** Architectures that have an instruction. */
const HAS_INSTRUCTION = {
  HMMA: () => true,
  IMMA: () => true,
  LDSM: () => true,
  LDGSTS: (arch) => parseInt(arch, 10) >= 80,
  HGMMA: (arch) => arch === '90a',
  UTMALDG: (arch) => arch === '90a',
}

function options() {
  let values
  try {
    values = parseArgs({
      options: {
        arch: { type: 'string' },
        files: { type: 'string' },
        json: { type: 'boolean', default: false },
        jobs: { type: 'string', default: '2' },
        budget: { type: 'string', default: join(CUDA, 'budget.json') },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    throw new UsageError(`${error.message}\n${HELP}`)
  }
  const jobs = Number(values.jobs)
  if (!Number.isInteger(jobs) || jobs < 1)
    throw new UsageError(`Expected --jobs of 1 or more but received ${values.jobs}`)
  const list = (text) => text?.split(',').filter(Boolean)
  return { ...values, jobs, arch: list(values.arch), files: list(values.files) }
}

/** The architectures asked for, in machine code that this nvcc makes. */
function architectures(nvcc, asked) {
  const listed = capture(nvcc, ['--list-gpu-code'])
  if (listed === null)
    throw new UsageError(`"${nvcc}" was not found. Install the CUDA toolkit, or set NVCC to the compiler`)
  const known = new Set(listed.split(/\s+/).map((code) => code.replace(/^sm_/, '')))
  const isKnown = (arch) => known.has(arch) || known.has(arch.replace(/[a-z]$/, ''))
  if (asked) {
    const unknown = asked.find((arch) => !/^\d+[af]?$/.test(arch) || !isKnown(arch))
    if (unknown) throw new UsageError(`This nvcc makes no code for sm_${unknown}`)
    return asked
  }
  const all = /EMBEDCORE_CUDA_ARCHS "([^"]+)"/.exec(readFileSync(join(CUDA, 'CMakeLists.txt'), 'utf8'))
  if (!all) throw new UsageError('cuda/CMakeLists.txt names no EMBEDCORE_CUDA_ARCHS')
  return all[1].split(';').filter(isKnown)
}

function sources(asked) {
  const all = readdirSync(CUDA)
    .filter((file) => file.endsWith('.cu'))
    .map((file) => file.slice(0, -3))
  const missing = asked?.find((file) => !all.includes(file))
  if (missing) throw new UsageError(`cuda/ has no ${missing}.cu; it has ${all.join(', ')}`)
  return asked ?? all
}

/** Runs `work` on each item, `width` at a time; results are in the items' order. */
async function inParallel(items, width, work) {
  const results = []
  let next = 0
  const worker = async () => {
    while (next < items.length) {
      const mine = next++
      results[mine] = await work(items[mine])
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  return results
}

function compile(nvcc, file, arch, folder) {
  mkdirSync(folder)
  const cubin = join(folder, `${file}.cubin`)
  const args = [...flagsFor(arch), '-Xptxas', '-v', `-I${CUDA}`, `-I${NATIVE}`, '--keep', '--keep-dir', folder]
  args.push('-cubin', '-o', cubin, join(CUDA, `${file}.cu`))
  return new Promise((resolve, reject) => {
    const child = spawn(nvcc, args, { cwd: ROOT })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data))
    child.on('error', reject)
    child.on('close', (status) => {
      if (status !== 0) return reject(new UsageError(`cuda/${file}.cu does not compile for sm_${arch}\n${output}`))
      const ptx = readdirSync(folder).find((name) => name.endsWith('.ptx'))
      resolve({ file, arch, cubin, output, ptx: readFileSync(join(folder, ptx), 'utf8') })
    })
  })
}

/** Whether a name of the budget means this kernel: exactly, or as all instances whose name begins with it. */
const means = (name, kernel) => {
  if (kernel === name || kernel.startsWith(`${name}<`)) return true
  return name.includes('<') && kernel.startsWith(`${name},`)
}

/** A limit of the budget on one architecture: a number, or an object of numbers with a default. */
const limitOn = (arch, limit) => (typeof limit === 'number' ? limit : (limit?.[arch] ?? limit?.default))

function readBudget(file) {
  if (!existsSync(file)) throw new UsageError(`The budget ${file} does not exist`)
  const budget = JSON.parse(readFileSync(file, 'utf8'))
  for (const [name, limits] of Object.entries(budget)) {
    const { registers, spills = (limits.spills = 0), instructions = (limits.instructions = []) } = limits
    for (const [key, limit] of Object.entries({ registers, spills }))
      if (typeof limitOn('', limit) !== 'number')
        throw new UsageError(`${file}: ${name} needs "${key}", a number or an object with a "default"`)
    const unknown = instructions.find((instruction) => !INSTRUCTIONS.includes(instruction))
    if (unknown) throw new UsageError(`${file}: ${name} asks for ${unknown}; known are ${INSTRUCTIONS.join(', ')}`)
  }
  return budget
}

function judge(rows, budget, everyFile) {
  const failures = []
  for (const [name, limit] of Object.entries(budget)) {
    const found = rows.filter((row) => means(name, row.kernel))
    if (found.length === 0 && everyFile) failures.push(`${name} of the budget is no kernel`)
    for (const row of found) {
      const where = `${row.kernel} on sm_${row.arch}`
      const most = limitOn(row.arch, limit.registers)
      if (row.registers > most) failures.push(`${where}: ${row.registers} registers, at most ${most}`)
      const spills = limitOn(row.arch, limit.spills)
      if (row.spillBytes > spills) failures.push(`${where}: spills ${row.spillBytes} bytes, at most ${spills}`)
      for (const each of row.instructions ? limit.instructions : [])
        if (HAS_INSTRUCTION[each](row.arch) && row.instructions[each] === 0) failures.push(`${where}: has no ${each}`)
    }
  }
  return failures
}

function printTable(rows, disassembler) {
  const columns = ['kernel', 'sm', 'registers', 'threads', 'shared', 'stack', 'spills', 'blocks', 'warps', 'limit']
  if (disassembler) columns.push('instructions')
  const cells = rows.map((row) => [
    row.kernel,
    row.arch,
    row.registers,
    row.threads || '?',
    row.sharedBytes ?? '-',
    row.stackBytes,
    row.spillBytes,
    row.occupancy?.blocks ?? '?',
    row.occupancy ? `${row.occupancy.warps}/${row.occupancy.ofWarps}` : '?',
    row.occupancy?.limit ?? '?',
    ...(row.instructions
      ? [
          Object.entries(row.instructions)
            .filter(([, n]) => n > 0)
            .map(([name, n]) => `${name} ${n}`)
            .join(', '),
        ]
      : []),
  ])
  const table = [columns, ...cells].map((line) => line.map(String))
  const widths = columns.map((_, i) => Math.max(...table.map((line) => (line[i] ?? '').length)))
  for (const line of table) {
    const isText = (i) => i === 0 || i >= 9
    console.log(
      line
        .map((cell, i) => (isText(i) ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
        .join('  ')
        .trimEnd(),
    )
  }
}

async function main() {
  const asked = options()
  if (asked.help) return console.log(HELP)
  const nvcc = process.env.NVCC ?? 'nvcc'
  const archs = architectures(nvcc, asked.arch)
  const files = sources(asked.files)
  const budget = readBudget(asked.budget)
  const disassembler = findDisassembler()
  const folder = mkdtempSync(join(tmpdir(), 'embedcore-cuda-report-'))
  const cache = keptBy(nvcc, disassembler)
  try {
    const jobs = archs.flatMap((arch) => files.map((file) => ({ file, arch })))
    const parts = await inParallel(jobs, asked.jobs, ({ file, arch }) =>
      cache.get(`${file}-${arch}`, join(CUDA, `${file}.cu`), flagsFor(arch), async () => {
        const compiled = await compile(nvcc, file, arch, join(folder, `${file}-${arch}`))
        const result = resultOf(compiled, disassembler)
        rmSync(join(folder, `${file}-${arch}`), { recursive: true })
        return result
      }),
    )
    const failures = parts.flatMap(({ serialised }) => serialised)
    const rows = parts.flatMap(({ rows }) => rows)
    failures.push(...judge(rows, budget, !asked.files && !asked.arch))
    if (asked.json) console.log(JSON.stringify({ disassembler: disassembler !== null, rows, failures }, null, 2))
    else printTable(rows, disassembler)
    if (!disassembler)
      console.error('Machine code was not searched: no cuobjdump or nvdisasm on the PATH or in CUDA_DISASSEMBLER.')
    for (const failure of failures) console.error(`cuda-report: ${failure}`)
    if (failures.length > 0) process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

main().catch((error) => {
  if (!(error instanceof UsageError)) throw error
  console.error(`cuda-report: ${error.message}`)
  process.exit(2)
})
