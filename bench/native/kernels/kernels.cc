// Times the kernels of the CPU backend one by one, in turn with what the machine can do: prints a line of JSON for each
// case. bench/kernels.mjs builds, runs and reads it.
//
//   kernels THREADS [REPEATS [SECONDS [GROUPS]]]      GROUPS: of linear,attention,elementwise (default all)
//
// EMBEDCORE_CPU_ISA chooses the instruction set, as everywhere.
#include <cstdlib>
#include <cstring>
#include <exception>

#include "cases.h"
#include "cpu/dispatch.h"

namespace {

void run_all(int threads, const embedcore::bench::Settings& settings, const char* groups) {
  using namespace embedcore;
  const Backend& backend = default_cpu_backend();
  bench::Team team(threads);
  std::printf("{\"backend\":\"%s\"}\n", backend.name);
  const bench::Context context{backend, team, settings, {DType::kF32, DType::kBF16, DType::kI8}};
  if (std::strstr(groups, "linear")) bench::linear_cases(context);
  if (std::strstr(groups, "attention")) bench::attention_cases(context);
  if (std::strstr(groups, "elementwise")) bench::elementwise_cases(context);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 0;
  embedcore::bench::Settings settings;
  if (argc > 2) settings.repeats = std::atoi(argv[2]);
  if (argc > 3) settings.seconds = std::atof(argv[3]);
  if (threads < 1 || threads > 4096 || settings.repeats < 1 || !(settings.seconds > 0)) {
    std::fprintf(stderr, "usage: kernels THREADS [REPEATS [SECONDS [GROUPS]]], all numbers above 0\n");
    return 2;
  }
  try {
    run_all(threads, settings, argc > 4 ? argv[4] : "linear,attention,elementwise");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernels: %s\n", error.what());
    return 1;
  }
  return 0;
}
