/** Installs the bench's own dependencies (the peers) when they are missing, and says so. */
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { BENCH } from './paths.mjs'

export function installPeers(say) {
  const installed = join(BENCH, 'node_modules', '.package-lock.json')
  const lock = join(BENCH, 'package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs - 1000) return
  say('bench: installing the peers into bench/node_modules (npm ci, about 1.3 GB, once)')
  // The install scripts of both would fetch GPU parts; the CPU binaries are in the packages themselves.
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip', NODE_LLAMA_CPP_SKIP_DOWNLOAD: 'true' }
  const { status, error } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: BENCH, env, stdio: ['ignore', process.stderr, 'inherit'] })
  if (status !== 0) throw new Error(`npm ci in bench/ failed (${error?.message ?? `exit code ${status}`}): the peers cannot be measured without it`)
}
