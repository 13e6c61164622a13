// Faults of kernels: the fiber that touched a closed page reports it and its launch ends.
#include <csignal>
#include <cstdio>
#include <cstring>
#include <mutex>

#include <ucontext.h>
#include <unistd.h>

#include "emulator/block.h"
#include "emulator/memory.h"

namespace embedcore::cuda::emulator {

namespace {

struct sigaction earlier[2];  // of SIGSEGV and SIGBUS
thread_local constinit void* fault_address __attribute__((tls_model("initial-exec"))) = nullptr;

void continue_with_report() { report_fault(fault_address); }

void on_fault(int signal, siginfo_t* info, void* context) {
  if (current) {
    fault_address = info->si_addr;
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    // Below the red zone, aligned as at the entry of a function.
    registers.gregs[REG_RSP] = ((registers.gregs[REG_RSP] - 256) & ~15ll) - 8;
    registers.gregs[REG_RIP] = reinterpret_cast<greg_t>(continue_with_report);
#else
    registers.sp = (registers.sp - 256) & ~15ull;
    registers.pc = reinterpret_cast<uintptr_t>(continue_with_report);
#endif
    return;
  }
  for (int device = 0; device < kMaxDevices; ++device) {
    const DeviceMemory& memory = memory_of_device(device);
    if (!memory.base() || !memory.in_range(info->si_addr)) continue;
    constexpr char kSentence[] = "emulator: the host touched device memory\n";
    [[maybe_unused]] const auto written = ::write(2, kSentence, sizeof kSentence - 1);
  }
  ::sigaction(signal, &earlier[signal == SIGBUS], nullptr);  // the access is repeated and ends as it would have
}

}  // namespace

void catch_faults() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (int device = 0; device < kMaxDevices; ++device) memory_of_device(device);
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGSEGV, &action, &earlier[0]);
    ::sigaction(SIGBUS, &action, &earlier[1]);
  });
}

}  // namespace embedcore::cuda::emulator
