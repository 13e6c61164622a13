import { homedir } from 'node:os'

/**
 * The user's home directory, or null where there is none: a user id without an entry in passwd and without HOME, as
 * containers have. Node throws a SystemError there.
 */
export function homeDirectory(): string | null {
  try {
    return homedir()
  } catch {
    return null
  }
}
