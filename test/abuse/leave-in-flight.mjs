// The process ends normally, by exit() and by an uncaught error while calls are running; and an idle model does not
// keep it alive.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { embedCore } from '../../dist/index.js'
import { STACKS, texts } from './support/models.mjs'

const way = process.argv[2]
if (way === undefined) {
  const expected = { exit: 7, throw: 1, idle: 0, finish: 0 }
  for (const [name, status] of Object.entries(expected)) {
    const run = spawnSync(process.execPath, [fileURLToPath(import.meta.url), name], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    assert.equal(run.signal, null, `${name}: ${run.stderr}`)
    assert.equal(run.status, status, `${name}: ${run.stderr}`)
    if (name === 'finish') assert.match(run.stdout, /200 rows/)
  }
  console.log(`${Object.keys(expected).length} ways to leave`)
} else {
  const model = await embedCore.load(STACKS[0])
  await model.encode('once')
  // The process waits for it.
  if (way === 'finish') void model.encode(texts).then(({ shape }) => console.log(`${shape[0]} rows`))
  if (way === 'exit' || way === 'throw') {
    for (let i = 0; i < 20; i++) void model.encode(texts)
    setTimeout(() => {
      if (way === 'exit') process.exit(7)
      throw new Error('on purpose')
    }, 3)
  }
}
