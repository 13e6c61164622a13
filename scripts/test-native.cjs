// Builds the C++ tests in build-tests and runs them: npm run test:native [-- --gtest_filter=Json.*]
'use strict'
const { spawnSync } = require('node:child_process')
const { join } = require('node:path')

const root = join(__dirname, '..')
const directory = join(root, 'build-tests')

function stop(sentence) {
  console.error(`test-native: ${sentence}`)
  process.exit(1)
}

function run(command, args, quiet = false) {
  const result = spawnSync(command, args, { cwd: root, stdio: quiet ? 'pipe' : 'inherit', encoding: 'utf8' })
  if (result.error?.code === 'ENOENT')
    stop(`"${command}" was not found.\n  Debian/Ubuntu: apt-get install -y g++ cmake ninja-build libgtest-dev`)
  if (result.error) stop(`${command}: ${result.error.message}`)
  return result
}

const configured = run(
  'cmake',
  ['-S', root, '-B', directory, '-G', 'Ninja', '-DEMBEDCORE_TESTS=ON', '-DEMBEDCORE_ADDON=OFF'],
  true,
)
if (configured.status !== 0) {
  const output = configured.stdout + configured.stderr
  if (/GTest/.test(output)) stop('googletest was not found.\n  Debian/Ubuntu: apt-get install -y libgtest-dev')
  stop(`cmake failed:\n${output}`)
}
const built = run('cmake', ['--build', directory, '--', '--quiet'])
if (built.status !== 0) stop('the build failed')

// Only failures and the summary are printed; a filter that selects no test is an error.
const tested = run(join(directory, 'embedcore_native_tests'), ['--gtest_brief=1', ...process.argv.slice(2)], true)
process.stdout.write(tested.stdout)
process.stderr.write(tested.stderr)
if (tested.signal) stop(`the tests ended by signal ${tested.signal}`)
if (tested.status !== 0) process.exit(tested.status)
if (!/\[ {2}PASSED {2}\] [1-9]\d* tests?\./.test(tested.stdout)) stop('no test was run')
