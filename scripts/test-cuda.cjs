// The CUDA backend without a GPU: builds it with its emulator (cuda/emulator/README.md) and runs the C++ tests of the
// emulator, of the backend's host side, and of every operation, with every access to memory looked at: npm run
// test:cuda, which then runs vitest.cuda.config.ts on the library that this leaves in build-cmake.
'use strict'
const { spawn, spawnSync } = require('node:child_process')
const { availableParallelism } = require('node:os')
const { join } = require('node:path')

const root = join(__dirname, '..')
const directory = join(root, 'build-cmake') // of the addon: nothing is compiled twice
const tests = join(root, 'build-tests')

function stop(sentence) {
  console.error(`test-cuda: ${sentence}`)
  process.exit(1)
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  if (error?.code === 'ENOENT')
    stop(`"${command}" was not found.\n  Debian/Ubuntu: apt-get install -y g++ cmake ninja-build libgtest-dev`)
  if (error) stop(`${command}: ${error.message}`)
  if (status !== 0) stop(`${command} ${args.slice(0, 2).join(' ')} failed`)
}

function build() {
  const options = ['TESTS=ON', 'EMULATOR=ON'].map((option) => `-DEMBEDCORE_${option}`)
  options.push(`-DCMAKE_RUNTIME_OUTPUT_DIRECTORY=${tests}`)
  run('cmake', ['-S', root, '-B', directory, '-G', 'Ninja', ...options])
  const programs = ['embedcore_native_tests', 'embedcore_emulator_tests', 'embedcore_emulator_tests_checked']
  const libraries = ['embedcore_cuda_emulated', 'embedcore_cuda_emulated_checked']
  run('cmake', ['--build', directory, '--target', ...programs, 'embedcore_cuda_host_tests_checked', ...libraries])
}

const LINEAR = ['LinearTest.*', 'OrderTest.Linear']
const INT8 = ['LinearInt8Test.*', 'LinearSmoothingTest.*']
const ATTENTION = ['AttentionTest.*', 'OrderTest.Attention']

/**
 * Cards besides the usual one, sm_80, and the operations whose kernels are others there: mma.sync of sm_75, wgmma of
 * sm_90a, and an H100 with a library that has no code for it.
 */
const CARDS = [
  { tests: [...LINEAR, ...INT8, ...ATTENTION], cost: '1e5', env: { EMBEDCORE_EMULATED_ARCH: '75' } },
  { tests: LINEAR, cost: '1e5', env: { EMBEDCORE_EMULATED_ARCH: '90' } },
  { tests: LINEAR, cost: '2e4', env: { EMBEDCORE_EMULATED_ARCH: '90', EMBEDCORE_EMULATED_CODE: '75,80,ptx80' } },
]
const EMULATED = 'cuda_emulated'

/**
 * Programs and what each has besides its name. The operations of the usual card are cut into as many shares as there
 * are cores.
 */
function jobs() {
  const cores = availableParallelism()
  const operations = (filter, cost, env) => ({
    program: join(tests, 'embedcore_native_tests'),
    args: [`--gtest_filter=${filter}`],
    env: {
      EMBEDCORE_TEST_BACKEND: join(directory, 'libembedcore_cuda_emulated_checked.so'),
      EMBEDCORE_TEST_MOST_COST: process.env.EMBEDCORE_TEST_MOST_COST ?? cost,
      ...env,
    },
  })
  // Larger cases take minutes each.
  const usual = Array.from({ length: cores }, (_, share) =>
    operations(`*/${EMULATED}`, '1e6', { GTEST_TOTAL_SHARDS: String(cores), GTEST_SHARD_INDEX: String(share) }),
  )
  const byCard = CARDS.map(({ tests: names, cost, env }) =>
    operations(names.map((name) => `*/${name}/${EMULATED}`).join(':'), cost, env),
  )
  const others = ['embedcore_emulator_tests', 'embedcore_emulator_tests_checked', 'embedcore_cuda_host_tests_checked']
  return [...usual, ...byCard, ...others.map((name) => ({ program: join(directory, name), args: [], env: {} }))]
}

/** Only failures and the summary are printed. A job without a test is an error. */
function test({ program, args, env }) {
  return new Promise((resolve) => {
    const options = { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] }
    const child = spawn(program, ['--gtest_brief=1', ...args], options)
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (part) => (output += part))
    child.on('error', (error) => stop(`${program}: ${error.message}`))
    child.on('close', (status, signal) => {
      process.stdout.write(output)
      if (signal) console.error(`test-cuda: ${program} ended by signal ${signal}`)
      if (status !== 0) process.exitCode = 1
      else if (!/\[ {2}PASSED {2}\] [1-9]\d* tests?\./.test(output)) stop(`${program}: no test has passed`)
      resolve()
    })
  })
}

async function main() {
  if (process.platform !== 'linux') {
    console.log('test-cuda: the emulator of the CUDA backend runs on Linux only; no test of it is run')
    return
  }
  build()
  const waiting = jobs()
  const worker = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await test(job)
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
}

void main()
