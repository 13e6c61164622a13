/**
 * What a card can do. `peak` (16-bit matrix products with float32 sums, no sparsity) and `bandwidth` are datasheet
 * figures. `products` is the part of the peak that long runs of large products keep, `copies` that of the bandwidth
 * that copies reach. They were measured where `measured` says so (8192 x 8192 x 8192 products of random bfloat16
 * numbers by PyTorch; device to device copies); elsewhere they are estimates, because these cards lower their clock
 * under a power limit of 72 to 150 W.
 */
export const CARDS = {
  a10: { title: 'A10', peak: 125e12, bandwidth: 600e9, multiprocessors: 72, products: 0.64, copies: 0.88 },
  l4: { title: 'L4', peak: 121e12, bandwidth: 300e9, multiprocessors: 58, products: 0.5, copies: 0.88 },
  a100: {
    title: 'A100 80 GB SXM',
    peak: 312e12,
    bandwidth: 2039e9,
    multiprocessors: 108,
    products: 0.83,
    copies: 0.88,
  },
  h100: {
    title: 'H100 SXM',
    peak: 989e12,
    bandwidth: 3350e9,
    multiprocessors: 132,
    products: 0.807,
    copies: 0.9,
    hopper: true,
    measured: true,
  },
  h200: {
    title: 'H200',
    peak: 989e12,
    bandwidth: 4800e9,
    multiprocessors: 132,
    products: 0.79,
    copies: 0.9,
    hopper: true,
    measured: true,
  },
}

/** Shapes of encoders: hidden width, feed-forward width, layers, heads, heads of keys, gated feed-forward, word table. */
export const SHAPES = {
  minilm: { title: 'MiniLM', hidden: 384, intermediate: 1536, layers: 6, heads: 12, kvHeads: 12, gated: false },
  'bert-base': {
    title: 'BERT-base',
    hidden: 768,
    intermediate: 3072,
    layers: 12,
    heads: 12,
    kvHeads: 12,
    gated: false,
  },
  'xlm-r-large': {
    title: 'XLM-R-large',
    hidden: 1024,
    intermediate: 4096,
    layers: 24,
    heads: 16,
    kvHeads: 16,
    gated: false,
  },
  'qwen2-0.5b': {
    title: 'Qwen2.5-0.5B',
    hidden: 896,
    intermediate: 4864,
    layers: 24,
    heads: 14,
    kvHeads: 2,
    gated: true,
  },
  'qwen2-7b': {
    title: 'Qwen2.5-7B',
    hidden: 3584,
    intermediate: 18944,
    layers: 28,
    heads: 28,
    kvHeads: 4,
    gated: true,
  },
}
