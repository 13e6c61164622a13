// What orders an access with those before it: the decisions behind access.h that are not the usual case.
#pragma once

#include <string>

#include "emulator/access.h"

#define EMULATED_INSIDE inline __attribute__((always_inline))

namespace embedcore::cuda::emulator {

constexpr Record kWithoutClock = ~(kClockMask << kClockShift);  // epoch, flags and thread

// What is wrong with an access.
enum class Verdict { kRight, kUninitialised, kInFlight, kAfterWrite, kAfterRead, kOverlap, kBarrier, kStillRead };

// One access, and what decides about it.
struct Context {
  Thread& me;
  BlockCheck& check;
  const Shadow& shadow;
  bool global;
  uint32_t low, high;  // records of epochs in [low, high) came before
  Record mine;
};

EMULATED_INSIDE Context context_of(Thread& me, bool global) {
  BlockCheck& check = *me.block->check;
  const Record mine = check.stamp[me.warp->index] | static_cast<Record>(me.index);
  if (!global) return {me, check, check.shared, false, check.first_epoch, check.epoch, mine};
  const LaunchCheck& launch = *check.launch;
  const bool overlaps = launch.previous_epoch != 0 && !check.waited[me.index];
  return {me, check, check.device->shadow, true, 1, overlaps ? launch.previous_epoch : launch.first_epoch, mine};
}

// Bytes that all have these two records, which change. `offset` is that of the first one.
Verdict slow_read(const Context& context, Record write, Record& read, size_t offset);
Verdict slow_write(const Context& context, Record& write, Record& read, size_t offset, bool atomic);

[[noreturn]] void report(const Context& context, Verdict verdict, size_t offset, int bytes, Access access,
                         const void* site);
// " (norm.cu:12)", or nothing.
std::string place_in_brackets(int32_t site);
const char* verb(Access access);

// Several records at once.
typedef Record FourRecords __attribute__((vector_size(32), aligned(8), may_alias));

template <int kWords>
EMULATED_INSIDE bool all_equal(const Record* records) {
  if constexpr (kWords == 2) return records[0] == records[1];
  const Record first = records[0];
  const FourRecords all = {first, first, first, first};
  const FourRecords different = *reinterpret_cast<const FourRecords*>(records) ^ all;
  return (different[0] | different[1] | different[2] | different[3]) == 0;
}

template <int kWords>
EMULATED_INSIDE void set_all(Record* records, Record value) {
  if constexpr (kWords == 4) {
    const FourRecords all = {value, value, value, value};
    *reinterpret_cast<FourRecords*>(records) = all;
  } else {
    for (int i = 0; i < kWords; ++i) records[i] = value;
  }
}

}  // namespace embedcore::cuda::emulator
