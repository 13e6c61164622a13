/**
 * Stands before nvcc in a build of the library: compiles a source of cuda/ as it is told, and keeps for `npm run
 * cuda:report` what ptxas says of its kernels, so that the report does not compile them again.
 *
 *   node compile.mjs nvcc ... -c norm.cu -o norm.cu.o
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { CODE_FLAGS, CUDA, findDisassembler, flagsFor, keptBy, resultOf } from './compilation.mjs'

const [nvcc, ...args] = process.argv.slice(2)
const source = args.map((word) => resolve(word)).find((path) => path.endsWith('.cu') && dirname(path) === CUDA)
const archs = args.flatMap((word) => /^-gencode=arch=compute_\w+,code=sm_(\w+)$/.exec(word)?.[1] ?? [])
// A build with other flags makes other code.
const isReported = source && args.includes('-c') && CODE_FLAGS.every((flag) => args.includes(flag))

function run(more, stdio) {
  const { status, error, stderr } = spawnSync(nvcc, [...args, ...more], { stdio, encoding: 'utf8', maxBuffer: 1 << 28 })
  if (error) throw error
  return { status: status ?? 1, stderr: stderr ?? '' }
}

/** What ptxas says of one architecture, whose name is in the line that begins a kernel. */
function partOf(output, arch) {
  let mine = false
  const lines = output.split('\n').filter((line) => {
    const of = /Compiling entry function '\w+' for 'sm_(\w+)'/.exec(line)?.[1]
    if (of !== undefined) mine = of === arch
    return mine || (arch === '90a' && line.includes('C7511')) // wgmma is there alone
  })
  return lines.join('\n')
}

function report() {
  const object = resolve(args[args.indexOf('-o') + 1])
  const folder = `${object}.kept`
  mkdirSync(folder, { recursive: true })
  const { status, stderr } = run(
    ['-DEMBEDCORE_CUDA_REPORT', '-Xptxas=-v', '--keep', '--keep-dir', folder],
    ['inherit', 'inherit', 'pipe'],
  )
  const isFigure = (line) => /^ptxas info|^ +\d+ bytes stack frame/.test(line) && !line.includes('C7511')
  process.stderr.write(
    stderr
      .split(/(?<=\n)/)
      .filter((line) => !isFigure(line))
      .join(''),
  )
  if (status === 0) {
    const disassembler = findDisassembler()
    const cache = keptBy(nvcc, disassembler)
    const file = basename(source, '.cu')
    for (const arch of archs) {
      const named = (end) =>
        readdirSync(folder).find((name) => name.startsWith(`${file}.compute_${arch}.`) && end.test(name))
      const compiled = {
        ...{ file, arch, output: partOf(stderr, arch) },
        ...{ cubin: join(folder, named(/\.cubin$/)), ptx: readFileSync(join(folder, named(/\.ptx$/)), 'utf8') },
      }
      cache.set(`${file}-${arch}`, source, flagsFor(arch), resultOf(compiled, disassembler))
    }
  }
  rmSync(folder, { recursive: true })
  return status
}

process.exit(isReported ? report() : run([], 'inherit').status)
