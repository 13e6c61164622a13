import { homedir } from 'node:os'

/**
 * The user's home directory, or null if there is none: containers often run under a user id without an entry in passwd
 * and without HOME. Node throws a SystemError in that case.
 */
export function homeDirectory(): string | null {
  try {
    return homedir()
  } catch {
    return null
  }
}
