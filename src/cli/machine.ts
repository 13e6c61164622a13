/** Facts about this machine and installation that `doctor` reports. It only reads files and does not load the addon. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

/** The version of glibc; null with another C library (musl, macOS, Windows). */
export function glibcVersion(): string | null {
  const report = process.report as typeof process.report & { excludeNetwork?: boolean }
  // Without this, the report looks up the host names of all open sockets.
  report.excludeNetwork = true
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
  return header.glibcVersionRuntime ?? null
}

/** Version of an installed package, found without loading it; null = not installed. */
export function packageVersionOf(name: string): string | null {
  for (const folder of createRequire(import.meta.url).resolve.paths(name) ?? []) {
    const manifest = readText(join(folder, name, 'package.json'))
    if (manifest !== null) return (JSON.parse(manifest) as { version: string }).version
  }
  return null
}
