// Models and texts for the scripts of test/abuse.
import { fileURLToPath } from 'node:url'

const stack = (name) => fileURLToPath(new URL(`../../golden/stack/${name}`, import.meta.url))
export const STACKS = ['mean-normalize', 'decoder', 'weighted-layers'].map(stack)
export const texts = Array.from({ length: 200 }, (_, i) => `a text of some words ${i} ${'and more '.repeat(i % 9)}`)
