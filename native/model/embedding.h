// The sum of the embedding tables of a model's input.
#pragma once

#include <vector>

#include "model/batch.h"
#include "model/config.h"
#include "ops/embed.h"

namespace embedcore {

// hidden [tokens, config.hidden] = the rows of config.input.tables, summed in their order; `tables` holds their rows.
void embed_tables(const Backend& backend, Stream& stream, const ModelConfig& config,
                  const std::vector<EmbedTable>& tables, const Batch& batch, const View& hidden);

}  // namespace embedcore
