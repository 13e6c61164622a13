// At least one planted bug of every kind that the checked build knows.
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
TEST(Planted, MissingBarrier) { test_planted<MissingBarrier>({"nothing orders the two", "which was never written"}); }

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
TEST(Planted, MissingSecondBarrier) { test_planted<MissingSecondBarrier>({"nothing orders the two"}); }

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
TEST(Planted, DivergentBarrier) { test_planted<DivergentBarrier>({"waits in sync_block"}); }

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
TEST(Planted, NamedBarrierWithAWrongCount) {
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
TEST(Planted, NamedBarrierWithTwoCounts) {
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
TEST(Planted, HandoverWithoutTheWayBack) {
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
TEST(Planted, RaceInsideAWarp) { test_planted<MissingSyncWarp>({"which thread"}); }

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
TEST(Planted, DivergentShuffle) {
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
TEST(Planted, DifferentOperations) { test_planted<DifferentOperations>({"the lanes of a warp must call it together"}); }

// --- shared memory ---

template <bool kBug>
struct UninitialisedShared {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 256;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    *word(static_cast<uint32_t>(2 * thread)) = in[thread];
    if (!kBug) *word(static_cast<uint32_t>(2 * thread + 1)) = 0;
    out[thread] = *word(static_cast<uint32_t>(2 * thread)) + *word(static_cast<uint32_t>(2 * thread + 1));
  }
};
TEST(Planted, UninitialisedShared) { test_planted<UninitialisedShared>({"which was never written"}); }

// What another block left there does not count.
template <bool kBug>
struct LeftByAnotherBlock {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 128;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    if (!kBug || block_index() % 2 == 0) *word(static_cast<uint32_t>(thread)) = in[thread];
    out[static_cast<int>(block_index()) * 32 + thread] = *word(static_cast<uint32_t>(thread));
  }
};
TEST(Planted, SharedMemoryOfAnotherBlock) {
  test_planted<LeftByAnotherBlock>({"which was never written"}, {.blocks = 8});
}

template <bool kBug>
struct ArenaOverrun {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 128;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    *word(static_cast<uint32_t>(thread + (kBug ? 1 : 0))) = in[thread];
    out[thread] = *word(static_cast<uint32_t>(thread + (kBug ? 1 : 0)));
  }
};
TEST(Planted, SharedMemoryOverrun) { test_planted<ArenaOverrun>({"beyond the 128 bytes of shared memory"}); }

template <bool kBug>
struct ArenaUnderrun {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 128;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    uint32_t* at = word(static_cast<uint32_t>(thread)) - (kBug ? 1 : 0);
    *at = in[thread];
    out[thread] = *at;
  }
};
TEST(Planted, BeforeSharedMemory) { test_planted<ArenaUnderrun>({"before the start of shared memory"}); }

// Two threads write one byte; the twin writes neighbouring bytes of one word, which is right.
template <bool kBug>
struct Bytes {
  static constexpr int kWarps = 2;
  static constexpr size_t kShared = 64;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    *shared_at<uint8_t>(static_cast<uint32_t>(kBug ? thread / 2 : thread)) = static_cast<uint8_t>(in[thread]);
    sync_block();
    if (!kBug) out[thread] = *shared_at<uint8_t>(static_cast<uint32_t>(63 - thread));
    if (thread < 16) out[64 + thread] = *word(static_cast<uint32_t>(thread % 8));
  }
};
TEST(Planted, TwoThreadsWriteOneByte) { test_planted<Bytes>({"writes 1 bytes at the shared offset"}); }

template <bool kBug>
struct MisalignedMatrix {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 1024;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    for (uint32_t i = static_cast<uint32_t>(thread); i < 256; i += 32) *word(i) = in[i];
    sync_warp();
    uint32_t r[4];
    ldmatrix4(r, static_cast<uint32_t>(16 * thread + (kBug && thread == 5 ? 8 : 0)));
    out[thread] = r[0] + r[1] + r[2] + r[3];
  }
};
TEST(Planted, MisalignedMatrixRow) { test_planted<MisalignedMatrix>({"lane 5 gives ldmatrix the offset 88"}); }

template <bool kBug>
struct MatrixBeforeBarrier {
  static constexpr int kWarps = 2;
  static constexpr size_t kShared = 1024;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    for (uint32_t i = static_cast<uint32_t>(thread); i < 256; i += 64) *word(i) = in[i];
    if (kBug) {
      sync_warp();
    } else {
      sync_block();
    }
    uint32_t r[4];
    ldmatrix4(r, static_cast<uint32_t>(16 * ((thread + 32) % 64)));
    out[thread] = r[0];
  }
};
TEST(Planted, MatrixLoadedBeforeTheBarrier) {
  test_planted<MatrixBeforeBarrier>({"nothing orders the two", "which was never written"});
}

// --- device memory ---

template <bool kBug>
struct ReadPastTheEnd {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    uint32_t sum = 0;
    for (int i = thread; i < (kBug ? 104 : 99); i += 32) sum += i < 99 || kBug ? in[i] : 0;
    out[thread] = sum;
  }
};
TEST(Planted, ReadPastTheEnd) {
  test_planted<ReadPastTheEnd>({"past the end of an allocation of 396 bytes"}, {.words = 99});
}

template <bool kBug>
struct WritePastTheEnd {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    if (kBug || thread < 17) out[thread] = in[thread % 17];
  }
};
TEST(Planted, WritePastTheEnd) {
  test_planted<WritePastTheEnd>({"past the end of an allocation of 68 bytes"}, {.words = 17});
}

template <bool kBug>
struct FarOutside {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) { out[thread] = in[thread - (kBug ? 5000 : 0)]; }
};
TEST(Planted, ReadFarBeforeTheStart) { test_planted<FarOutside>({"reads 4 bytes at"}); }

template <bool kBug>
struct NullPointer {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const uint32_t* from = kBug ? nullptr : in;
    out[thread] = load_cached(from + thread);
  }
};
TEST(Planted, NullPointer) { test_planted<NullPointer>({"a null pointer"}); }

uint32_t host_words[32];

template <bool kBug>
struct HostPointer {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    out[thread] = kBug ? host_words[thread] : in[thread];
  }
};
TEST(Planted, HostPointer) {
  host_words[0] = 1;
  test_planted<HostPointer>({"which is not memory of the device"});
}

template <bool kBug>
struct UninitialisedGlobal {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    if (!kBug || thread != 3) out[thread] = in[thread];
    sync_warp();
    out[32 + thread] = out[31 - thread];
  }
};
TEST(Planted, UninitialisedGlobal) { test_planted<UninitialisedGlobal>({"which was never written"}); }

template <bool kBug>
struct Unaligned {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const Vector16 value = load16(in + 4 * thread + (kBug ? 2 : 0));
    out[thread] = value.word[0];
  }
};
TEST(Planted, UnalignedVector) { test_planted<Unaligned>({"which is not 16-byte aligned"}); }

// A cast to a wider type, without the launch layer's functions.
template <bool kBug>
struct UnalignedCast {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const auto* halves = reinterpret_cast<const uint16_t*>(in) + 2 * thread + (kBug ? 1 : 0);
    out[thread] = *reinterpret_cast<const uint32_t*>(halves);
  }
};
TEST(Planted, UnalignedCast) { test_planted<UnalignedCast>({"which is not 4-byte aligned"}); }

template <bool kBug>
struct TwoBlocksWrite {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const int first = static_cast<int>(block_index()) * (kBug ? 31 : 32);
    out[first + thread] = in[thread];
  }
};
TEST(Planted, TwoBlocksWriteOneWord) { test_planted<TwoBlocksWrite>({"of another block"}, {.blocks = 4}); }

// Rows of an odd number of 16-bit elements: neighbouring blocks share a word, but no byte.
template <bool kBug>
struct TwoBlocksInAWord {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const int width = kBug ? 30 : 31;
    if (thread < 31)
      reinterpret_cast<uint16_t*>(out)[static_cast<int>(block_index()) * width + thread] =
          static_cast<uint16_t>(in[thread]);
  }
};
TEST(Planted, TwoBlocksWriteOneElement) { test_planted<TwoBlocksInAWord>({"of another block"}, {.blocks = 4}); }

template <bool kBug>
struct ReadOfAnotherBlock {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const int block = static_cast<int>(block_index());
    const uint32_t earlier = out[32 * (kBug ? 0 : block) + thread];
    sync_warp();
    out[32 * block + thread] = in[thread] + earlier;
  }
};
TEST(Planted, ABlockReadsWhatAnotherWrites) {
  test_planted<ReadOfAnotherBlock>({"nothing orders the two"}, {.blocks = 4, .clear_out = true});
}

// The last block to finish adds up what the others wrote: right if every block fences before it counts.
template <bool kBug>
struct LastBlockSums {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 4;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    out[32 * (2 + block_index()) + static_cast<uint32_t>(thread)] = in[thread];
    if (!kBug) fence_device();
    sync_block();
    if (thread == 0) *word(0) = atomic_add(out, 1);
    sync_block();
    if (*word(0) != grid_size() - 1) return;
    uint32_t sum = 0;
    for (uint32_t block = 0; block < grid_size(); ++block) sum += out[32 * (2 + block) + static_cast<uint32_t>(thread)];
    out[32 + thread] = sum;
  }
};
TEST(Planted, LastBlockWithoutAFence) {
  test_planted<LastBlockSums>({"of another block"}, {.blocks = 4, .clear_out = true});
}

template <bool kBug>
struct PlainBesideAtomic {
  static constexpr int kWarps = 2;
  static constexpr size_t kShared = 4;
  GPU static void run(const uint32_t*, uint32_t* out, int thread) {
    if (thread == 0) *word(0) = 0;
    sync_block();
    atomic_add(word(0), 1);
    if (!kBug) sync_block();
    out[thread] = *word(0);
  }
};
TEST(Planted, PlainReadBesideAtomics) { test_planted<PlainBesideAtomic>({"nothing orders the two"}); }

template <bool kBug>
struct ReadOnlyCache {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 128;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    *word(static_cast<uint32_t>(thread)) = in[thread];
    out[thread] = load_cached(kBug ? word(static_cast<uint32_t>(thread)) : in + thread);
  }
};
TEST(Planted, SharedMemoryThroughTheReadOnlyCache) { test_planted<ReadOnlyCache>({"is shared memory"}); }

template <bool kBug>
struct WrittenArguments {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    static constexpr uint32_t kTable[4] = {3, 1, 4, 1};  // constants are not device memory and may be read
    uint32_t own[4] = {1, 2, 3, 4};
    uint32_t* to = kBug ? const_cast<uint32_t*>(kTable) : own;
    to[in[thread] % 4] = in[thread];
    out[thread] = own[in[thread] % 4] + kTable[in[thread] % 4];
  }
};
TEST(Planted, WritingAConstant) { test_planted<WrittenArguments>({"writes 4 bytes at"}); }

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
TEST(Planted, WaitCountOffByOne) { test_planted<WaitCount>({"where an asynchronous copy of thread"}); }

template <bool kBug>
struct OverwrittenStage {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 1536;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    // With two stages the copy of step + 2 goes where others still read.
    pipeline<1, true, kBug>(in, out, thread);
  }
};
TEST(Planted, CopyIntoAStageThatIsStillRead) {
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
TEST(Planted, UncommittedCopy) { test_planted<Uncommitted>({"were not committed"}); }

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
TEST(Planted, CopyOfRowsThatDoNotExist) {
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
TEST(Planted, InstructionOfALaterArchitecture) {
  test_planted<NewInstruction>({"exists from sm_80 on, and sm_75 is emulated"}, {.architecture = 75});
}

}  // namespace

}  // namespace embedcore::cuda

#endif
