// The text of a kernel source as tokens: enough of C++ to tell code from comments, strings, preprocessor lines and
// template arguments, and the bodies of GPU functions from the rest.

const SKIPPED = /\s+|\/\/[^\n]*|\/\*[^]*?\*\//y
const DIRECTIVE = /#(?:[^\n\\]|\\[^])*/y
const STRING = /R"([^(\s]*)\([^]*?\)\1"|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)+'/y
const NUMBER =
  /(?:0[xX][\da-fA-F']+(?:\.[\da-fA-F']*)?(?:[pP][+-]?\d+)?|(?:\d[\d']*(?:\.[\d']*)?|\.\d[\d']*)(?:[eE][+-]?\d+)?)\w*/y
const NAME = /[A-Za-z_]\w*/y
const SIGN = /<<=|>>=|<=>|\.\.\.|->\*|::|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[^]/y

function match(pattern, text, at) {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}

/** Where a template argument list may begin: clang-format writes comparisons with spaces on both sides. */
function opensTemplate(text, at, previous) {
  if (!previous) return false
  if (previous.text === 'template') return true
  return previous.type === 'name' && previous.end === at && !/\s/.test(text[at + 1] ?? ' ')
}

/**
 * Tokens { type, text, start, end, line, template }; type: 'name', 'number', 'string' or 'sign'; `template`: inside of
 * the angle brackets of a template, which count as inside. Comments and preprocessor lines are left out.
 */
export function tokenize(text) {
  const tokens = []
  const open = [] // of the brackets ( [ { and the < of templates
  let line = 1
  let lineStart = true
  for (let at = 0; at < text.length;) {
    const skipped = match(SKIPPED, text, at)
    if (skipped !== undefined) {
      const breaks = skipped.split('\n').length - 1
      if (breaks > 0) lineStart = true
      line += breaks
      at += skipped.length
      continue
    }
    const directive = lineStart ? match(DIRECTIVE, text, at) : undefined
    lineStart = false
    if (directive !== undefined) {
      line += directive.split('\n').length - 1
      at += directive.length
      continue
    }
    const found = [
      ['string', STRING],
      ['number', NUMBER],
      ['name', NAME],
      ['sign', SIGN],
    ].find(([, pattern]) => match(pattern, text, at) !== undefined)
    const type = found[0]
    let value = match(found[1], text, at)
    const closes = type === 'sign' && value.startsWith('>') && open.at(-1) === '<'
    if (closes) value = '>'
    const opens = value === '<' && opensTemplate(text, at, tokens.at(-1))
    if (opens) open.push('<')
    tokens.push({ type, text: value, start: at, end: at + value.length, line, template: open.includes('<') })
    if (closes) open.pop()
    else if (type === 'sign' && '([{'.includes(value)) open.push(value)
    else if (type === 'sign' && ')]}'.includes(value)) while (open.length > 0 && '<' === open.pop());
    line += value.split('\n').length - 1
    at += value.length
  }
  return tokens
}

const CLOSING = { '(': ')', '[': ']', '{': '}' }

/** The index of the bracket that closes the one at `from`, or of the end. */
export function closing(tokens, from) {
  const { text } = tokens[from]
  let depth = 0
  for (let i = from; i < tokens.length; ++i) {
    if (tokens[i].type !== 'sign') continue
    if (tokens[i].text === text) ++depth
    else if (tokens[i].text === CLOSING[text] && --depth === 0) return i
  }
  return tokens.length
}

/** Ranges [from, to) of tokens: the bodies of functions marked GPU, with the initialisers of constructors. */
export function gpuBodies(tokens) {
  const bodies = []
  for (let i = 0; i < tokens.length; ++i) {
    if (tokens[i].text !== 'GPU' || tokens[i].type !== 'name') continue
    let at = i
    while (at < tokens.length && !(tokens[at].text === '(' && !tokens[at].template)) ++at
    const from = closing(tokens, at) + 1
    at = from
    while (at < tokens.length && tokens[at].text !== '{' && tokens[at].text !== ';')
      at = tokens[at].text === '(' ? closing(tokens, at) + 1 : at + 1
    if (tokens[at]?.text !== '{') continue
    const to = closing(tokens, at) + 1
    bodies.push([from, to])
    i = to - 1
  }
  return bodies
}
