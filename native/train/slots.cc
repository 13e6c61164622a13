#include "train/slots.h"

#include "ops/optimizer.h"

namespace embedcore {

std::vector<SlotRows> cut_rows(int64_t rows, int64_t slots) {
  std::vector<SlotRows> list;
  for (int64_t slot = 0; slot < slots; ++slot) {
    const int64_t begin = slot * rows / slots;
    list.push_back({begin, (slot + 1) * rows / slots - begin});
  }
  return list;
}

SlotSums::SlotSums(DevicePointer device, std::vector<const Parameters*> blocks, int64_t slots)
    : device_(std::move(device)), blocks_(std::move(blocks)), slots_(slots) {
  if (slots < 1)
    fail(Code::kInvalidOption, "Expected at least one slot of gradients but received %lld",
         static_cast<long long>(slots));
  if (slots == 1) return;
  for (int64_t slot = 0; slot < slots; ++slot) {
    auto& sums = sums_.emplace_back();
    for (const Parameters* block : blocks_) sums.push_back(std::make_unique<Parameters>(block->shared_list(), device_));
  }
}

void SlotSums::begin(Stream& stream, int64_t slot) {
  if (sums_.empty()) return;
  for (size_t i = 0; i < blocks_.size(); ++i)
    copy_floats(device_->backend(), stream, sums_[static_cast<size_t>(slot)][i]->data(), blocks_[i]->data(),
                blocks_[i]->list().elements());
}

void SlotSums::end(Stream& stream, int64_t slot) {
  if (sums_.empty()) return;
  for (size_t i = 0; i < blocks_.size(); ++i)
    copy_floats(device_->backend(), stream, blocks_[i]->data(), sums_[static_cast<size_t>(slot)][i]->data(),
                blocks_[i]->list().elements());
}

void SlotSums::add_up(Stream& stream) {
  if (sums_.empty()) return;
  begin(stream, 0);
  for (size_t slot = 1; slot < sums_.size(); ++slot)
    for (size_t i = 0; i < blocks_.size(); ++i)
      check_status(device_->backend().axpby(stream, {.x = sums_[slot][i]->data(),
                                                     .y = blocks_[i]->data(),
                                                     .elements = blocks_[i]->list().elements(),
                                                     .alpha = 1,
                                                     .beta = 1}),
                   stream, "axpby");
}

void SlotSums::clear(Stream& stream) {
  for (const auto& sums : sums_)
    for (const auto& sum : sums)
      check_status(device_->backend().axpby(stream, {.y = sum->data(), .elements = sum->list().elements(), .beta = 0}),
                   stream, "axpby");
}

}  // namespace embedcore
