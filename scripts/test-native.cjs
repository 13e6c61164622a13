// Builds the C++ tests in build-tests and runs them: npm run test:native [-- --gtest_filter=Json.*]
//
// With a filter only the tests of native/ are built and run. Without one, on Linux, the CUDA backend in its emulator is
// built and tested too: the emulator, the backend's host side, and every operation with every access to memory looked
// at. The plain library, for vitest.cuda.config.ts, is left in build-tests.
'use strict'
const { spawnSync } = require('node:child_process')
const { join } = require('node:path')

const root = join(__dirname, '..')
const directory = join(root, 'build-tests')
const given = process.argv.slice(2)
// The emulator changes stacks by hand and catches faults by signals as Linux has them.
const emulates = given.length === 0 && process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch)

function stop(sentence) {
  console.error(`test-native: ${sentence}`)
  process.exit(1)
}

function run(command, args, { quiet = false, env = process.env } = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: quiet ? 'pipe' : 'inherit', encoding: 'utf8', env })
  if (result.error?.code === 'ENOENT')
    stop(`"${command}" was not found.\n  Debian/Ubuntu: apt-get install -y g++ cmake ninja-build libgtest-dev`)
  if (result.error) stop(`${command}: ${result.error.message}`)
  return result
}

/** Only failures and the summary are printed; a filter that selects no test is an error. */
function test(program, args, env) {
  const tested = run(join(directory, program), ['--gtest_brief=1', ...args], { quiet: true, env })
  process.stdout.write(tested.stdout)
  process.stderr.write(tested.stderr)
  if (tested.signal) stop(`${program} ended by signal ${tested.signal}`)
  if (tested.status !== 0) process.exit(tested.status)
  if (!/\[ {2}PASSED {2}\] [1-9]\d* tests?\./.test(tested.stdout)) stop(`${program}: no test was run`)
}

const options = ['-DEMBEDCORE_TESTS=ON', '-DEMBEDCORE_ADDON=OFF', `-DEMBEDCORE_EMULATOR=${emulates ? 'ON' : 'OFF'}`]
const configured = run('cmake', ['-S', root, '-B', directory, '-G', 'Ninja', ...options], { quiet: true })
if (configured.status !== 0) {
  const output = configured.stdout + configured.stderr
  if (/GTest/.test(output)) stop('googletest was not found.\n  Debian/Ubuntu: apt-get install -y libgtest-dev')
  stop(`cmake failed:\n${output}`)
}
const checked = ['embedcore_emulator_tests_checked', 'embedcore_cuda_host_tests_checked']
const plugins = ['embedcore_cuda_emulated', 'embedcore_cuda_emulated_checked']
const targets = ['embedcore_native_tests', ...(emulates ? ['embedcore_emulator_tests', ...checked, ...plugins] : [])]
const built = run('cmake', ['--build', directory, '--target', ...targets, '--', '--quiet'])
if (built.status !== 0) stop('the build failed')

if (emulates) {
  for (const program of ['embedcore_emulator_tests', ...checked]) test(program, [])
  const library = join(directory, 'libembedcore_cuda_emulated_checked.so')
  test('embedcore_native_tests', given, { EMBEDCORE_TEST_BACKEND: library, ...process.env })
} else {
  test('embedcore_native_tests', given)
}
