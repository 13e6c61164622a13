// The texts of a step, and how they are cut. A step numbers its texts from 0; that number, and not the place of a text
// in a call, names it for dropout, so that every cut gives the same masks.
//
// Slabs are runs of whole texts of about slab_tokens tokens. They are cut by the texts alone, so that sums over rows,
// which go from slab to slab, do not depend on threads or on memory. On a host a slab is divided into groups, which
// threads carry through the layers in parallel; on a device a slab is one group.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/batch.h"
#include "model/config.h"
#include "model/device.h"
#include "ops/dropout.h"

namespace embedcore {

// Texts of a step in host memory: text i owns ids[offsets[i] .. offsets[i + 1]).
struct StepTexts {
  std::vector<int32_t> ids;
  std::vector<int32_t> offsets{0};
  std::vector<int32_t> skip, prefix;  // [texts] as in model/batch.h
  std::vector<int32_t> numbers;       // [texts] in the step; empty = from 0 on

  int64_t count() const { return static_cast<int64_t>(skip.size()); }
  int32_t number(int64_t i) const {
    return numbers.empty() ? static_cast<int32_t>(i) : numbers[static_cast<size_t>(i)];
  }
  std::span<const int32_t> text(int64_t i) const {
    const auto begin = static_cast<size_t>(offsets[static_cast<size_t>(i)]),
               end = static_cast<size_t>(offsets[static_cast<size_t>(i) + 1]);
    return std::span(ids).subspan(begin, end - begin);
  }
  void add(std::span<const int32_t> tokens, int32_t skipped = 0, int32_t seen = 0);
};

// Consecutive texts of a slab.
struct Group {
  int64_t first_row = 0, first_text = 0;  // in the slab
  BatchBuilder builder;
  Batch batch;  // after upload_slab
};

// The rows of one embedding table that a slab reads, for EmbedGradientArgs.
struct TableRows {
  std::vector<int32_t> rows, starts, tokens;  // in host memory
  const int32_t *device_rows = nullptr, *device_starts = nullptr, *device_tokens = nullptr;
};

struct Slab {
  int64_t first_text = 0, texts = 0, tokens = 0;
  std::vector<Group> groups;
  std::vector<RowKey> keys;  // [tokens], in host memory
  const RowKey* device_keys = nullptr;
  std::vector<TableRows> tables;  // one for each embedding table
};

struct SlabSizes {
  int64_t slab_tokens = 2048, group_tokens = 256;
  static SlabSizes of(const Backend& backend) { return of(backend.host_memory); }
  static SlabSizes of(bool host_memory);
};

// Cuts the texts into slabs. A text longer than a slab is one of its own. config: its tables give the rows of the
// positions. only_token: the one whose row is all that is trained of the table of tokens; it is then row 0 of
// TableRows. -1 = the table is trained as a whole, or not at all.
std::vector<Slab> cut_texts(const StepTexts& texts, const ModelConfig& config, const SlabSizes& sizes,
                            int64_t only_token = -1);

// Places what a slab needs on the device; does nothing where device memory is host memory.
void place_slab(Layout& layout, const Slab& slab, const Backend& backend);
// Brings a slab to the device. The slab must stay as it is until the stream has been waited for.
void upload_slab(Layout& layout, Slab& slab, const ModelConfig& config, const OpenDevice& device, Stream& stream);

}  // namespace embedcore
