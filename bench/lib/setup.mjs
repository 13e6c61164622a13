/** The bench's own dependencies: the peers from npm, and the Python packages that write their files. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BENCH, CACHE } from './paths.mjs'

export const INSTALL_ADVICE = 'npm run bench:install installs them'

/** Whether the npm packages of the peers are installed, in the versions of the lock file. */
export function peersInstalled() {
  const installed = join(BENCH, 'node_modules', '.package-lock.json')
  const lock = join(BENCH, 'package-lock.json')
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs - 1000
}

export function installPeers() {
  // The install scripts of both would download GPU parts; the CPU binaries are in the packages.
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip', NODE_LLAMA_CPP_SKIP_DOWNLOAD: 'true' }
  const { status, error } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: BENCH, env, stdio: 'inherit' })
  if (status !== 0)
    throw new Error(
      `npm ci in bench/ failed (${error?.message ?? `exit code ${status}`}): ` +
        'npm run bench leaves out the peers and measures embedcore alone',
    )
}

function run(command, args) {
  const { status, error, stderr } = spawnSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] })
  if (error) throw new Error(`${command} could not be started (${error.code ?? error.message})`)
  if (status !== 0) throw new Error(`${command} ${args.slice(0, 3).join(' ')}: ${stderr.trim().split('\n').at(-1)}`)
}

/**
 * The Python that has the packages of requirements.txt: the one EMBEDCORE_BENCH_PYTHON names, else a virtual
 * environment under .cache/, created here if it is missing or older than its requirements. If there is neither, throws
 * an error with the reason.
 */
export function preparePython(say) {
  if (process.env.EMBEDCORE_BENCH_PYTHON) return process.env.EMBEDCORE_BENCH_PYTHON
  const folder = join(CACHE, 'venv')
  const python = process.platform === 'win32' ? join(folder, 'Scripts', 'python.exe') : join(folder, 'bin', 'python')
  const requirements = join(BENCH, 'requirements.txt')
  const wanted = readFileSync(requirements, 'utf8')
  const stamp = join(folder, 'requirements.txt')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return python
  say(`bench: making a Python environment in ${folder} (pip install -r bench/requirements.txt, once)`)
  mkdirSync(CACHE, { recursive: true })
  run('python3', ['-m', 'venv', folder])
  run(python, ['-m', 'pip', 'install', '--quiet', '--retries', '1', '-r', requirements])
  writeFileSync(stamp, wanted)
  return python
}
