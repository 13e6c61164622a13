/**
 * Writes the results of a run batch by batch in one of three formats.
 * - jsonl: text lines.
 * - npy: one matrix [rows, columns]; for token output also `<out>.counts.npy` (int32 tokens per text).
 * - f32: little-endian float32 without a header; `<out>.json` has shape and origin.
 *
 * The ranges of int8 and uint8 are written to `<out>.ranges.npy`. The additional files are renamed before the main
 * file, so if the main file exists, all do.
 */
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import type { OutputMode, Precision } from '../../core/names.js'
import { OutputError } from '../failures.js'
import { isTokenOutput, jsonLines, type Results } from './jsonl.js'
import { littleEndianBytes, NPY_HEADER_BYTES, NPY_TYPES, npyHeader, type NpyType } from './npy.js'
import { FileSink, StreamSink, type Sink } from './sink.js'

export const FORMATS = ['jsonl', 'npy', 'f32'] as const
export type Format = (typeof FORMATS)[number]

export interface WriterOptions {
  format: Format
  /** Path; null = standard output. */
  out: string | null
  stdout: Writable
  precision: Precision
  output: OutputMode
}

export interface ResultWriter {
  /** Rows and columns so far; columns are known from the first batch on. */
  readonly shape: readonly [number, number]
  write(results: Results): Promise<void>
  /** `origin` goes into the header of f32; `ranges` are those of int8 and uint8. */
  finish(origin: object, ranges: Float32Array | null): Promise<void>
  discard(): Promise<void>
}

export async function openWriter(options: WriterOptions): Promise<ResultWriter> {
  const { format, out, stdout } = options
  const sinks: FileSink[] = []
  try {
    const companion = async (suffix: string) => {
      const sink = await FileSink.open(`${out}${suffix}`)
      sinks.push(sink)
      return sink
    }
    // The header of npy has the row count, which is known only at the end. If the output is not a file, the rows are
    // kept in a temporary file until then.
    const main =
      out !== null
        ? await FileSink.open(out)
        : format === 'npy'
          ? await FileSink.open(join(tmpdir(), `embedcore-${randomUUID()}`), 0o600)
          : new StreamSink(stdout)
    if (main instanceof FileSink) sinks.push(main)
    const ranges =
      out !== null && (options.precision === 'int8' || options.precision === 'uint8')
        ? await companion('.ranges.npy')
        : null
    if (format === 'jsonl') return new JsonlWriter(main, ranges, sinks)
    if (format === 'f32') return new FloatWriter(main, out === null ? null : await companion('.json'), sinks)
    const counts = options.output === 'token' ? await companion('.counts.npy') : null
    return new NpyWriter(
      main as FileSink,
      out === null ? new StreamSink(stdout) : null,
      NPY_TYPES[options.precision],
      ranges,
      counts,
      sinks,
    )
  } catch (error) {
    for (const sink of sinks) await sink.discard()
    throw error
  }
}

abstract class Writer implements ResultWriter {
  #rows = 0
  #columns = 0

  constructor(
    protected readonly main: Sink,
    protected readonly rangesFile: FileSink | null,
    readonly files: readonly FileSink[],
  ) {}

  get shape(): readonly [number, number] {
    return [this.#rows, this.#columns]
  }

  async write(results: Results): Promise<void> {
    const [rows, columns] = results.embeddings.shape
    if (this.#rows > 0 && columns !== this.#columns)
      throw new OutputError(`vectors of ${columns} columns after vectors of ${this.#columns}`)
    this.#rows += rows
    this.#columns = columns
    await this.put(results)
  }

  async finish(origin: object, ranges: Float32Array | null): Promise<void> {
    if (this.rangesFile !== null) {
      if (ranges === null) await this.rangesFile.discard()
      else {
        await this.rangesFile.write(npyHeader('<f4', [2, ranges.length / 2]))
        await this.rangesFile.write(littleEndianBytes(ranges))
        await this.rangesFile.commit()
      }
    }
    await this.close(origin)
    await this.main.commit()
  }

  async discard(): Promise<void> {
    for (const file of this.files) await file.discard()
  }

  protected abstract put(results: Results): Promise<void>
  protected async close(_origin: object): Promise<void> {}
}

class JsonlWriter extends Writer {
  protected override async put(results: Results): Promise<void> {
    if (results.texts.length > 0) await this.main.write(jsonLines(results))
  }
}

class FloatWriter extends Writer {
  readonly #header: FileSink | null

  constructor(main: Sink, header: FileSink | null, files: readonly FileSink[]) {
    super(main, null, files)
    this.#header = header
  }

  protected override async put({ embeddings }: Results): Promise<void> {
    if (embeddings.data.length > 0) await this.main.write(littleEndianBytes(embeddings.data))
  }

  protected override async close(origin: object): Promise<void> {
    const header = { shape: this.shape, dtype: 'float32', byteOrder: 'little', order: 'C', ...origin }
    await this.#header?.write(`${JSON.stringify(header, null, 2)}\n`)
    await this.#header?.commit()
  }
}

class NpyWriter extends Writer {
  #texts = 0
  #begun = false

  constructor(
    readonly file: FileSink,
    /** The stream that a temporary file is copied to; null if the file itself is the output. */
    readonly destination: StreamSink | null,
    readonly type: NpyType,
    ranges: FileSink | null,
    readonly counts: FileSink | null,
    files: readonly FileSink[],
  ) {
    super(file, ranges, files)
  }

  protected override async put({ texts, embeddings }: Results): Promise<void> {
    if (!this.#begun) {
      this.#begun = true
      await this.file.write(new Uint8Array(NPY_HEADER_BYTES))
      await this.counts?.write(new Uint8Array(NPY_HEADER_BYTES))
    }
    this.#texts += texts.length
    if (embeddings.data.length > 0) await this.file.write(littleEndianBytes(embeddings.data))
    if (this.counts !== null && isTokenOutput(embeddings))
      await this.counts.write(littleEndianBytes(embeddings.tokenCounts))
  }

  protected override async close(): Promise<void> {
    await this.counts?.patch(npyHeader('<i4', [this.#texts]))
    await this.counts?.commit()
    await this.file.patch(npyHeader(this.type, this.shape))
    if (this.destination === null) return
    const piece = Buffer.allocUnsafe(2 ** 18)
    for (let at = 0; ;) {
      const { bytesRead } = await this.file.handle.read(piece, 0, piece.length, at)
      if (bytesRead === 0) break
      await this.destination.write(piece.subarray(0, bytesRead))
      at += bytesRead
    }
  }

  override async finish(origin: object, ranges: Float32Array | null): Promise<void> {
    if (this.destination === null) return super.finish(origin, ranges)
    await this.close()
    await this.discard()
  }
}
