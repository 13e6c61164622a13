/**
 * The k documents nearest to each query, while scores come in blocks. The order is by score, the greatest first; equal
 * scores by id, in the order of code points, as Python sorts texts.
 */
import { allocate } from '../core/memory.js'

export class NearestDocuments {
  // One heap per query, [queries, k]; its root is the document that the next better one replaces.
  private readonly scores: Float32Array
  private readonly documents: Int32Array
  private readonly sizes: Int32Array

  /** `ids`: those of the documents offered so far, by number; the list may grow. */
  constructor(
    queries: number,
    private readonly k: number,
    private readonly ids: readonly string[],
  ) {
    this.scores = allocate(queries * k)
    this.documents = allocate(queries * k, Int32Array)
    this.sizes = allocate(queries, Int32Array)
  }

  /** Offers the documents first, first + 1, ... with their scores for a query. */
  offer(query: number, first: number, scores: Float32Array): void {
    const root = query * this.k
    let full = this.sizes[query] === this.k
    let worst = full ? this.scores[root]! : -Infinity
    for (let j = 0; j < scores.length; j++) {
      const score = scores[j]!
      if (score < worst || (full && score === worst && !this.before(first + j, this.documents[root]!))) continue
      if (full) this.place(root, 0, score, first + j)
      else this.append(query, score, first + j)
      full = this.sizes[query] === this.k
      if (full) worst = this.scores[root]!
    }
  }

  /** The documents of a query by number, the nearest first. */
  of(query: number): number[] {
    return this.placesOf(query).map((at) => this.documents[at]!)
  }

  /** Their scores, in the same order. */
  scoresOf(query: number): number[] {
    return this.placesOf(query).map((at) => this.scores[at]!)
  }

  private placesOf(query: number): number[] {
    const root = query * this.k
    const order = Array.from({ length: this.sizes[query]! }, (_, i) => root + i)
    return order.sort((a, b) => (this.ahead(a, b) ? -1 : 1))
  }

  private append(query: number, score: number, document: number): void {
    const root = query * this.k
    let at = this.sizes[query]!++
    this.set(root + at, score, document)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.ahead(root + parent, root + at)) return
      this.swap(root + parent, root + at)
      at = parent
    }
  }

  /** Puts a document at a place of a full heap, and moves it down to where it belongs. */
  private place(root: number, start: number, score: number, document: number): void {
    this.set(root + start, score, document)
    for (let at = start; ;) {
      let last = at
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < this.k && this.ahead(root + last, root + child)) last = child
      if (last === at) return
      this.swap(root + at, root + last)
      at = last
    }
  }

  private set(at: number, score: number, document: number): void {
    this.scores[at] = score
    this.documents[at] = document
  }

  private swap(a: number, b: number): void {
    const [score, document] = [this.scores[a]!, this.documents[a]!]
    this.set(a, this.scores[b]!, this.documents[b]!)
    this.set(b, score, document)
  }

  /** Whether the entry at a is nearer to its query than the one at b. */
  private ahead(a: number, b: number): boolean {
    const [left, right] = [this.scores[a]!, this.scores[b]!]
    return left > right || (left === right && this.before(this.documents[a]!, this.documents[b]!))
  }

  private before(a: number, b: number): boolean {
    return comesBefore(this.ids[a]!, this.ids[b]!)
  }
}

/** Order by code points. JavaScript's own is by UTF-16 units, where characters above U+FFFF come before U+E000. */
export function comesBefore(a: string, b: string): boolean {
  const end = Math.min(a.length, b.length)
  for (let i = 0; i < end; i++) {
    const [left, right] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (left !== right) return rank(left) < rank(right)
  }
  return a.length < b.length
}

/** Surrogates, which begin at U+D800, are moved behind all other units. */
function rank(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit
}
