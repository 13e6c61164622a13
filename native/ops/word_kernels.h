// The inner steps of Word2Vec training, a table for each instruction set (cpu/word_kernels.cc) and one in float64
// (reference/word_kernels.cc).
//
// Rows have `width` floats, a multiple of kRowFloats; those past a vector's dimension are 0 and stay 0. Rows are
// aligned to 64 bytes.
//
// Data races. Threads train the same rows without locks (Hogwild, Recht et al. 2011): a row may be read while another
// thread writes it, and an update may be lost. All such accesses are in these functions. They are loads and stores of
// whole float32 vectors, each lane of which is aligned, so on every supported processor a lane has a value that some
// thread wrote. They are not atomic in the sense of C++, and this one file per instruction set is compiled without the
// thread sanitizer's instrumentation (CMakeLists.txt). With one thread there are no races, and results are the same
// from run to run.
#pragma once

#include <cstdint>

namespace embedcore {

constexpr int64_t kRowFloats = 16;
constexpr int64_t kMostTargets = 256;

struct WordKernels {
  // One step of binary logistic regression of `count` <= kMostTargets rows v_j on h:
  //   g_j = (label_j - 1 / (1 + exp(-h . v_j))) * rate   for all j, before any row changes
  //   e   = sum_j g_j v_j,  v_j += g_j h                 one j after the other, so a row may come twice
  // e and h are not among the rows. Returns -sum_j log(label_j == 1 ? sigmoid(h . v_j) : 1 - sigmoid(h . v_j)) where
  // it is wanted, else 0.
  float (*step)(const float* h, float* const* rows, const float* labels, int64_t count, float rate, float* e,
                int64_t width, bool want_loss);
  // to = factor * sum_j rows_j
  void (*gather)(float* const* rows, int64_t count, float factor, float* to, int64_t width);
  // rows_j += factor * e, one j after the other
  void (*scatter)(float* const* rows, int64_t count, float factor, const float* e, int64_t width);
};

extern const WordKernels kReferenceWordKernels;

}  // namespace embedcore
