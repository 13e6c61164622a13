#include "emulator/device.h"

namespace embedcore::cuda::emulator {

namespace {

constexpr Card kCards[] = {
    {75, "T4", 4ull << 20, 64 << 10, 64 << 10},      {80, "A100", 40ull << 20, 163 << 10, 164 << 10},
    {86, "A10", 6ull << 20, 99 << 10, 100 << 10},    {89, "L4", 48ull << 20, 99 << 10, 100 << 10},
    {90, "H100", 50ull << 20, 227 << 10, 228 << 10}, {100, "B200", 126ull << 20, 227 << 10, 228 << 10},
};

}  // namespace

const Card& card_of(int architecture) {
  for (const Card& card : kCards)
    if (card.architecture == architecture) return card;
  return kCards[1];
}

}  // namespace embedcore::cuda::emulator
