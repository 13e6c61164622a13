/**
 * GPUs that fail as a test says: the library of test/native/plugin/fake_plugin.cc, built by `npm run test:native`, and
 * the script that it reads.
 */
import { existsSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { ROOT } from './golden.js'

export const FAKE_LIBRARY = path.join(ROOT, 'build-cmake/libembedcore_fake_plugin.so')

export class FakeDevices {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'embedcore-devices-'))
  readonly file = path.join(this.folder, 'script')

  constructor() {
    if (!existsSync(FAKE_LIBRARY)) throw new Error(`${FAKE_LIBRARY} is missing: run "npm run test:native" first`)
    this.script('')
  }

  /** Renamed, because a device reads it at any moment. */
  script(...lines: string[]): void {
    writeFileSync(`${this.file}.new`, lines.map((line) => `${line}\n`).join(''))
    renameSync(`${this.file}.new`, this.file)
  }

  /** The library by another path, which the process has not opened yet. */
  library(name: string): string {
    const link = path.join(this.folder, name)
    symlinkSync(FAKE_LIBRARY, link)
    return link
  }

  /** Variables for a process that has these devices. */
  env(): NodeJS.ProcessEnv {
    return { ...process.env, EMBEDCORE_CUDA_LIBRARY: FAKE_LIBRARY, EMBEDCORE_FAKE_DEVICES: this.file }
  }

  close(): void {
    rmSync(this.folder, { recursive: true })
  }
}
