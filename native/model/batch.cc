#include "model/batch.h"

#include <algorithm>

#include "model/device.h"
#include "model/token_encoder.h"

namespace embedcore {

namespace {

// Room for one more without losing the doubling of push_back.
void reserve_more(std::vector<int32_t>& list, size_t more) {
  if (list.size() + more > list.capacity()) list.reserve(std::max(list.size() + more, 2 * list.capacity()));
}

}  // namespace

void BatchBuilder::clear() {
  ids_.clear();
  indices_.clear();
  offsets_.resize(1);  // never grows: it holds one entry at least
  skip_.clear();
  prefix_.clear();
  kept_.clear();
  longest_ = 0;
}

void BatchBuilder::add(std::span<const int32_t> ids, int32_t skip, int32_t prefix) {
  reserve_more(ids_, ids.size());
  for (std::vector<int32_t>* list : {&offsets_, &skip_, &prefix_}) reserve_more(*list, 1);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  offsets_.push_back(static_cast<int32_t>(ids_.size()));
  skip_.push_back(skip);
  prefix_.push_back(prefix);
  longest_ = std::max<int64_t>(longest_, static_cast<int64_t>(ids.size()));
}

size_t BatchBuilder::plan_ints(const Backend& backend) const {
  return backend.plan_attention ? static_cast<size_t>(backend.plan_attention(offsets_.data(), texts(), nullptr)) : 0;
}

size_t BatchBuilder::block_ints(const Backend& backend) const {
  return plan_ints(backend) + 2 * ids_.size() + offsets_.size() + 2 * skip_.size();
}

void BatchBuilder::place(Layout& layout, const Backend& backend) const {
  if (!backend.host_memory) layout.array<int32_t>(static_cast<int64_t>(block_ints(backend)));
}

Batch BatchBuilder::upload(Layout& layout, const TokenEncoder& encoder, Stream& stream) {
  return upload(
      layout, encoder.device().backend(),
      [&](std::span<const int32_t> ids, int32_t* indices) { encoder.write_indices(ids, indices); }, stream);
}

Batch BatchBuilder::upload(Layout& layout, const Backend& backend, const WriteIndices& write_indices, Stream& stream) {
  indices_.resize(ids_.size());
  for (size_t i = 0; i < skip_.size(); ++i) {
    const auto begin = static_cast<size_t>(offsets_[i]), end = static_cast<size_t>(offsets_[i + 1]);
    write_indices(std::span(ids_).subspan(begin, end - begin), indices_.data() + begin);
  }
  Batch batch{.texts = texts(), .tokens = tokens(), .longest = longest_};
  const std::vector<int32_t>* parts[] = {&ids_, &indices_, &offsets_, &skip_, &prefix_};
  const int32_t** arrays[] = {&batch.ids, &batch.indices, &batch.offsets, &batch.skip, &batch.prefix};
  if (backend.host_memory) {
    for (size_t i = 0; i < std::size(parts); ++i) *arrays[i] = parts[i]->data();
    return batch;
  }
  batch.kept = &kept_;
  const size_t plan = plan_ints(backend);
  block_.clear();
  block_.reserve(block_ints(backend));
  block_.resize(plan);  // first, where it is aligned
  if (plan > 0) backend.plan_attention(offsets_.data(), texts(), block_.data());
  for (const auto* part : parts) block_.insert(block_.end(), part->begin(), part->end());
  auto* block = layout.array<int32_t>(static_cast<int64_t>(block_.size()));
  check_status(backend.upload(stream, block, block_.data(), block_.size() * sizeof(int32_t)), stream, "an upload");
  if (plan > 0) {
    batch.plan = block;
    batch.host_plan = std::span(block_).first(plan);
  }
  block += plan;
  for (size_t i = 0; i < std::size(parts); ++i) {
    *arrays[i] = block;
    block += parts[i]->size();
  }
  return batch;
}

}  // namespace embedcore
