// npm's install step: nothing to do where a prebuilt or built addon loads, else a build.
'use strict'
const { join } = require('node:path')

const root = join(__dirname, '..')
try {
  require('node-gyp-build')(root)
} catch {
  require('node:child_process').execFileSync(process.execPath, [join(__dirname, 'build-native.cjs')], {
    stdio: 'inherit',
  })
}
