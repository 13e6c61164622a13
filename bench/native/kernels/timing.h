// Cases and their timing: every repeat runs all cases of a group in turn, so that a busy moment of the machine hits all of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "team.h"

namespace embedcore::bench {

// What a case is, as JSON without braces: "kernel":"linear","rows":16
class Fields {
 public:
  Fields& text(const char* name, const char* value) { return add(name, "\"" + std::string(value) + "\""); }
  Fields& number(const char* name, int64_t value) { return add(name, std::to_string(value)); }
  const std::string& json() const { return json_; }

 private:
  Fields& add(const char* name, const std::string& value) {
    json_ += (json_.empty() ? "\"" : ",\"") + std::string(name) + "\":" + value;
    return *this;
  }
  std::string json_;
};

struct Case {
  Fields fields;
  bool all_threads;
  std::function<void(Scope&)> call;
  std::vector<double> seconds_per_call{};  // one a repeat
};

struct Settings {
  int repeats = 7;
  double seconds = 0.004;  // least length of a sample; a call is never cut
};

double now();

// Median clock of the calling core in GHz, by a chain of additions that take one cycle each.
double measure_clock();

// Times the cases and prints a line of JSON for each.
void run(std::vector<Case>& cases, Team& team, const Settings& settings);

}  // namespace embedcore::bench
