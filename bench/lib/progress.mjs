/** What a bench says while it runs, on stderr. */

/** Returns { progress(text), say(text) }: a line that is overwritten, on a terminal only; a line that stays. */
export function progressLine() {
  const terminal = process.stderr.isTTY
  const start = Date.now()
  const progress = (text) => {
    if (!terminal) return
    const line = text && `${Math.round((Date.now() - start) / 1000)} s  ${text}`
    process.stderr.write(`\r\x1b[2K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`)
  }
  const say = (text) => {
    progress('')
    process.stderr.write(text + '\n')
  }
  return { progress, say }
}
