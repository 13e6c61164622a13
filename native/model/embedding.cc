#include "model/embedding.h"

#include <algorithm>

#include "model/device.h"

namespace embedcore {

void embed_tables(const Backend& backend, Stream& stream, const ModelConfig& config,
                  const std::vector<EmbedTable>& tables, const Batch& batch, const View& hidden) {
  EmbedTable list[kMostEmbedTables];
  std::copy(tables.begin(), tables.end(), list);
  for (size_t i = 0; i < tables.size(); ++i) {
    const TableSpec::Index index = config.input.tables[i].index;
    if (index == TableSpec::Index::kToken) list[i].ids = batch.ids;
    if (index == TableSpec::Index::kPosition) list[i].ids = batch.indices;
  }
  check_status(backend.embed(stream, {.tables = list,
                                      .count = static_cast<int32_t>(tables.size()),
                                      .tokens = batch.tokens,
                                      .width = config.hidden,
                                      .y = hidden.floats(),
                                      .y_stride = hidden.stride}),
               stream, "embed");
}

}  // namespace embedcore
