// What is known of mutants, kept in a file, so that a run that was ended goes on where it was.
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'

const idOf = ({ file, start, end, to }) => `${file}:${start}:${end}:${to}`

/** A line of JSON a verdict. The file's name must tell what verdicts depend on: sources, tests and limits. */
export class Verdicts {
  constructor(path) {
    this.path = path
    this.known = new Map()
    mkdirSync(dirname(path), { recursive: true })
    if (!existsSync(path)) return
    for (const line of readFileSync(path, 'utf8').split('\n')) {
      // The last line of a run that was ended may be a part of one.
      if (!line.endsWith('}')) continue
      const { id, ...verdict } = JSON.parse(line)
      this.known.set(id, verdict)
    }
  }

  forget() {
    this.known.clear()
    rmSync(this.path, { force: true })
  }

  of(mutant) {
    return this.known.get(idOf(mutant))
  }

  add(mutant, verdict) {
    const id = idOf(mutant)
    this.known.set(id, verdict)
    // On a line of its own, also after a part of one.
    appendFileSync(this.path, `\n${JSON.stringify({ id, ...verdict })}\n`)
  }
}
