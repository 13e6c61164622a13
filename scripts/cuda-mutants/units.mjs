// The translation units of the checked emulator, and the tests that reach the kernels of each.
import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'

const PLUGIN = 'embedcore_cuda_emulated_checked'
const TILES = 'embedcore_emulator_tests_checked'
const BACKEND = 'cuda_emulated'

/** A little of everything first, so that most mutants are caught soon; then larger cases and another schedule. */
const SOON = { order: 0, seed: 1, cost: 20_000 }
const LATER = { order: 2, seed: 2, cost: 100_000 }
const LARGE = { order: 2, seed: 2, cost: 1_000_000 }

const run = (arch, suites, way) => ({ arch, ...way, filter: suites.map((s) => `*/${s}*/${BACKEND}`).join(':') })
const both = (suites) => [run(80, suites, SOON), run(80, suites, LARGE)]
const linear = (arch) => [
  run(arch, ['LinearTest.AgreesWith', 'LinearTest.RowsOf', 'OrderTest.Linear'], SOON),
  run(arch, ['LinearTest.'], LATER),
]
const linearInt8 = (arch) => [
  ...linear(arch),
  run(arch, ['LinearInt8Test.', 'LinearSmoothingTest.'], { ...SOON, order: 1 }),
  run(arch, ['LinearInt8Test.'], LATER),
]

/**
 * The runs of each source of cuda/, which are tried in their `order`; a header's are those of the sources that include
 * it. Kernels of Arch::kAny are the same code on every card, and run on one.
 */
const RUNS = {
  'norm.cu': both(['NormTest.', 'PlacementTest.Norm', 'OrderTest.Rows']),
  'vectors.cu': both(['NormalizeTest.', 'QuantizeTest.', 'PlacementTest.Normalize', 'OrderTest.Rows']),
  'similarity.cu': both(['SimilarityTest.', 'PlacementTest.Similarity', 'OrderTest.Rows']),
  'embed.cu': both(['EmbedTest.', 'BagTest.', 'PlacementTest.EmbedAndBag', 'OrderTest.Rows']),
  'pool.cu': both(['PoolTest.', 'PlacementTest.Pool', 'OrderTest.Rows']),
  'fuse.cu': both(['FuseTest.', 'OrderTest.Rows']),
  'activation.cu': both(['ActivationTest.', 'MathTest.', 'OrderTest.Rows']),
  'attention_flash.cu': [
    ...both(['AttentionTest.', 'OrderTest.Attention']),
    run(75, ['AttentionTest.', 'OrderTest.Attention'], SOON),
    run(75, ['AttentionTest.', 'OrderTest.Attention'], LARGE),
  ],
  'attention.cu': both(['AttentionTest.', 'OrderTest.Attention']),
  'linear_bf16.cu': linear(80),
  'linear_f16.cu': linear(80),
  'linear_f32.cu': linear(80),
  'linear_int8.cu': linearInt8(80),
  'linear_rows.cu': [...linearInt8(80), ...linear(75)],
  'linear_sm75.cu': linearInt8(75),
  'linear_bf16_sm90.cu': linear(90),
  'linear_f16_sm90.cu': linear(90),
  'pack.cu': linearInt8(80),
  'linear.cu': linear(80),
}

/** Tests of headers: tiles that no operation chooses on the emulated cards, and more rows than a grid has blocks. */
const headerRuns = (filter) => [1, 2].map((seed) => ({ order: seed, seed, filter }))
const HEADER_RUNS = {
  'linear_tiles_test.cc': headerRuns('LinearTiles.*'),
  'rows_test.cc': headerRuns('Rows.*'),
}

/** Folders of the kernels and of the tests that try them. */
const DEPENDENCIES = ['cuda', 'native/base', 'native/ops', 'native/reference', 'test/emulator', 'test/native']
DEPENDENCIES.push('scripts/cuda-mutants')

function filesOf(folder) {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return filesOf(path)
    return /\.(?:cc|cuh?|h|map|mjs|txt)$/.test(entry.name) ? [path] : []
  })
}

/** Names of the quoted includes of a text. */
const includesOf = (text) => [...text.matchAll(/^#include "([^"]+)"/gm)].map(([, name]) => name)

export class Units {
  constructor(root, build) {
    this.root = root
    this.build = build
    this.cuda = join(root, 'cuda')
    this.sources = readdirSync(this.cuda).filter((name) => /\.cuh?$/.test(name) && name !== 'runtime_cuda.cu')
    const commands = JSON.parse(readFileSync(join(build, 'compile_commands.json'), 'utf8'))
    this.plugin = commands.filter(({ command }) => command.includes(`/${PLUGIN}.dir/`))
    this.tiles = commands.filter(({ command }) => command.includes(`/${TILES}.dir/`))
    const hash = createHash('sha256')
    for (const { command } of [...this.plugin, ...this.tiles]) hash.update(command)
    for (const folder of DEPENDENCIES)
      for (const path of filesOf(join(root, folder))) hash.update(relative(root, path)).update(readFileSync(path))
    /** Changes with what objects and verdicts depend on: what is kept of them is of no use then. */
    this.stamp = hash.digest('hex').slice(0, 16)
  }

  /** Headers of cuda/ that a file reaches. */
  reached(file, seen = new Set()) {
    for (const name of includesOf(readFileSync(file, 'utf8')))
      if (this.sources.includes(name) && !seen.has(name)) {
        seen.add(name)
        this.reached(join(this.cuda, name), seen)
      }
    return seen
  }

  /** { name, command, inPlugin, runs } of the units that are compiled again: of the plugin and of the tiles' tests. */
  get all() {
    const units = []
    for (const command of [...this.plugin, ...this.tiles]) {
      const name = basename(command.file)
      const inPlugin = this.plugin.includes(command)
      if (inPlugin ? dirname(command.file) !== this.cuda || !name.endsWith('.cu') : !name.endsWith('_test.cc')) continue
      if (!inPlugin && this.reached(command.file).size === 0) continue
      const runs = inPlugin ? RUNS[name] : HEADER_RUNS[name]
      if (!runs) throw new Error(`scripts/cuda-mutants/units.mjs names no tests for ${name}`)
      units.push({ name, command, inPlugin, runs })
    }
    const place = ({ name, inPlugin }) => (inPlugin ? Object.keys(RUNS).indexOf(name) : Infinity)
    return units.sort((a, b) => (place(a) < place(b) ? -1 : 1))
  }

  /** Those that a source of cuda/ is part of. */
  of(source) {
    return this.all.filter(({ name, command }) => name === source || this.reached(command.file).has(source))
  }

  /** Files of cuda/ to be found in the directory `overlay` instead. */
  compilation({ command }, overlay, output) {
    const words = command.command.split(' ').filter(Boolean)
    const moved = (word) =>
      word === this.cuda || word.startsWith(`${this.cuda}/`) ? join(overlay, relative(this.cuda, word)) : word
    const args = []
    for (let i = 1; i < words.length; ++i) {
      if (words[i] === '-o') ++i
      else if (words[i].startsWith('-I')) args.push(`-I${moved(words[i].slice(2))}`)
      else if (/^-(?:O\d|g\d?|W.*)$/.test(words[i])) continue
      else args.push(moved(words[i]))
    }
    return [words[0], [...args, '-O1', '-g0', '-w', '-o', output]]
  }

  /**
   * `changed`: objects by unit name that take the place of the build's. They come first: theirs are the functions of
   * which several units have a copy.
   */
  link(inPlugin, changed, output) {
    const commands = inPlugin ? this.plugin : this.tiles
    const objects = commands
      .filter(({ file }) => !changed.has(basename(file)))
      .map(({ command }) => join(this.build, / -o (\S+)/.exec(command)[1]))
    const emulator = join(this.build, 'cuda/emulator/libembedcore_emulator_checked.a')
    const libraries = inPlugin
      ? ['-shared', `-Wl,--version-script=${join(this.cuda, 'emulator/exports.map')}`, emulator]
      : [emulator, '-lgtest', '-lgtest_main']
    return [
      commands[0].command.split(' ')[0],
      [...changed.values(), ...objects, ...libraries, '-lpthread', '-ldl', '-o', output],
    ]
  }

  /** What runs a run: the mutant's library or tests at `path`. */
  program(inPlugin, run, path) {
    const env = { EMBEDCORE_EMULATED_SEED: String(run.seed) }
    const args = ['--gtest_brief=1', '--gtest_break_on_failure', `--gtest_filter=${run.filter}`]
    if (!inPlugin) return { file: path, args, env }
    Object.assign(env, {
      EMBEDCORE_TEST_BACKEND: path,
      EMBEDCORE_EMULATED_ARCH: String(run.arch),
      EMBEDCORE_TEST_MOST_COST: String(run.cost),
    })
    return { file: join(this.root, 'build-tests/embedcore_native_tests'), args, env }
  }
}
