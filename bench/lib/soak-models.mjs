/**
 * Loads for soak.mjs that read new weights. In the package, handles on the same files share weights for as long as one
 * of them exists, so every load here is from a new copy of the model's directory. Hard links would not do, because
 * links to one file share its mapping.
 */
import { constants, cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { CACHE } from './paths.mjs'

/** Part of the weights by which resident memory must grow for a load to count as real. */
const REAL_SHARE = 0.25

export class SoakModels {
  #embedCore
  #source
  #options
  #root = join(CACHE, `soak-${process.pid}`)
  #next = 0
  #collected = 0
  #registry = new FinalizationRegistry(() => this.#collected++)

  constructor(embedCore, source, options) {
    this.#embedCore = embedCore
    this.#source = source
    this.#options = options
  }

  /** Handles that were dropped without dispose and have been collected. */
  get collected() {
    return this.#collected
  }

  /**
   * A model with its own weights. Returns { model, directory, real }: real = resident memory grew with the load, which
   * it does not for handles on weights in memory. An earlier model must be alive, or its memory could serve this one.
   */
  async loadNew() {
    const directory = join(this.#root, `model-${this.#next++}`)
    cpSync(this.#source, directory, { recursive: true, mode: constants.COPYFILE_FICLONE })
    const before = process.memoryUsage.rss()
    const model = await this.#embedCore.load(directory, this.#options)
    const real = process.memoryUsage.rss() - before >= REAL_SHARE * model.info.weightBytes
    return { model, directory, real }
  }

  /** Another handle on the weights of a directory that loadNew() made. */
  loadShared(directory) {
    return this.#embedCore.load(directory, this.#options)
  }

  /** To be called with the last reference to a handle: it is not disposed, and the garbage collector ends it. */
  drop(model) {
    this.#registry.register(model, null)
  }

  remove(directory) {
    rmSync(directory, { recursive: true, force: true })
  }

  close() {
    rmSync(this.#root, { recursive: true, force: true })
  }
}
