// Makes the built-in model: a multilingual transformer distilled into one vector for each piece of its vocabulary, in
// the manner of model2vec (https://github.com/MinishLab/model2vec).
//
//   node scripts/make-default-model.mjs --source MODEL --data FOLDER --sts FOLDER [--corpora FILE] [--out FOLDER]
//
// MODEL is the directory of multilingual-e5-small; --data holds the texts that FILE lists, by default
// scripts/default-model/corpora.json; --sts holds stsb-LANGUAGE-dev.csv for en, zh, es and fr. Prints the scores of
// each step. Needs `npm run build`.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { distill } from './default-model/distill.mjs'
import { developmentPairs } from './default-model/evaluation.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { values: args } = parseArgs({
  options: {
    source: { type: 'string' },
    data: { type: 'string' },
    sts: { type: 'string' },
    corpora: { type: 'string', default: join(root, 'scripts/default-model/corpora.json') },
    out: { type: 'string', default: join(root, 'models/embedcore-static-multilingual') },
  },
})
for (const name of ['source', 'data', 'sts']) {
  if (args[name] !== undefined) continue
  console.error(`make-default-model: Expected a folder for --${name} but received none`)
  process.exit(2)
}

const { embedCore } = await import('../dist/index.js')
const begin = performance.now()
await distill(embedCore, {
  source: args.source,
  out: args.out,
  corpora: JSON.parse(readFileSync(args.corpora, 'utf8')),
  data: args.data,
  pairs: developmentPairs(args.sts),
  prefix: 'query:', // A piece that begins a word brings the space itself.
  dimensions: 256,
  baseModel: 'intfloat/multilingual-e5-small',
  say: (line) => console.log(`${((performance.now() - begin) / 1000).toFixed(0).padStart(4)} s  ${line}`),
})
