/** A user without HOME and without an entry in passwd, as in many containers: os.homedir() throws there. */
import { describe, expect, test, vi } from 'vitest'
import { hubSettings } from '../../src/hub/environment.js'
import { resolveModel } from '../../src/hub/resolve.js'
import { recall, remember } from '../../src/model/dtype-memory.js'

vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  homedir: () => {
    throw Object.assign(new Error('A system error occurred: uv_os_homedir returned ENOENT'), {
      code: 'ERR_SYSTEM_ERROR',
    })
  },
}))
for (const name of ['XDG_CACHE_HOME', 'EMBEDCORE_CACHE', 'HF_HOME', 'HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE'])
  vi.stubEnv(name, '')

describe('without a home directory', () => {
  test('choices of dtype are neither remembered nor an error', async () => {
    await remember('key', { dtype: 'int8', measured: [] })
    expect(await recall('key')).toBeNull()
  })

  test('the hub names the variables that would do', async () => {
    const refused = {
      code: 'ERR_EMBEDCORE_HUB',
      message: expect.stringMatching(/^Expected a home directory for the hub cache but received none: .*HF_HUB_CACHE/),
    }
    await expect(resolveModel('owner/name')).rejects.toMatchObject(refused)
    await expect(hubSettings({})).rejects.toMatchObject(refused)
    expect(await hubSettings({ cacheDir: '/some/where' })).toMatchObject({ cacheDir: '/some/where', token: undefined })
  })

  test('a path that begins with ~ has nowhere to lead', async () => {
    await expect(resolveModel('~/model')).rejects.toMatchObject({ code: 'ERR_EMBEDCORE_HUB' })
  })
})
