// What the emulator found wrong. Reports go to stderr, are kept for tests, and end the launch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace embedcore::cuda::emulator {

// Keeps a sentence. Safe from every thread.
void add_report(std::string sentence);
// The reports since the last call.
std::vector<std::string> take_reports();
// Whether reports are also printed (yes).
void print_reports(bool yes);

// "file:line" of a return address if the build has line numbers, else "library+offset".
std::string place_of(const void* site);

std::string format(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace embedcore::cuda::emulator
