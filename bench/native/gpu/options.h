// The command line of the GPU bench.
#pragma once

#include <string>
#include <vector>

#include "base/dtype.h"

namespace embedcore::gpu_bench {

struct Options {
  std::string mode;
  std::string backend = "cuda";  // "cpu", "reference", or the path of a backend's library
  std::string golden;            // directory of test/golden/models
  std::string folder = "/tmp";   // for generated models
  std::vector<std::string> models;
  std::vector<DType> dtypes = {DType::kBF16, DType::kF16, DType::kI8};
  int threads = 1;      // of the processor, for host backends
  double seconds = 60;  // no case begins later than this
  bool tiny = false;    // shapes and counts for a machine without a GPU
  bool latency = true;  // of encode: single queries too
  int64_t tokens = 0;   // of a batch; 0 = 65,536, or 300 if tiny
  int64_t batch_tokens() const { return tokens > 0 ? tokens : tiny ? 300 : 65536; }
  bool wants(const std::string& model) const;
};

// Throws std::invalid_argument with a sentence.
Options parse(int argc, char** argv);

extern const char* const kUsage;

}  // namespace embedcore::gpu_bench
