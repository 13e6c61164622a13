// Planted bugs of accesses to shared and to device memory.
#include "planted.h"

#ifdef EMBEDCORE_EMULATED_CHECKED

namespace embedcore::cuda {

namespace {

GPU uint32_t* word(uint32_t index) { return shared_at<uint32_t>(4 * index); }

// --- registers ---

template <bool kBug>
struct ArrayOverrun {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    uint32_t values[4] = {}, sum = 0;
    const int last = static_cast<int>(in[thread]) - thread + 2;  // 3, which the compiler does not know
    for (int i = 0; i <= last + (kBug ? 1 : 0); ++i) sum += values[i] += in[thread];
    out[thread] = sum;
  }
};
TEST(PlantedMemory, IndexBeyondRegisters) { test_planted<ArrayOverrun>({"index 4 is outside of an array"}); }

template <bool kBug>
struct ArrayUnderrun {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    uint32_t values[4] = {};
    const int first = static_cast<int>(in[thread]) - thread - (kBug ? 2 : 1);
    for (int i = first; i < 4; ++i) values[i] += in[thread];
    out[thread] = values[0];
  }
};
TEST(PlantedMemory, IndexBeforeRegisters) { test_planted<ArrayUnderrun>({"index -1 is outside of an array"}); }

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
TEST(PlantedMemory, UninitialisedShared) { test_planted<UninitialisedShared>({"which was never written"}); }

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
TEST(PlantedMemory, SharedMemoryOfAnotherBlock) {
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
TEST(PlantedMemory, SharedMemoryOverrun) { test_planted<ArenaOverrun>({"beyond the 128 bytes of shared memory"}); }

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
TEST(PlantedMemory, BeforeSharedMemory) { test_planted<ArenaUnderrun>({"before the start of shared memory"}); }

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
TEST(PlantedMemory, TwoThreadsWriteOneByte) { test_planted<Bytes>({"writes 1 bytes at the shared offset"}); }

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
TEST(PlantedMemory, MisalignedMatrixRow) { test_planted<MisalignedMatrix>({"lane 5 gives ldmatrix the offset 88"}); }

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
TEST(PlantedMemory, MatrixLoadedBeforeTheBarrier) {
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
TEST(PlantedMemory, ReadPastTheEnd) {
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
TEST(PlantedMemory, WritePastTheEnd) {
  test_planted<WritePastTheEnd>({"past the end of an allocation of 68 bytes"}, {.words = 17});
}

template <bool kBug>
struct FarOutside {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) { out[thread] = in[thread - (kBug ? 5000 : 0)]; }
};
TEST(PlantedMemory, ReadFarBeforeTheStart) { test_planted<FarOutside>({"reads 4 bytes at"}); }

template <bool kBug>
struct NullPointer {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const uint32_t* from = kBug ? nullptr : in;
    out[thread] = load_cached(from + thread);
  }
};
TEST(PlantedMemory, NullPointer) { test_planted<NullPointer>({"a null pointer"}); }

uint32_t host_words[32];

template <bool kBug>
struct HostPointer {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    out[thread] = kBug ? host_words[thread] : in[thread];
  }
};
TEST(PlantedMemory, HostPointer) {
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
TEST(PlantedMemory, UninitialisedGlobal) { test_planted<UninitialisedGlobal>({"which was never written"}); }

template <bool kBug>
struct Unaligned {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const Vector16 value = load16(in + 4 * thread + (kBug ? 2 : 0));
    out[thread] = value.word[0];
  }
};
TEST(PlantedMemory, UnalignedVector) { test_planted<Unaligned>({"which is not 16-byte aligned"}); }

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
TEST(PlantedMemory, UnalignedCast) { test_planted<UnalignedCast>({"which is not 4-byte aligned"}); }

template <bool kBug>
struct TwoBlocksWrite {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 0;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    const int first = static_cast<int>(block_index()) * (kBug ? 31 : 32);
    out[first + thread] = in[thread];
  }
};
TEST(PlantedMemory, TwoBlocksWriteOneWord) { test_planted<TwoBlocksWrite>({"of another block"}, {.blocks = 4}); }

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
TEST(PlantedMemory, TwoBlocksWriteOneElement) { test_planted<TwoBlocksInAWord>({"of another block"}, {.blocks = 4}); }

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
TEST(PlantedMemory, ABlockReadsWhatAnotherWrites) {
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
TEST(PlantedMemory, LastBlockWithoutAFence) {
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
TEST(PlantedMemory, PlainReadBesideAtomics) { test_planted<PlainBesideAtomic>({"nothing orders the two"}); }

template <bool kBug>
struct ReadOnlyCache {
  static constexpr int kWarps = 1;
  static constexpr size_t kShared = 128;
  GPU static void run(const uint32_t* in, uint32_t* out, int thread) {
    *word(static_cast<uint32_t>(thread)) = in[thread];
    out[thread] = load_cached(kBug ? word(static_cast<uint32_t>(thread)) : in + thread);
  }
};
TEST(PlantedMemory, SharedMemoryThroughTheReadOnlyCache) { test_planted<ReadOnlyCache>({"is shared memory"}); }

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
TEST(PlantedMemory, WritingAConstant) { test_planted<WrittenArguments>({"writes 4 bytes at"}); }

}  // namespace

}  // namespace embedcore::cuda

#endif
