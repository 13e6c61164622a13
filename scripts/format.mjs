// One style for all sources: prettier for TypeScript and JavaScript, clang-format for C++. `--check` changes nothing
// and fails on a difference.
import { spawnSync } from 'node:child_process'

const check = process.argv.includes('--check')
const listed = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
const files = listed.stdout.split('\n').filter(Boolean)
const cpp = files.filter((file) => /^(native|test|bench|cuda)\/.*\.(cc|h|cu|cuh)$/.test(file))

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' })
  if (error?.code === 'ENOENT') {
    console.error(`format: "${command}" was not found.\n  Debian/Ubuntu: apt-get install -y clang-format`)
    return false
  }
  return status === 0
}

const results = [
  run('npx', ['prettier', check ? '--check' : '--write', '--log-level', 'warn', '.']),
  run('clang-format', [...(check ? ['--dry-run', '-Werror'] : ['-i']), ...cpp]),
]
if (results.includes(false)) process.exit(1)
console.log(`format: ${check ? 'one style everywhere' : 'done'}`)
