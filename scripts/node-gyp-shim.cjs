#!/usr/bin/env node
// What prebuildify runs in node-gyp's place: it asks for `rebuild`, gets the CMake build.
'use strict'
require('node:child_process').execFileSync(
  process.execPath,
  [require('node:path').join(__dirname, 'build-native.cjs')],
  { stdio: 'inherit' },
)
