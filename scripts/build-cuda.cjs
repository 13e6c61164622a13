// Builds the CUDA backend with CMake and Ninja and puts it at build/Release/libembedcore_cuda.so, beside the addon,
// where the addon looks for it: npm run build:cuda. Needs the CUDA toolkit (nvcc), and no GPU.
//
// EMBEDCORE_CUDA_ARCHS names the architectures, e.g. 90 or 80,90; without it, all that the backend is written for.
'use strict'
const { spawnSync } = require('node:child_process')
const { copyFileSync, existsSync, mkdirSync, renameSync } = require('node:fs')
const { delimiter, dirname, join } = require('node:path')

const root = join(__dirname, '..')
const directory = join(root, 'build-cuda-cmake')
const library = 'libembedcore_cuda.so'

function stop(sentence) {
  console.error(`build-cuda: ${sentence}`)
  process.exit(1)
}

/** The path of nvcc: CUDACXX, then CUDA_PATH or CUDA_HOME, then PATH, then where NVIDIA's packages put it. */
function findNvcc() {
  const { CUDACXX, CUDA_PATH, CUDA_HOME, PATH = '' } = process.env
  if (CUDACXX) return existsSync(CUDACXX) ? CUDACXX : stop(`CUDACXX names ${CUDACXX}, which does not exist`)
  const toolkits = [CUDA_PATH, CUDA_HOME].filter(Boolean).map((path) => join(path, 'bin'))
  const folders = [...toolkits, ...PATH.split(delimiter).filter(Boolean), '/usr/local/cuda/bin']
  return folders.map((folder) => join(folder, 'nvcc')).find((path) => existsSync(path))
}

/** The architectures in CMake's form; undefined = those of the backend. */
function architectures() {
  const given = process.env.EMBEDCORE_CUDA_ARCHS
  if (!given) return undefined
  const list = given.split(/[,; ]+/).filter(Boolean)
  const wrong = list.find((one) => !/^\d{2,3}[af]?$/.test(one))
  if (list.length === 0 || wrong !== undefined)
    stop(
      'EMBEDCORE_CUDA_ARCHS is a list of compute capabilities without the dot, such as 80,90, ' +
        `but has "${wrong ?? given}"`,
    )
  return list.join(';')
}

function run(command, args, env) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env })
  if (error?.code === 'ENOENT')
    stop(`"${command}" was not found.\n  Debian/Ubuntu: apt-get install -y g++ cmake ninja-build`)
  if (error) stop(`${command}: ${error.message}`)
  if (status !== 0) stop(`${command} failed`)
}

const nvcc = findNvcc()
if (nvcc === undefined)
  stop(
    'nvcc was not found. The CUDA backend is compiled with the CUDA toolkit, 12.8 or later:\n' +
      '  Debian/Ubuntu: apt-get install -y cuda-toolkit-13-0 (https://developer.nvidia.com/cuda-downloads)\n' +
      '  A toolkit in another place: CUDA_PATH=/path/to/cuda npm run build:cuda\n' +
      '  Models run on the CPU without it.',
  )
const archs = architectures()
const options = ['-DEMBEDCORE_CUDA=ON', '-DEMBEDCORE_ADDON=OFF', `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${directory}`]
// Taken back where none is given, because CMake keeps the list of the last build.
options.push(archs === undefined ? '-UEMBEDCORE_CUDA_ARCHS' : `-DEMBEDCORE_CUDA_ARCHS=${archs}`)
// In a clone, keeps what the compiler says of the kernels for npm run cuda:report.
const keeper = join(root, 'scripts', 'cuda-report', 'compile.mjs')
if (existsSync(keeper)) options.push(`-DCMAKE_CUDA_COMPILER_LAUNCHER=${process.execPath};${keeper}`)
const env = { ...process.env, CUDACXX: nvcc, PATH: `${dirname(nvcc)}${delimiter}${process.env.PATH ?? ''}` }
run('cmake', ['-S', root, '-B', directory, '-G', 'Ninja', ...options], env)
run('cmake', ['--build', directory, '--target', 'embedcore_cuda'], env)

const built = join(directory, library)
if (!existsSync(built)) stop(`the build made no ${built}`)
const target = join(root, 'build', 'Release')
mkdirSync(target, { recursive: true })
// Renamed, so that a process that has the old library mapped keeps its file.
copyFileSync(built, join(target, `${library}.new`))
renameSync(join(target, `${library}.new`), join(target, library))
console.log(`build-cuda: ${join('build', 'Release', library)}`)
