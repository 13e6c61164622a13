/**
 * Operations of a forward pass that a matrix unit must do: linear layers and attention products, a multiply and an add
 * counted as two. Norms, activations, softmax, lookups and tokenising are not counted, so they lower the share of the
 * limit.
 */

/** Of one token in all linear layers. */
export function linearFlops(config) {
  const { hidden_size: h, intermediate_size: i, num_hidden_layers: layers } = config
  if (config.model_type === 'bert') return 2 * layers * (4 * h * h + 2 * h * i)
  const kv = (h / config.num_attention_heads) * config.num_key_value_heads
  return 2 * layers * (2 * h * h + 2 * h * kv + 3 * h * i)
}

/**
 * Of one text of n tokens in attention: n^2 scores and n^2 weighted sums; a causal mask needs only the pairs it allows.
 */
export function attentionFlops(config, n) {
  const pairs = config.model_type === 'bert' ? n * n : (n * (n + 1)) / 2
  return 4 * config.num_hidden_layers * config.hidden_size * pairs
}

/** Mean over a set of texts, per token. */
export function flopsPerToken(config, tokenCounts) {
  const tokens = tokenCounts.reduce((a, b) => a + b, 0)
  const attention = tokenCounts.reduce((sum, n) => sum + attentionFlops(config, n), 0)
  return linearFlops(config) + attention / tokens
}

/** Of one token in the two thin products beside each linear layer of a BERT, with LoRA of this rank. */
export function loraFlops(config, rank) {
  const { hidden_size: h, intermediate_size: i, num_hidden_layers: layers } = config
  return 2 * layers * rank * (4 * (h + h) + 2 * (h + i))
}

/**
 * Of the forward and backward pass over texts, for method `full`: three times the forward pass, because each product
 * has two in the backward pass, the gradients of both of its operands. With LoRA the frozen weights have no gradient:
 * twice the linear layers, three times attention and the thin products. What is computed again (gradient caching,
 * recomputation, scores of attention) is not counted.
 */
export function trainingFlops(config, tokenCounts, lora) {
  const tokens = tokenCounts.reduce((a, b) => a + b, 0)
  const attention = tokenCounts.reduce((sum, n) => sum + attentionFlops(config, n), 0)
  const linear = linearFlops(config)
  return lora
    ? (2 * linear + 3 * loraFlops(config, lora.rank)) * tokens + 3 * attention
    : 3 * (linear * tokens + attention)
}
