// Planted bugs of barriers, of warps, and of asynchronous copies.
#include "planted.h"

#ifdef EMBEDCORE_EMULATED_CHECKED

namespace embedcore::cuda {

namespace {

GPU uint32_t* word(uint32_t index) { return shared_at<uint32_t>(4 * index); }

// --- barriers ---

template <bool kBug>
struct MissingBarrier {
  static constexpr int kWarps = 4;
  static constexpr size_t kShared = 512;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    *word(static_cast<uint32_t>(thread)) = in[thread];
    if (!kBug) sync_block();
    out[thread] = *word(static_cast<uint32_t>((thread + 32) % 128));
  }
};
// The word of the next warp was written and not yet read, or not even written.
TEST(PlantedOrder, MissingBarrier) {
  test_planted<MissingBarrier>({"nothing orders the two", "which was never written"});
}

// The second barrier, which keeps the next round from overwriting what others still read.
template <bool kBug>
struct MissingSecondBarrier {
  static constexpr int kWarps = 2;
  static constexpr size_t kShared = 256;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    uint32_t sum = 0;
    for (int round = 0; round < 3; ++round) {
      *word(static_cast<uint32_t>(thread)) = in[thread + round];
      sync_block();
      sum += *word(static_cast<uint32_t>(63 - thread));
      if (!kBug) sync_block();
    }
    out[thread] = sum;
  }
};
TEST(PlantedOrder, MissingSecondBarrier) { test_planted<MissingSecondBarrier>({"nothing orders the two"}); }

template <bool kBug>
struct DivergentBarrier {
  static constexpr int kWarps = 2;
  static constexpr size_t kShared = 256;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    *word(static_cast<uint32_t>(thread)) = in[thread];
    if (!kBug || thread < 40) sync_block();
    out[thread] = *word(static_cast<uint32_t>(thread));
  }
};
TEST(PlantedOrder, DivergentBarrier) { test_planted<DivergentBarrier>({"waits in sync_block"}); }

template <bool kBug>
struct NamedBarrierCount {
  static constexpr int kWarps = 3;
  static constexpr size_t kShared = 256;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    if (thread < 64) {
      *word(static_cast<uint32_t>(thread)) = in[thread];
      sync_named(2, kBug ? 96 : 64);
      out[thread] = *word(static_cast<uint32_t>((thread + 32) % 64));
    }
  }
};
TEST(PlantedOrder, NamedBarrierWithAWrongCount) {
  test_planted<NamedBarrierCount>({"waits at the named barrier 2, where 64 of 96 threads have arrived"});
}

template <bool kBug>
struct NamedBarrierCounts {
  static constexpr int kWarps = 2;
  static constexpr size_t kShared = 256;
  GPU static void run(const uint32_t*, uint32_t* out, int thread) {
    sync_named(2, kBug && thread >= 32 ? 32 : 64);
    out[thread] = 1;
  }
};
TEST(PlantedOrder, NamedBarrierWithTwoCounts) {
  test_planted<NamedBarrierCounts>({"while others wait at it for", "at the named barrier 2, where 32 of 64"});
}

// A warp gives words to another one through a named barrier.
template <bool kBug>
struct Handover {
  static constexpr int kWarps = 2;
  static constexpr size_t kShared = 128;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const uint32_t lane = static_cast<uint32_t>(lane_index());
    for (int round = 0; round < 4; ++round) {
      if (thread < 32) {
        *word(lane) = in[thread + round];
        arrive_named(1, 64);
        if (!kBug) sync_named(2, 64);  // until the others have read
      } else {
        sync_named(1, 64);
        out[64 * round + thread] = *word(31 - lane);
        if (!kBug) arrive_named(2, 64);
      }
    }
  }
};
TEST(PlantedOrder, HandoverWithoutTheWayBack) {
  test_planted<Handover>({"nothing orders the two", "at the named barrier 1, where 32 of 64"});
}

// --- warps ---

template <bool kBug>
struct MissingSyncWarp {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 128;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    *word(static_cast<uint32_t>(thread)) = in[thread];
    if (kBug) {
      shuffle(in[thread], 0);  // orders nothing
    } else {
      sync_warp();
    }
    out[thread] = *word(static_cast<uint32_t>(31 - thread));
  }
};
TEST(PlantedOrder, RaceInsideAWarp) { test_planted<MissingSyncWarp>({"which thread"}); }

template <bool kBug>
struct DivergentShuffle {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    uint32_t value = in[thread];
    if (!kBug || thread < 20) value += shuffle_xor(value, 1);
    out[thread] = value;
  }
};
TEST(PlantedOrder, DivergentShuffle) {
  test_planted<DivergentShuffle>({"each waits in a shuffle for the other lanes of its warp"});
}

template <bool kBug>
struct DifferentOperations {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const uint32_t value = in[thread];
    if (kBug && thread % 2 == 0) {
      out[thread] = ballot(value > 3);
    } else {
      out[thread] = shuffle(value, 3);
    }
  }
};
TEST(PlantedOrder, DifferentOperations) {
  test_planted<DifferentOperations>({"the lanes of a warp must call it together"});
}

// --- asynchronous copies ---

template <int kWait, bool kLate, bool kTwoBuffers>
GPU void pipeline(const uint32_t* in, uint32_t* out, int thread) {
  // Three stages of 512 bytes; every thread copies 16 bytes and reads those of another.
  constexpr int kSteps = 8, kStages = kTwoBuffers ? 2 : 3;
  auto load = [&](int step) {
    if (step < kSteps)
      copy_async16(static_cast<uint32_t>(step % kStages * 512 + thread * 16), in + step * 128 + thread * 4, 16);
    copy_async_commit();
  };
  uint32_t sum = 0;
  load(0);
  load(1);
  for (int step = 0; step < kSteps; ++step) {
    copy_async_wait<kWait>();
    sync_warp();
    if (!kLate) load(step + 2);
    sum += *word(static_cast<uint32_t>(step % kStages * 128 + (31 - thread) * 4));
    if (kLate) load(step + 2);
  }
  copy_async_wait<0>();
  out[thread] = sum;
}

template <bool kBug>
struct WaitCount {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 1536;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    pipeline<kBug ? 2 : 1, false, false>(in, out, thread);
  }
};
TEST(PlantedOrder, WaitCountOffByOne) { test_planted<WaitCount>({"where an asynchronous copy of thread"}); }

template <bool kBug>
struct OverwrittenStage {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 1536;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    // With two stages the copy of step + 2 goes where others still read.
    pipeline<1, true, kBug>(in, out, thread);
  }
};
TEST(PlantedOrder, CopyIntoAStageThatIsStillRead) {
  test_planted<OverwrittenStage>({"nothing orders the two", "where an asynchronous copy of thread"});
}

template <bool kBug>
struct Uncommitted {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 512;
  GPU static void run(const uint32_t* in, uint32_t*, int thread) {
    copy_async16(static_cast<uint32_t>(16 * thread), in + 4 * thread, 16);
    if (!kBug) copy_async_commit();
  }
};
TEST(PlantedOrder, UncommittedCopy) { test_planted<Uncommitted>({"were not committed"}); }

template <bool kBug>
struct CopyOutOfBounds {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 512;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    // The last rows do not exist: nothing may be read there.
    const int bytes = kBug || thread < 25 ? 16 : 0;
    copy_async16(static_cast<uint32_t>(16 * thread), in + (kBug || thread < 25 ? 4 * thread : 0), bytes);
    copy_async_commit();
    copy_async_wait<0>();
    out[thread] = *word(static_cast<uint32_t>(4 * thread));
  }
};
TEST(PlantedOrder, CopyOfRowsThatDoNotExist) {
  test_planted<CopyOutOfBounds>({"past the end of an allocation of 400 bytes"}, {.words = 100});
}

template <bool kBug>
struct NewInstruction {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const uint32_t a[4] = {in[thread], 0, 0, 0}, b[2] = {0, 0};
    float c[4] = {1, 1, 1, 1};
    if (kBug) {
      mma_16816<bf16>(c, a, b);
    } else {
      const uint32_t half_a[2] = {0, 0}, half_b[1] = {0};
      mma_1688_f16(c, half_a, half_b);
    }
    out[thread] = static_cast<uint32_t>(c[0]);
  }
};
TEST(PlantedOrder, InstructionOfALaterArchitecture) {
  test_planted<NewInstruction>({"exists from sm_80 on, and sm_75 is emulated"}, {.architecture = 75});
}

}  // namespace

}  // namespace embedcore::cuda

#endif
