// The changes that can be made to a kernel source, by kind. Each is a replacement of one stretch of the text.
import { closing, gpuBodies, tokenize } from './tokens.mjs'

const BARRIERS = new Set([
  'sync_block',
  'sync_warp',
  'sync_named',
  'arrive_named',
  'barrier_wait',
  'barrier_arrive',
  'copy_async_commit',
])
const FENCES = new Set([
  'fence_device',
  'fence_async_proxy',
  'wgmma_fence',
  'wgmma_commit',
  'barrier_init_done',
  'wait_for_previous_kernel',
])
const WAITS = new Set(['copy_async_wait', 'wgmma_wait', 'tma_store_wait'])
const COMPARED = { '<': '<=', '<=': '<', '>': '>=', '>=': '>' }
const INTEGER = /^\d[\d']*[uUlL]*$/
const FLOAT = /^(?:0[xX][\da-fA-F.']+[pP][+-]?\d+|\d[\d']*\.[\d']*(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)[fF]?$/

/** What a change of a body sees: its tokens, and whether one has a space on both sides, as binary operators have. */
class Body {
  constructor(text, tokens, from, to) {
    Object.assign(this, { text, tokens, from, to })
  }
  *[Symbol.iterator]() {
    for (let i = this.from; i < this.to; ++i) yield [i, this.tokens[i]]
  }
  is(i, text) {
    return this.tokens[i]?.text === text
  }
  isBinary(i) {
    const { type, start, end, template } = this.tokens[i]
    return type === 'sign' && !template && /\s/.test(this.text[start - 1]) && /\s/.test(this.text[end])
  }
  /** The index of the first token of the statement. */
  statement(i) {
    while (i > this.from && !/^[;{}]$/.test(this.tokens[i - 1].text)) --i
    return i
  }
  /** Whether the bracket at i belongs to a declaration of an array. */
  declares(i) {
    const first = this.statement(i)
    const typed = /^(?:const|constexpr|float|int|bool|u?int\d+_t|auto|[A-Z]\w*)$/.test(this.tokens[first].text)
    const depth = this.tokens.slice(first, i).reduce((d, { text }) => d + (text === '(') - (text === ')'), 0)
    return typed && depth <= 0 && /^(?:[=,;{[]|\))$/.test(this.tokens[closing(this.tokens, i) + 1]?.text ?? '')
  }
  /** Whether the statement, up to i, speaks of lanes. */
  ofLanes(i) {
    for (let at = this.statement(i); at < i; ++at)
      if (/lane|^(?:shuffle|shuffle_xor|ldmatrix4|ldmatrix4_transposed)$/.test(this.tokens[at].text)) return true
    return false
  }
}

function* removedCalls(body, names) {
  for (const [i, token] of body) {
    if (!names.has(token.text) || token.template || !body.is(i + 1, '(')) continue
    const end = body.tokens[closing(body.tokens, i + 1)].end
    yield { start: token.start, end, to: '' }
  }
}

function* bounds(body) {
  for (const [i, token] of body) {
    if (Object.hasOwn(COMPARED, token.text) && body.isBinary(i))
      yield { start: token.start, end: token.end, to: COMPARED[token.text] }
    if (token.template) continue
    if (token.type === 'number' && INTEGER.test(token.text) && !(body.is(i - 1, '[') && body.declares(i - 1))) {
      const value = parseInt(token.text.replaceAll("'", ''), 10)
      const suffix = token.text.replace(/^[\d']+/, '')
      for (const other of [value + 1, value - 1])
        if (other >= 0) yield { start: token.start, end: token.end, to: `${other}${suffix}` }
    }
    // An index, not of a declaration, a lambda or a number that is changed above.
    if (token.text === '[' && body.tokens[i - 1]?.end === token.start && !body.declares(i)) {
      const at = closing(body.tokens, i)
      if (at === i + 1 || body.is(i + 1, '&') || (at === i + 2 && body.tokens[i + 1].type === 'number')) continue
      const { start } = body.tokens[at]
      for (const by of ['+ 1', '- 1']) yield { start, end: start, to: ` ${by}` }
    }
  }
}

/** A wait that lets one more group be in flight; another number of stages. */
function* stages(body) {
  for (const [i, token] of body) {
    if (WAITS.has(token.text) && body.is(i + 1, '<')) {
      let at = i + 2
      while (body.tokens[at].text !== '>') ++at
      const { start } = body.tokens[at]
      yield { start, end: start, to: ' + 1' }
    }
    if (token.text === 'kStages' && !token.template)
      for (const by of ['+ 1', '- 1']) yield { start: token.start, end: token.end, to: `(kStages ${by})` }
  }
}

/** Which element a lane has: / and % exchanged, other bits of the lane's number, another lane of a shuffle. */
function* lanes(body) {
  for (const [i, token] of body) {
    if (token.text === 'shuffle_xor' && body.is(i + 1, '(')) {
      const at = body.tokens[closing(body.tokens, i + 1)].start
      yield { start: at, end: at, to: ' ^ 1' }
      yield { start: at, end: at, to: ' / 2' }
    }
    if (!body.isBinary(i) || !body.ofLanes(i)) continue
    const next = body.tokens[i + 1]
    if (token.text === '/' || token.text === '%')
      yield { start: token.start, end: token.end, to: token.text === '/' ? '%' : '/' }
    if ((token.text === '>>' || token.text === '&') && INTEGER.test(next.text) && next.text !== '1')
      yield { start: next.start, end: next.end, to: String(token.text === '&' ? next.text >> 1 : next.text - 1) }
  }
}

function* addresses(body) {
  for (const [i, token] of body)
    if ((token.text === '+' || token.text === '*') && body.isBinary(i))
      yield { start: token.start, end: token.end, to: token.text === '+' ? '-' : '+' }
}

function* conditions(body) {
  for (const [i, token] of body) {
    if (token.text === '&&' && body.isBinary(i)) yield { start: token.start, end: token.end, to: '||' }
    if (token.text === '||' && body.isBinary(i)) yield { start: token.start, end: token.end, to: '&&' }
    if (token.text !== 'if') continue
    const open = body.is(i + 1, 'constexpr') ? i + 2 : i + 1
    if (!body.is(open, '(')) continue
    const { start } = body.tokens[open]
    const { end } = body.tokens[closing(body.tokens, open)]
    yield { start, end, to: `(!${body.text.slice(start, end)})` }
  }
}

function* constants(body) {
  for (const [, { type, text, start, end }] of body) {
    if (type !== 'number' || !FLOAT.test(text)) continue
    const zero = Number(text.replace(/[fF]$/, '')) === 0
    yield { start, end, to: zero ? '1.0f' : `(${text} / 2)` }
  }
}

export const KINDS = {
  barrier: (body) => removedCalls(body, BARRIERS),
  bound: bounds,
  stage: stages,
  fence: (body) => removedCalls(body, FENCES),
  lane: lanes,
  address: addresses,
  condition: conditions,
  constant: constants,
}

/** The text with a change made. */
export function changed(text, { start, end, to }) {
  return text.slice(0, start) + to + text.slice(end)
}

/** All changes of a source: { kind, start, end, to, line, old, new }, the last two being the lines' texts. */
export function mutationsOf(text) {
  const tokens = tokenize(text)
  const lines = text.split('\n')
  const mutations = []
  for (const [from, to] of gpuBodies(tokens)) {
    const body = new Body(text, tokens, from, to)
    for (const [kind, find] of Object.entries(KINDS))
      for (const change of find(body)) {
        const line = text.slice(0, change.start).split('\n').length
        const begin = text.lastIndexOf('\n', change.start - 1) + 1
        // The line of the change, whose end is that of the last line that it reaches to.
        const stop = text.indexOf('\n', change.end)
        const rest = text.slice(change.end, stop)
        const now = (text.slice(begin, change.start) + change.to + rest).split('\n')[0]
        mutations.push({ kind, ...change, line, old: lines[line - 1].trim(), new: now.trim() })
      }
  }
  return mutations
}
