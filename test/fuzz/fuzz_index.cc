// base/safetensors.h, parse_shard_index: any text is refused, or every shard is a plain file name.
#include "base/safetensors.h"
#include "target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace embedcore;
  return run_parser({Code::kInvalidFile}, [&] {
    const auto shards = parse_shard_index(as_text(data, size), "fuzz.index.json");
    if (shards.empty()) finding("an index without shards was taken");
    for (const auto& [tensor, shard] : shards)
      if (shard.empty() || shard == "." || shard == ".." || shard.find('/') != shard.npos ||
          shard.find('\0') != shard.npos || shard == "model.safetensors.index.json")
        finding("a shard's name leads elsewhere:", shard.c_str());
  });
}
