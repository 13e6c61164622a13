/** The help texts of the command and its subcommands: what each does, examples to copy, flags, exit codes. */
import type { Flags } from './arguments.js'
import { DOCTOR_COMMAND_FLAGS } from './doctor.js'
import { ENCODE_COMMAND_FLAGS } from './encode.js'
import { EVALUATE_COMMAND_FLAGS } from './evaluate-flags.js'
import { INFO_COMMAND_FLAGS } from './info.js'
import { MAP_COMMAND_FLAGS } from './map.js'
import { SIMILARITY_COMMAND_FLAGS } from './similarity.js'
import { STATIC_COMMAND_FLAGS } from './static.js'
import { TRAIN_COMMAND_FLAGS } from './train.js'

export const COMMANDS = [
  'encode',
  'similarity',
  'map',
  'evaluate',
  'train',
  'static',
  'info',
  'doctor',
  'help',
] as const
export type Command = (typeof COMMANDS)[number]

const EXIT_CODES = `Exit codes
  0    done (also when the reader of the output leaves early, as in "| head")
  1    failed: the model cannot be loaded or run, the output not be written, or a score is below
       --min-score or --baseline
  2    the command line is wrong
  3    the input is wrong: no such file, not UTF-8, malformed CSV or JSON, a text that cannot be encoded
  130  interrupted (Ctrl-C); unfinished files are removed
With --json an error is one line on stderr: {"error":{"code":"...","message":"..."}}.
`

const GENERAL = `embedcore: text embeddings inside Node, on this machine

Usage
  embedcore encode [TEXT ...]       vectors of texts
  embedcore similarity A B [C ...]  how near texts are to each other
  embedcore map --out FILE          texts as points on a page
  embedcore evaluate --task TASK    how good a model is on data with judgments; --run judges any search
  embedcore train --config FILE     a better model from your own data
  embedcore static ACTION           vectors of words: train, nearest, analogy
  embedcore info [MODEL]            what a model is
  embedcore doctor                  what runs here, and why the rest cannot
  embedcore help [COMMAND]          this, or all about one command
  embedcore --version

Begin with
  embedcore encode "a text"
  embedcore similarity "a red apple" "a green pear" "tax law"
  embedcore encode --model ./all-MiniLM-L6-v2 --file titles.csv --column title --format npy --out titles.npy

Without --model the built-in model is used: English, Chinese, Spanish and French, 256 dimensions, no network.
MODEL is a folder with a Hugging Face or sentence-transformers model, or a hub id as owner/name.

${EXIT_CODES}`

const ENCODE = `embedcore encode: vectors of texts

Usage
  embedcore encode [flags] TEXT ...
  embedcore encode [flags] --file FILE
  ... | embedcore encode [flags]

Examples
  embedcore encode "a text" "another"
  cat titles.txt | embedcore encode --format npy > titles.npy     a text a line
  embedcore encode --file shop.csv --column title --out shop.jsonl
  embedcore encode --file shop.csv --column 2 --header            the second column, first row left out
  embedcore encode --file docs.jsonl --field body --max-tokens 128
  embedcore encode -m BAAI/bge-small-zh-v1.5 --prompt-name query "苹果手机"
  embedcore encode -m ./bert --pooling mean --layers first-last "a text"
  embedcore encode -m ./bert --layers "4-8" --layer-fusion concat "a text"
  embedcore encode --dimensions 128 --precision int8 --format npy --out small.npy --file titles.txt
  embedcore encode -m ./bert --output token "one vector a token, with its place in the text"
  embedcore encode -- "-5 degrees"                                a text that begins with "-"

Input is read as a stream: files larger than memory are fine. The index in the output is the number of the text, from 0.
A line of a .txt file is a text even if empty; blank lines of jsonl, csv and tsv are passed over.
Columns of csv and tsv: --column NAME takes the first row for the header; --column 2 does not, unless --header is given;
without --column it is the column "text", or the only one.

Output
  jsonl  {"index":0,"text":"...","embedding":[...],"tokens":7,"omitted":0,"unknown":0} a line; "omitted" counts tokens
         cut off, "unknown" those the tokenizer does not know.
         Numbers have the fewest digits that read back as the same float32. With --output token:
         "ids", "pieces", "offsets" ([start, end) in UTF-16 units; special tokens [0,0]) and "embeddings".
  npy    NumPy matrix (float32, or int8 and uint8 by --precision; binary is packed int8, ubinary packed uint8).
         Token output has one row a token and the tokens of each text in OUT.counts.npy.
  f32    bare little-endian float32, row by row; with --out the shape and origin in OUT.json.
Results go to standard output or --out, everything else to stderr. --out appears when it is whole; a broken run leaves
nothing.
int8 and uint8 divide the range of each dimension, seen in the first --calibration texts, into 256 steps. With --out the
ranges are kept in OUT.ranges.npy: give them as --ranges for queries, so that both sides are comparable.
With --json the last line of stderr is
  {"summary":{"texts","tokens","truncated","omittedTokens","unknownTokens","seconds","loadSeconds","textsPerSecond",
    "tokensPerSecond","shape",...}}
`

const SIMILARITY = `embedcore similarity: how near texts are to each other

Usage
  embedcore similarity [flags] A B [C ...]      a table of every text against every other
  embedcore similarity [flags] --file PAIRS     one score a pair

Examples
  embedcore similarity "a red apple" "a green pear" "tax law"
  embedcore similarity --metric dot --json "a" "b"
  embedcore similarity --file pairs.csv                      columns 1 and 2, no header
  embedcore similarity --file pairs.csv --columns query,title
  embedcore similarity --file pairs.jsonl --columns a,b --json
  cut -f2,5 log.tsv | embedcore similarity --file - --input-format tsv

Pairs come out as score, tab, first text, tab, second text; with --json as {"index","a","b","score"} lines.
`

const MAP = `embedcore map: texts as points on a page

Usage
  embedcore map --out FILE [flags] --file TEXTS
  embedcore map --json [flags] TEXT ...

Examples
  embedcore map --file titles.txt --out titles.html
  embedcore map --file shop.csv --column title --label category --method umap -o shop.html
  embedcore map -m ./all-MiniLM-L6-v2 --file docs.jsonl --field body --label topic --json > points.jsonl
  cat titles.txt | embedcore map --max-points 2000 --out sample.html

pca keeps distances as they are, as far as two directions can; umap keeps neighbours together, and its distances between
groups say little. The page needs nothing else: the text under the pointer, a switch for each label, zoom by the wheel.
Of more than --max-points texts a random sample is drawn, and the page says so. The same --seed gives the same map.
`

const EVALUATE = `embedcore evaluate: how good a model is on data with judgments

Usage
  embedcore evaluate --task sts --data FILE [flags]         sentence1, sentence2, score
  embedcore evaluate --task triplet --data FILE [flags]     anchor, positive, negative
  embedcore evaluate --task bitext --data FILE [flags]      source_sentence, target_sentence
  embedcore evaluate --task retrieval --data DIR [flags]    a data set in the layout of BEIR
  embedcore evaluate --task retrieval --queries FILE --corpus FILE --relevant-docs FILE [flags]
  embedcore evaluate --task TASK --data PATH [flags]        the other tasks, see docs/evaluate.md
  embedcore evaluate --run FILE --qrels FILE [flags]        the results of any search, as trec_eval

Examples
  embedcore evaluate -m ./all-MiniLM-L6-v2 --task sts --data stsb-dev.csv --columns 1,2,3
  embedcore evaluate -m ./model --task sts --data dev.jsonl --precision int8 --dimensions 128
  embedcore evaluate -m ./model --task retrieval --data ./scifact --min-score 0.64       exit code 1 below it
  embedcore evaluate -m ./model --task retrieval --data ./scifact --split train --ndcg-at-k 10,100 --json
  embedcore evaluate -m ./model --task bitext --data en-fr.tsv --columns english,french
  embedcore evaluate -m ./model --task classification --data ./banking77 --json          splits train and test
  embedcore evaluate -m ./model --task retrieval --data ./shop --views language,popularity --intervals --html out.html
  embedcore evaluate --run bm25.trec --qrels qrels.txt --measures map,recip_rank,P_10,ndcg_cut_10 --json
  embedcore evaluate -m ./model --task sts --data dev.csv --write-baseline base.json
  embedcore evaluate -m ./new --task sts --data dev.csv --baseline base.json --max-drop 0.005

Files are .jsonl, .csv or .tsv, also with .gz, or .parquet.
Judgments are TREC qrels, or tables with query, document and grade.
Columns of csv and tsv by number (--columns 1,2,3) are those of files without a header.
Metrics have the names and values of sentence-transformers, with --run those of trec_eval. The score is the primary
metric, such as Spearman's correlation, the accuracy, or nDCG at the largest K.
With --json the result is one line:
  {"model","task","name","primaryMetric","score","metrics":{...},"rows","documents","texts","tokens","seconds"}
`

const TRAIN = `embedcore train: a better model from your own data

Usage
  embedcore train --model MODEL --data FILE --output DIR [flags]
  embedcore train --config run.json [flags]             or run.mjs, whose default export has the options

Examples
  embedcore train -m sentence-transformers/all-MiniLM-L6-v2 -d pairs.jsonl -o shop-model
  embedcore train -m ./model -d pairs.csv -o out --epochs 3 --batch-size 64 --dry-run      the plan alone
  embedcore train -m ./model -d pairs.jsonl -o out --method lora --rank 16
  embedcore train --config run.json --resume                 goes on where the run in its output stopped

Rows have the columns of sentence-transformers: anchor and positive (and negative), sentence1, sentence2 and score, or
sentence and label. Files are .jsonl, .csv, .tsv or .parquet. A config has the options of embedCore.train
(docs/training.md); flags take the place of its options. Paths in it are those of the folder where the command runs.
DIR gets the model, checkpoints, log.jsonl and report.html. Ctrl-C ends the run with a checkpoint.
With --json each event is one line on standard output, and the last line is the result.
`

const STATIC = `embedcore static: vectors of words

Usage
  embedcore static train CORPUS ... --out FILE [flags]      Word2Vec, with fastText's subwords if wanted
  embedcore static nearest FILE WORD ... [flags]            the nearest words of each word
  embedcore static analogy FILE A B C [flags]               A is to B as C is to ...

Examples
  embedcore static train wiki.txt --out vectors.txt --sg --window 8 --negative 10 --lowercase
  embedcore static train part-*.txt.gz -o cc.bin --format fasttext --sg --max-n 6
  embedcore static train zh.txt -o zh.txt.vec --tokenizer words       cuts Chinese into words
  embedcore static train wiki.txt -o vectors.bin --format word2vec-binary --checkpoint run.state --resume
  embedcore static nearest vectors.txt king 手机
  embedcore static analogy GoogleNews.bin man king woman

A corpus is a text file with a sentence a line; .gz and .br are unpacked. Names and defaults of the options are those of
gensim's Word2Vec (docs/static.md). Formats are found out when a file is read. Ctrl-C leaves the checkpoint.
With --json each event is one line on standard output, and the last line is the result.
`

const INFO = `embedcore info: what a model is

Usage
  embedcore info [flags] [MODEL]

Examples
  embedcore info                        the model that comes with the package
  embedcore info ./all-MiniLM-L6-v2
  embedcore info --json BAAI/bge-small-zh-v1.5
`

const DOCTOR = `embedcore doctor: what runs here, and why the rest cannot

Usage
  embedcore doctor [--json]

Looks at Node, the platform, the addon and its instruction sets, cores and control groups, the tokenizers package and
hub settings, then encodes one text with the built-in model. Exit code 0 when that works, else 1.
`

const HELP = `embedcore help: this, or all about one command

Usage
  embedcore help [COMMAND]

Commands: ${COMMANDS.join(', ')}
`

function flagList(flags: Flags): string {
  const heads = Object.entries(flags).map(
    ([name, { short, value }]) =>
      `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`,
  )
  const width = Math.max(...heads.map((head) => head.length))
  return `\nFlags\n${Object.values(flags)
    .map(({ help }, i) => `  ${heads[i]!.padEnd(width)}  ${help}\n`)
    .join('')}`
}

const PAGES: Readonly<Record<Command, readonly [string, Flags | null]>> = {
  encode: [ENCODE, ENCODE_COMMAND_FLAGS],
  similarity: [SIMILARITY, SIMILARITY_COMMAND_FLAGS],
  map: [MAP, MAP_COMMAND_FLAGS],
  evaluate: [EVALUATE, EVALUATE_COMMAND_FLAGS],
  train: [TRAIN, TRAIN_COMMAND_FLAGS],
  static: [STATIC, STATIC_COMMAND_FLAGS],
  info: [INFO, INFO_COMMAND_FLAGS],
  doctor: [DOCTOR, DOCTOR_COMMAND_FLAGS],
  help: [HELP, null],
}

export function helpText(command: Command | null): string {
  if (command === null) return GENERAL
  const [text, flags] = PAGES[command]
  return text + (flags === null ? '' : flagList(flags)) + (command === 'help' ? '' : `\n${EXIT_CODES}`)
}
