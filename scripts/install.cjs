// The install step of npm: builds the addon unless a prebuilt or already built one loads.
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
