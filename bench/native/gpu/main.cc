// Measures a backend on one device: its operations and whole models. Every case is a line of JSON on stdout.
// bench/gpu/run.sh calls it. Exit codes: 0, all is well; 1, a case failed; 2, the command line is wrong.
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>

#include "record.h"
#include "shapes.h"
#include "target.h"

namespace {

using namespace embedcore::gpu_bench;

int shapes_mode(const Options& options) {
  std::printf("%s\n", shapes_json(options.tiny, options.batch_tokens()).c_str());
  return 0;
}

constexpr struct {
  const char* name;
  int (*run)(const Options&);
} kModes[] = {{"device", device_mode}, {"shapes", shapes_mode},       {"golden", golden_mode},
              {"linear", linear_mode}, {"attention", attention_mode}, {"encode", encode_mode}};

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse(argc, argv);
    for (const auto& mode : kModes)
      if (options.mode == mode.name) return mode.run(options) > 0 ? 1 : 0;
    throw std::invalid_argument("there is no mode \"" + options.mode + "\"");
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "embedcore_gpu: %s\n%s", error.what(), kUsage);
    return 2;
  } catch (const std::exception& error) {
    Record().text("error", error.what()).print();
    std::fprintf(stderr, "embedcore_gpu: %s\n", error.what());
    return 1;
  }
}
