#!/usr/bin/env node
// prebuildify runs this instead of node-gyp: its `rebuild` starts the CMake build.
'use strict'
require('node:child_process').execFileSync(
  process.execPath,
  [require('node:path').join(__dirname, 'build-native.cjs')],
  { stdio: 'inherit' },
)
