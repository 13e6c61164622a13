/** What bench:static compares: each trainer as a process that trains once. */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { BENCH, ROOT } from '../lib/paths.mjs'

const PYTHON = process.env.EMBEDCORE_GENSIM_PYTHON ?? '/usr/bin/python3'
const FASTTEXT = process.env.FASTTEXT ?? 'fasttext'
const TIME = '/usr/bin/time'

/** `any`: whatever its exit code, as of a program that only prints how it is used. */
function canRun(command, args, any = false) {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch (error) {
    return any && error.code !== 'ENOENT'
  }
}

function run(command, args, env = {}) {
  return new Promise((resolve, reject) => {
    const begin = performance.now()
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let [out, err] = ['', '']
    child.stdout.on('data', (part) => (out += part))
    child.stderr.on('data', (part) => (err = (err + part).slice(-4000)))
    child.on('error', reject)
    child.on('close', (code) => {
      if (code !== 0) reject(new Error(`${command} ended with ${code}: ${err.trim().split('\n').at(-1)}`))
      else resolve({ seconds: (performance.now() - begin) / 1000, out, err })
    })
  })
}

/** A C program: wall and CPU seconds of the whole process, reading and saving included. */
async function runProgram(command, args) {
  const timed = existsSync(TIME)
  const { seconds, err } = await run(timed ? TIME : command, timed ? ['-f', 'cpu %U %S', command, ...args] : args)
  const cpu = /cpu ([\d.]+) ([\d.]+)\s*$/.exec(err)
  return { seconds, cpuSeconds: cpu ? Number(cpu[1]) + Number(cpu[2]) : null }
}

const single = { OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1', MKL_NUM_THREADS: '1' }

/** name -> { why(): null or why it is left out, saves: whether its seconds include saving, train(options) } */
export const PEERS = {
  embedcore: {
    why: () => (existsSync(join(ROOT, 'dist', 'index.js')) ? null : 'not built: npm run build'),
    train: async (options) => {
      const dist = pathToFileURL(join(ROOT, 'dist', 'index.js')).href
      const { out } = await run(process.execPath, [
        join(BENCH, 'static', 'own.mjs'),
        JSON.stringify({ ...options, dist }),
      ])
      return JSON.parse(out)
    },
  },
  gensim: {
    why: () => (canRun(PYTHON, ['-c', 'import gensim']) ? null : `${PYTHON} has no gensim (python3-gensim)`),
    train: async (options) => {
      const { out } = await run(PYTHON, [join(BENCH, 'static', 'gensim_peer.py'), JSON.stringify(options)], single)
      return JSON.parse(out)
    },
  },
  fasttext: {
    saves: true,
    why: () => (canRun(FASTTEXT, [], true) ? null : 'fasttext was not found (Debian: fasttext)'),
    // The program does not say its version.
    train: async ({
      corpus,
      out,
      epochs,
      threads,
      sg,
      vectorSize,
      window,
      negative,
      sample,
      minCount,
      alpha,
      seed,
    }) => {
      const numbers = { epoch: epochs, thread: threads, dim: vectorSize, ws: window, neg: negative, t: sample }
      const more = { minCount, lr: alpha, minn: 0, maxn: 0, loss: 'ns', seed }
      const flags = Object.entries({ ...numbers, ...more }).flatMap(([name, value]) => [`-${name}`, String(value)])
      const stem = out.replace(/\.txt$/, '')
      const model = sg ? 'skipgram' : 'cbow'
      const times = await runProgram(FASTTEXT, [model, '-input', corpus, '-output', stem, ...flags])
      return { ...times, vectors: `${stem}.vec` }
    },
  },
  word2vec: {
    saves: true,
    why: () => (process.env.WORD2VEC ? null : 'WORD2VEC does not name the C program'),
    train: async ({ corpus, out, epochs, threads, sg, vectorSize, window, negative, sample, minCount, alpha }) => {
      const numbers = {
        iter: epochs,
        threads,
        size: vectorSize,
        window,
        negative,
        sample,
        'min-count': minCount,
        alpha,
      }
      const more = {
        cbow: sg ? 0 : 1,
        hs: 0,
        binary: 0,
        train: corpus,
        output: out,
      }
      const flags = Object.entries({ ...numbers, ...more }).flatMap(([name, value]) => [`-${name}`, String(value)])
      return runProgram(process.env.WORD2VEC, flags)
    },
  },
}
