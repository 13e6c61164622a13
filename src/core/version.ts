/** The package's own version, read from the package.json above this file, which may run from dist/ or from src/. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export function packageVersion(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const manifest = read(join(folder, 'package.json'))
    if (manifest?.name === 'embedcore') return manifest.version
    if (folder === dirname(folder))
      throw new Error('the package.json of embedcore is missing: the installation is broken')
  }
}

function read(path: string): { name: string; version: string } | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { name: string; version: string }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
