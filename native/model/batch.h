// A packed batch: whole texts one after the other, without padding. Text i owns tokens offsets[i] .. offsets[i + 1).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/workspace.h"

namespace embedcore {

class AdapterWeights;
class TokenEncoder;

// Writes Batch::indices of one text.
using WriteIndices = std::function<void(std::span<const int32_t> ids, int32_t* indices)>;

// The batch for operations: the arrays are device memory, the counts are host values.
struct Batch {
  const int32_t* ids = nullptr;      // [tokens]
  const int32_t* indices = nullptr;  // [tokens]: positions of a transformer, table rows of a static model
  const int32_t* offsets = nullptr;  // [texts + 1], offsets[0] = 0
  const int32_t* skip = nullptr;     // [texts]: leading tokens that pooling leaves out
  const int32_t* prefix = nullptr;   // [texts]: leading tokens of a prefix mask
  // Of Backend::plan_attention, empty where there is none: on the device, and the same words in host memory.
  const int32_t* plan = nullptr;
  std::span<const int32_t> host_plan{};
  int64_t texts = 0, tokens = 0;
  int64_t longest = 0;                      // tokens of the longest text
  const AdapterWeights* adapter = nullptr;  // of the plan, held until the batch has run; null = none

  // Holds what operations read until the stream has been waited for; null on a host, where they have run when they
  // return.
  std::vector<std::shared_ptr<const void>>* kept = nullptr;
  void keep(std::shared_ptr<const void> object) const {
    if (kept && object) kept->push_back(std::move(object));
  }
};

// Packs texts on the host into one block: the plan of attention, ids, indices, offsets, skip, prefix. Its memory is
// kept for the next batch.
class BatchBuilder {
 public:
  void clear();
  // Throws std::bad_alloc; the batch is then as it was.
  void add(std::span<const int32_t> ids, int32_t skip, int32_t prefix);

  int64_t texts() const { return static_cast<int64_t>(skip_.size()); }
  int64_t tokens() const { return static_cast<int64_t>(ids_.size()); }
  int64_t longest() const { return longest_; }
  // Host memory: token offsets of the texts.
  const std::vector<int32_t>& offsets() const { return offsets_; }

  // Places the block on a device; does nothing if device memory is host memory.
  void place(Layout& layout, const Backend& backend) const;
  // The batch on the stream's device, its indices made by the encoder. On a host its arrays are the builder's own and
  // stay valid until the next clear() or add(); on a device the builder must stay as it is until wait().
  Batch upload(Layout& layout, const TokenEncoder& encoder, Stream& stream);
  Batch upload(Layout& layout, const Backend& backend, const WriteIndices& write_indices, Stream& stream);

 private:
  size_t plan_ints(const Backend& backend) const;
  size_t block_ints(const Backend& backend) const;

  std::vector<int32_t> ids_, indices_, offsets_{0}, skip_, prefix_;
  std::vector<int32_t> block_;  // uploaded as a whole
  std::vector<std::shared_ptr<const void>> kept_;
  int64_t longest_ = 0;
};

}  // namespace embedcore
