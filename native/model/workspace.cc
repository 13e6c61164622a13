#include "model/workspace.h"

#include <new>

namespace embedcore {

void Workspace::Free::operator()(float* block) const { ::operator delete[](block, std::align_val_t{64}); }

void Workspace::reset(size_t floats) {
  used_ = 0;
  // One very long text must not pin its memory for ever: a block eight times larger than asked for is given back.
  if (floats <= capacity_ && (capacity_ <= (size_t{1} << 22) || floats >= capacity_ / 8)) return;
  block_.reset();
  capacity_ = 0;
  const size_t rounded = floats + floats / 8 + 16;
  block_.reset(static_cast<float*>(::operator new[](rounded * sizeof(float), std::align_val_t{64})));
  capacity_ = rounded;
}

float* Workspace::cut(int64_t floats) {
  float* start = block_.get() + used_;
  used_ += size_of(floats);
  return start;
}

}  // namespace embedcore
