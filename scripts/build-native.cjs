// Builds the addon with CMake and Ninja and puts it at build/Release/embedcore.node, where node-gyp-build looks.
// Everything that builds (npm install, node-gyp-build, prebuildify, cmake-js) ends here.
'use strict'
const { execFileSync } = require('node:child_process')
const { copyFileSync, existsSync, mkdirSync, renameSync } = require('node:fs')
const { join, resolve } = require('node:path')

const root = join(__dirname, '..')
const buildDirectory = join(root, 'build-cmake')

function need(command) {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' })
  } catch {
    console.error(
      `embedcore: "${command}" was not found, and no prebuilt addon fits this machine.\n` +
        '  Debian/Ubuntu: apt-get install -y g++ cmake ninja-build\n' +
        '  then: npm run build:native',
    )
    process.exit(1)
  }
}

function run(command, args) {
  execFileSync(command, args, { stdio: 'inherit', cwd: root })
}

function build({ directory = buildDirectory, options = [] } = {}) {
  need('cmake')
  need('ninja')
  const nodeApi = resolve(require('node-api-headers').include_dir)
  const addonApi = resolve(require('node-addon-api').include_dir) // The path is relative to the current folder.
  run('cmake', [
    '-S',
    root,
    '-B',
    directory,
    '-G',
    'Ninja',
    `-DEMBEDCORE_NODE_API_INCLUDE=${nodeApi}`,
    `-DEMBEDCORE_NODE_ADDON_API_INCLUDE=${addonApi}`,
    '-DEMBEDCORE_TESTS=OFF', // scripts/test-native.cjs has switched them on, and needs googletest for them.
    ...options,
  ])
  run('cmake', ['--build', directory, '--target', 'embedcore_addon'])
}

function install(directory = buildDirectory) {
  const target = join(root, 'build', 'Release')
  mkdirSync(target, { recursive: true })
  // Renamed, so that a process that has the old addon mapped keeps its file.
  copyFileSync(join(directory, 'embedcore.node'), join(target, 'embedcore.node.new'))
  renameSync(join(target, 'embedcore.node.new'), join(target, 'embedcore.node'))
}

module.exports = { build }
if (require.main === module) {
  build()
  install()
  if (!existsSync(join(root, 'build', 'Release', 'embedcore.node'))) process.exit(1)
}
