/** What the compiler said of a source, kept under a hash of everything that it depends on. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export class ReportCache {
  /**
   * `folders`: where quoted includes are, besides the folder of the file that has them. `common`: texts that every
   * result depends on.
   */
  constructor(directory, folders, common) {
    this.directory = directory
    this.folders = folders
    this.common = common
    mkdirSync(directory, { recursive: true })
  }

  /** A file and the files that it includes, whatever conditions they are under. */
  reached(file, seen = new Set()) {
    if (seen.has(file)) return seen
    seen.add(file)
    for (const [, name] of readFileSync(file, 'utf8').matchAll(/^\s*#\s*include "([^"]+)"/gm)) {
      const found = [dirname(file), ...this.folders]
        .map((folder) => join(folder, name))
        .find((path) => existsSync(path))
      if (found) this.reached(found, seen)
    }
    return seen
  }

  pathOf(name, file, args) {
    const hash = createHash('sha256')
    for (const text of [...this.common, ...args]) hash.update(text).update('\0')
    for (const path of [...this.reached(file)].sort()) hash.update(readFileSync(path)).update('\0')
    return join(this.directory, `${name}-${hash.digest('hex').slice(0, 24)}.json`)
  }

  /**
   * The result of `make`, of this call or of one before. `name` tells the results of one file apart; of each, the last
   * is kept.
   */
  async get(name, file, args, make) {
    const path = this.pathOf(name, file, args)
    if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8'))
    const result = await make()
    this.set(name, file, args, result)
    return result
  }

  set(name, file, args, result) {
    const path = this.pathOf(name, file, args)
    for (const old of readdirSync(this.directory))
      if (old.startsWith(`${name}-`) && old.length === `${name}-`.length + 29) rmSync(join(this.directory, old))
    writeFileSync(`${path}.new`, JSON.stringify(result))
    renameSync(`${path}.new`, path)
  }
}
