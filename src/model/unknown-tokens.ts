/** The tokens of one call that the tokenizer does not know, counted text by text. */
import { allocate } from '../core/memory.js'

export class UnknownTokens {
  /** Unknown tokens of each text. */
  readonly counts: Int32Array
  /** Number of texts whose tokens are all unknown. */
  private lost = 0
  private firstLost = Infinity

  constructor(texts: number) {
    this.counts = allocate(texts, Int32Array)
  }

  /** `all`: whether all tokens of the text are unknown. */
  add(text: number, count: number, all: boolean): void {
    this.counts[text] = count
    if (!all) return
    this.lost++
    this.firstLost = Math.min(this.firstLost, text)
  }

  /**
   * Warns of texts whose tokens are all unknown; false if there is none. `start`: the caller's number for the first
   * text counted here.
   */
  warn(model: string, start = 0): boolean {
    if (this.lost === 0) return false
    const number = start + this.firstLost
    const [texts, first] =
      this.lost === 1
        ? [`text ${number} has`, '']
        : [`${this.lost} of ${this.counts.length} texts have`, ` (the first is text ${number})`]
    process.emitWarning(
      `${texts} only tokens that the tokenizer of ${model} does not know${first}: ` +
        'their vectors say nothing about them. Use a model that was trained on their language',
      { code: 'EMBEDCORE_UNKNOWN_TEXT' },
    )
    return true
  }
}
