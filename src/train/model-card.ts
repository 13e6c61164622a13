/** README.md of a saved model: the model card, with the metadata and sections that sentence-transformers writes. */
import { packageVersion } from '../core/version.js'
import type { Layout } from './attention.js'
import type { Prepared } from './prepare.js'

export interface CardFacts {
  /** Of the saved weights; null = none were measured. */
  metrics: Readonly<Record<string, number>> | null
  steps: number
  /** Whether a PEFT adapter was saved. */
  adapter: boolean
  layout: Layout
}

export function modelCard(prepared: Prepared, { metrics, steps, adapter, layout }: CardFacts): string {
  const own = layout === 'embedcore'
  const { options, plan, stack, description, maxTokens, losses, data, attention } = prepared
  const hubId = /^[\w.-]+\/[\w.-]+$/.test(options.model) ? options.model : null
  const types = losses.map(({ type }) => type)
  const metadata = [
    `library_name: ${layout}`,
    'pipeline_tag: sentence-similarity',
    'tags:',
    ...(own ? [] : ['- sentence-transformers']),
    '- sentence-similarity',
    '- feature-extraction',
    '- generated_from_trainer',
    ...(plan.rows === null ? [] : [`- dataset_size:${plan.rows}`]),
    ...types.map((type) => `- loss:${type}`),
    ...(adapter ? ['- peft', '- lora'] : []),
    ...(hubId === null ? [] : [`base_model: ${hubId}`]),
    ...(metrics === null ? [] : ['metrics:', ...Object.keys(metrics).map((name) => `- ${withoutName(name)}`)]),
  ]
  const columns = data.sources.map(
    ({ name, format, rows }) =>
      `| ${cell(name)} | ${format.kind} | ${format.columns.join(', ')} | ${rows?.facts.count ?? 'a stream'} |`,
  )
  const settings: [string, unknown][] = [
    ['method', plan.method],
    ['batch_size', plan.batchSize],
    ['gradient_accumulation_steps', plan.gradientAccumulation],
    ['num_train_epochs', plan.epochs],
    ['max_steps', steps],
    ['learning_rate', plan.learningRate],
    ['lr_scheduler_type', plan.schedule],
    ['warmup_steps', plan.warmupSteps],
    ['weight_decay', options.weightDecay],
    ['max_grad_norm', options.maxGradNorm],
    ['batch_sampler', plan.sampler],
    ['dtype', plan.dtype],
    ['seed', options.seed],
    ...(attention.mixed ? [['attention', attention.layers.join(', ')] as [string, unknown]] : []),
  ]
  const kind = `${own ? 'An embedding' : 'A sentence-transformers'} model${adapter ? ' with a PEFT adapter' : ''}`
  return `---
${metadata.join('\n')}
---

# ${own ? 'Embedding model' : 'SentenceTransformer'}${hubId === null ? '' : ` based on ${hubId}`}

${kind}, trained with embedcore. It maps texts to
vectors of ${stack.dimension} dimensions, for semantic search, similarity, clustering and classification.

## Model Details

- **Base model:** ${hubId ?? 'a local directory'}
- **Maximum Sequence Length:** ${maxTokens ?? 'not limited'}${maxTokens === null ? '' : ' tokens'}
- **Output Dimensionality:** ${stack.dimension} dimensions
- **Similarity Function:** ${description.similarity}
- **Pooling:** ${stack.pooling.join(', ')}${stack.normalized ? ', normalized' : ''}
- **Trained parameters:** ${plan.trainedParameters} of ${plan.parameters}

## Usage

\`\`\`js
import { embedCore } from 'embedcore'

const model = await embedCore.load('path/of/this/directory')
const { data, shape } = await model.encode(['one text', 'another'])
\`\`\`
${own ? ONLY_HERE : IN_PYTHON}${
    metrics === null
      ? ''
      : `
## Evaluation

| Metric | Value |
|:---|---:|
${Object.entries(metrics)
  .map(([name, value]) => `| ${cell(name)} | ${Number.isFinite(value) ? value.toFixed(4) : 'not a number'} |`)
  .join('\n')}
`
  }
## Training Details

### Training Dataset

| Source | Kind | Columns | Rows |
|:---|:---|:---|---:|
${columns.join('\n')}

### Loss

\`\`\`json
${JSON.stringify(
  losses.map(({ raw }) => raw),
  null,
  2,
)}
\`\`\`

### Training Hyperparameters

${settings.map(([name, value]) => `- \`${name}\`: ${value ?? 'not set'}`).join('\n')}

### Framework Versions

- embedcore: ${packageVersion()}
- Node: ${process.versions.node}
`
}

const IN_PYTHON = `
\`\`\`python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/of/this/directory")
embeddings = model.encode(["one text", "another"])
\`\`\`
`

const ONLY_HERE = `
Other libraries cannot load it: what its layers compute is not in config.json alone, but also in \`embedcore.json\`.
`

/** A metric without the name of its evaluator, which the metadata do not have. */
function withoutName(metric: string): string {
  const parts = /(?:^|_)((?:cosine|dot|euclidean|manhattan|max|pearson|spearman|src2trg|trg2src|mean)_.*)$/.exec(metric)
  return parts?.[1] ?? metric
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replace(/\s+/g, ' ')
