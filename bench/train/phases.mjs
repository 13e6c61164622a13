/**
 * When the package computes gradients and when it updates weights, taken where it calls its addon: events of a run tell
 * whole steps only. The calls themselves stay as they are.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { ROOT } from '../lib/paths.mjs'

function stopwatch() {
  const start = performance.now()
  const cpu = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(cpu)
    return { seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 }
  }
}

/** Replaces a method whose last argument is its callback. */
function timed(object, name, add) {
  const original = object[name]
  if (typeof original !== 'function') throw new Error(`the addon's trainer has no ${name}()`)
  // The methods of an addon's class cannot be assigned to.
  Object.defineProperty(object, name, {
    value(...args) {
      const done = args.pop()
      const read = stopwatch()
      return original.call(this, ...args, (...result) => {
        add(read())
        done(...result)
      })
    },
  })
}

/** Must be called before the first run. Returns a function that gives the phases since it was called last. */
export function watchPhases() {
  const addon = createRequire(import.meta.url)(join(ROOT, 'native', 'binding', 'load.cjs'))
  const zero = () => ({ seconds: 0, cpuSeconds: 0 })
  let now = { gradients: zero(), update: zero() }
  const add = (phase) => (took) => {
    now[phase].seconds += took.seconds
    now[phase].cpuSeconds += took.cpuSeconds
  }
  const open = addon.trainer
  addon.trainer = (options, done) =>
    open(options, (error, trainer) => {
      if (trainer) {
        timed(trainer, 'accumulate', add('gradients'))
        timed(trainer, 'update', add('update'))
      }
      done(error, trainer)
    })
  return () => {
    const taken = now
    now = { gradients: zero(), update: zero() }
    return taken
  }
}
