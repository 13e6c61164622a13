import { readFileSync } from 'node:fs'

/**
 * Most memory of this process resident so far, in bytes. Linux' own maxRSS starts at the parent's, whose pages were
 * shared until the program was started.
 */
export function peakRss() {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024
  return Number(/^VmHWM:\s*(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024
}
