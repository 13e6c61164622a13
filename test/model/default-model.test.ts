import { describe, expect, test } from 'vitest'
import { EmbedCoreError } from '../../src/core/errors.js'
import { sharedLoad } from '../../src/model/default-model.js'

/** Loads that the test settles one by one. */
function loads() {
  const begun: { resolve: (value: string) => void; reject: (error: unknown) => void }[] = []
  const get = sharedLoad(() => new Promise<string>((resolve, reject) => void begun.push({ resolve, reject })))
  return { begun, get }
}

describe('the model that callers share', () => {
  test('is loaded once', async () => {
    const { begun, get } = loads()
    const both = Promise.all([get(), get()])
    begun[0]!.resolve('model')
    expect(await both).toEqual(['model', 'model'])
    expect(await get()).toBe('model')
    expect(begun).toHaveLength(1)
  })

  test('is loaded again after a failure, and once, whoever notices the failure when', async () => {
    const { begun, get } = loads()
    const failure = new EmbedCoreError('ERR_EMBEDCORE_INVALID_FILE', 'passing')
    // The first caller tries again as soon as it sees the failure; the second sees it after that.
    const first = get().catch(() => get())
    const second = get().catch((error: unknown) => error)
    begun[0]!.reject(failure)
    expect(await second).toMatchObject({ code: 'ERR_EMBEDCORE_INVALID_FILE', cause: failure })
    const third = get()
    expect(begun).toHaveLength(2)
    begun[1]!.resolve('model')
    expect(await Promise.all([first, third])).toEqual(['model', 'model'])
    expect(begun).toHaveLength(2)
  })

  test('gives every caller an error with a stack of its own', async () => {
    const { begun, get } = loads()
    const failures = Promise.allSettled([get(), get()])
    begun[0]!.reject(new Error('x'))
    const [a, b] = (await failures) as PromiseRejectedResult[]
    expect(a!.reason).toBeInstanceOf(EmbedCoreError)
    expect(a!.reason).not.toBe(b!.reason)
  })
})
