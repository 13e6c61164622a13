/**
 * `npm run bench:install`: installs the npm packages that embedcore is compared with into bench/node_modules (1.3 GB).
 */
import { installPeers } from './lib/setup.mjs'

try {
  installPeers()
} catch (error) {
  process.stderr.write(`bench:install: ${error.message}\n`)
  process.exitCode = 1
}
