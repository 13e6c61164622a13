// The row of the position table that each token of a text reads.
#pragma once

#include <cstdint>
#include <span>

#include "model/config.h"

namespace embedcore {

// Counts from 0, or as RoBERTa does (ModelConfig::padding_id). Writes one for each id.
inline void write_positions(const ModelConfig& config, std::span<const int32_t> ids, int32_t* positions) {
  int32_t next = 0;
  for (size_t t = 0; t < ids.size(); ++t) {
    if (config.padding_id < 0) {
      positions[t] = next++;
    } else {
      const bool padding = ids[t] == config.padding_id;
      positions[t] = static_cast<int32_t>(config.padding_id) + (padding ? 0 : ++next);
    }
  }
}

}  // namespace embedcore
