/**
 * An order that is planned for a whole epoch: all its batches, one after the other, from the facts of the rows. A plan
 * depends on seed and epoch alone, so a position in it is enough to resume.
 */
import { setImmediate } from 'node:timers/promises'
import type { OrderSettings, OrderState, Picked, RowOrder, Unused } from './row-order.js'

export interface Plan {
  /** Rows of the batches, one batch after the other. */
  rows: Uint32Array
  /** [batches + 1]: batch i is rows[starts[i] .. starts[i + 1]). */
  starts: Uint32Array
  unused: Unused[]
}

/** Pieces of work of a planner; it yields where the event loop may take its turn. */
export type Planner = (settings: OrderSettings, epoch: number) => Generator<void, Plan, undefined>

/** How long a planner works before it waits for the next turn of the event loop. */
const TURN_MS = 5

export class PlannedOrder implements RowOrder {
  private plan: Plan | null = null
  private planned = -1
  private epoch = 0
  private position = 0

  private constructor(
    private readonly settings: OrderSettings,
    private readonly planner: Planner,
  ) {}

  /** The first epoch is planned at once, so that its batches are known. */
  static async create(settings: OrderSettings, planner: Planner): Promise<PlannedOrder> {
    const order = new PlannedOrder(settings, planner)
    await order.start(0)
    return order
  }

  get batches(): number {
    return this.plan!.starts.length - 1
  }

  get unused(): readonly Unused[] {
    return this.plan!.unused
  }

  async start(epoch: number): Promise<void> {
    this.epoch = epoch
    this.position = 0
    if (this.planned === epoch) return
    const work = this.planner(this.settings, epoch)
    let began = performance.now()
    for (;;) {
      const step = work.next()
      if (step.done === true) {
        this.plan = step.value
        break
      }
      if (performance.now() - began < TURN_MS) continue
      await setImmediate()
      began = performance.now()
    }
    this.planned = epoch
  }

  async next(): Promise<Picked | null> {
    const { rows, starts } = this.plan!
    if (this.position >= starts.length - 1) return null
    const [from, to] = [starts[this.position]!, starts[this.position + 1]!]
    this.position++
    return { rows: rows.slice(from, to), read: null }
  }

  state(): OrderState {
    return { epoch: this.epoch, position: this.position }
  }

  async restore({ epoch, position }: OrderState): Promise<void> {
    await this.start(epoch)
    this.position = position
  }
}

/** Collects the batches of a plan. */
export class PlanBuilder {
  private readonly rows: Uint32Array
  private readonly starts: number[] = [0]
  private length = 0

  constructor(mostRows: number) {
    this.rows = new Uint32Array(mostRows)
  }

  /** Rows in all batches. */
  get count(): number {
    return this.length
  }

  add(batch: ArrayLike<number>): void {
    this.rows.set(batch, this.length)
    this.length += batch.length
    this.starts.push(this.length)
  }

  finish(unused: readonly Unused[]): Plan {
    return {
      rows: this.rows.subarray(0, this.length),
      starts: Uint32Array.from(this.starts),
      unused: unused.filter(({ rows }) => rows > 0),
    }
  }
}

/** Rows by a number of theirs: those of number k are rows[starts[k] .. starts[k + 1]), in order. */
export function* groupRows(numbers: Int32Array): Generator<void, { rows: Uint32Array; starts: Uint32Array }> {
  let groups = 0
  for (let i = 0; i < numbers.length; i++) {
    if (numbers[i]! >= groups) groups = numbers[i]! + 1
    if (i % 65536 === 65535) yield
  }
  const starts = new Uint32Array(groups + 1)
  for (let i = 0; i < numbers.length; i++) {
    starts[numbers[i]! + 1]!++
    if (i % 65536 === 65535) yield
  }
  for (let k = 0; k < groups; k++) starts[k + 1]! += starts[k]!
  const next = starts.slice(0, groups)
  const rows = new Uint32Array(numbers.length)
  for (let i = 0; i < numbers.length; i++) {
    rows[next[numbers[i]!]!++] = i
    if (i % 65536 === 65535) yield
  }
  return { rows, starts }
}
