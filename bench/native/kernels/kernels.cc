// Times the kernels of the CPU backend one by one, in turn with the limits of the machine, and prints a line of JSON
// for each case. bench/kernels.mjs builds, runs and reads it.
//
//   kernels THREADS [REPEATS [SECONDS [GROUPS]]]      GROUPS: of linear,attention,elementwise,similarity,
//                                                     gradients,losses,training (default all)
//
// EMBEDCORE_CPU_ISA selects the instruction set.
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>

#include "cases.h"
#include "cpu/dispatch.h"

namespace {

void run_all(int threads, const embedcore::bench::Settings& settings, const char* groups) {
  using namespace embedcore;
  const Backend& backend = default_cpu_backend();
  bench::Team team(threads);
  std::printf("{\"backend\":\"%s\"}\n", backend.name);
  char message[160] = "";
  const std::unique_ptr<Device, void (*)(Device*)> device(backend.open_device(0, message, sizeof message),
                                                          backend.close_device);
  if (!device) throw std::runtime_error(message);
  const bench::Context context{.backend = backend,
                               .device = device.get(),
                               .team = team,
                               .settings = settings,
                               .dtypes = {DType::kF32, DType::kBF16, DType::kI8}};
  if (std::strstr(groups, "linear")) bench::linear_cases(context);
  if (std::strstr(groups, "training")) bench::linear_training_cases(context);
  if (std::strstr(groups, "attention")) bench::attention_cases(context);
  if (std::strstr(groups, "elementwise")) bench::elementwise_cases(context);
  if (std::strstr(groups, "similarity")) bench::similarity_cases(context);
  if (std::strstr(groups, "gradients")) bench::row_gradient_cases(context);
  if (std::strstr(groups, "losses")) bench::loss_cases(context);
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
    run_all(threads, settings,
            argc > 4 ? argv[4] : "linear,attention,elementwise,similarity,gradients,losses,training");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernels: %s\n", error.what());
    return 1;
  }
  return 0;
}
