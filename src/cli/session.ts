/** Shared by the commands that run a model: one signal that stops everything, a progress line, and the model. */
import type { LoadOptions } from '../model/load-options.js'
import { booleanOf, stringOf, type Arguments } from './arguments.js'
import type { CliIO, CoreModel } from './contract.js'
import { loadOptionsOf } from './options.js'
import { Progress } from './progress.js'

export interface Session {
  /**
   * Aborted from outside (SIGINT) and when the command ends for any reason. Streams are closed and running calls stop.
   */
  signal: AbortSignal
  progress: Progress
  load(model?: string): Promise<CoreModel>
}

/** Runs `work`. Afterwards, also after a failure, the model is disposed of and nothing is left running. */
export async function withSession<T>(
  args: Arguments,
  io: CliIO,
  { bar }: { bar: boolean },
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const stop = () => controller.abort(io.signal?.reason)
  if (io.signal?.aborted) stop()
  io.signal?.addEventListener('abort', stop, { once: true })
  const progress = new Progress(io.stderr, bar && io.isTTY.stderr && !booleanOf(args, 'json'))
  let model: CoreModel | null = null
  const load = async (named = stringOf(args, 'model')) => {
    const options: LoadOptions = {
      ...loadOptionsOf(args, controller.signal),
      onProgress: (update) => progress.download(update),
    }
    const core = await io.core()
    controller.signal.throwIfAborted()
    model = await core.load(named, options)
    progress.clear()
    return model
  }
  try {
    return await work({ signal: controller.signal, progress, load })
  } finally {
    progress.clear()
    controller.abort()
    io.signal?.removeEventListener('abort', stop)
    await (model as CoreModel | null)?.dispose()
  }
}
