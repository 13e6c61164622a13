// Builds the C++ tests and runs them: npm run test:native [-- --gtest_filter=Json.*]
// They are built beside the addon, from the same objects. Without arguments they run in one process per core, as many
// tests each.
'use strict'
const { spawn, spawnSync } = require('node:child_process')
const { availableParallelism } = require('node:os')
const { join } = require('node:path')

const root = join(__dirname, '..')
const directory = join(root, 'build-cmake')
const binary = join(root, 'build-tests', 'embedcore_native_tests')

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

function build() {
  const output = `-DCMAKE_RUNTIME_OUTPUT_DIRECTORY=${join(root, 'build-tests')}`
  const configured = run('cmake', ['-S', root, '-B', directory, '-G', 'Ninja', '-DEMBEDCORE_TESTS=ON', output], true)
  if (configured.status !== 0) {
    const output = configured.stdout + configured.stderr
    if (/GTest/.test(output)) stop('googletest was not found.\n  Debian/Ubuntu: apt-get install -y libgtest-dev')
    stop(`cmake failed:\n${output}`)
  }
  const built = run('cmake', ['--build', directory, '--target', 'embedcore_native_tests', '--', '--quiet'])
  if (built.status !== 0) stop('the build failed')
}

/** Runs one share of the tests. Only failures and the summary are printed. Resolves to the number of passed tests. */
function test(args, share, shares) {
  return new Promise((resolve) => {
    const env = { ...process.env, GTEST_TOTAL_SHARDS: String(shares), GTEST_SHARD_INDEX: String(share) }
    const child = spawn(binary, ['--gtest_brief=1', ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (part) => (output += part))
    child.on('error', (error) => stop(`${binary}: ${error.message}`))
    child.on('close', (status, signal) => {
      process.stdout.write(output)
      if (signal) console.error(`test-native: the tests ended by signal ${signal}`)
      if (status !== 0) process.exitCode = 1
      resolve(Number(/\[ {2}PASSED {2}\] (\d+) tests?\./.exec(output)?.[1] ?? 0))
    })
  })
}

async function main() {
  build()
  const args = process.argv.slice(2)
  const shares = args.length === 0 ? availableParallelism() : 1
  const passed = await Promise.all(Array.from({ length: shares }, (_, share) => test(args, share, shares)))
  // A filter that selects no test is an error.
  if (passed.every((count) => count === 0)) stop('no test has passed')
}

void main()
