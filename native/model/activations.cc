#include "model/activations.h"

#include <algorithm>

namespace embedcore {

LayerActivations place_layer(Layout& layout, const LayerSpec& spec, int64_t hidden, int64_t tokens, DType dtype,
                             Keep keep, View input, View output) {
  const bool keep_inputs = keep != Keep::kNothing, keep_all = keep == Keep::kAll;
  const bool norm_before = spec.norm_first && spec.attention_norm;
  const int64_t up_width = spec.gated ? 2 * spec.intermediate : spec.intermediate;

  LayerActivations at;
  at.input = input;
  at.output = output;
  View normed;  // shared by both norms of a pre-norm layer unless kept
  if (spec.norm_first) normed = layout.rows(tokens, hidden, dtype);
  at.attention_input = norm_before ? normed : input;
  at.qkv = layout.rows(tokens, spec.qkv_width(), dtype);
  at.context = layout.rows(tokens, spec.heads * spec.head_dim, dtype);

  at.attended = keep_inputs ? layout.rows(tokens, hidden) : input;
  at.attention_sum = keep_all && !spec.norm_first ? layout.rows(tokens, hidden) : at.attended;
  if (!spec.norm_first)
    at.mlp_input = at.attended;
  else
    at.mlp_input = keep_inputs && norm_before ? layout.rows(tokens, hidden, dtype) : normed;
  at.mlp_sum = keep_all && !spec.norm_first ? layout.rows(tokens, hidden) : output;

  at.mlp_rows = keep_all ? tokens : std::min(tokens, kMlpRows);
  if (keep_all) {
    at.up = layout.rows(at.mlp_rows, up_width, dtype);
    at.intermediate = layout.rows(at.mlp_rows, spec.intermediate, dtype);
    at.lse = layout.array<float>(spec.heads * tokens);
    at.attention_mean = layout.array<float>(tokens);
    at.attention_rstd = layout.array<float>(tokens);
    at.mlp_mean = layout.array<float>(tokens);
    at.mlp_rstd = layout.array<float>(tokens);
  } else {
    at.intermediate = layout.rows(at.mlp_rows, up_width, dtype);
  }
  return at;
}

}  // namespace embedcore
