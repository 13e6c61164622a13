// Cases and their timing: every repeat runs all cases of a group in turn, so that a busy moment of the machine affects
// all of them. The limits of the machine (limit_cases.h) are among these cases, so that a share compares measurements
// within milliseconds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "team.h"

namespace embedcore::bench {

// The description of a case, as JSON without braces: "kernel":"linear","rows":16
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

struct Sample {
  double seconds;  // a call
  double lost;     // largest part of the sample for which a thread had no core

  bool clean() const { return lost < 0.01; }
};

struct Case {
  Fields fields;
  bool all_threads;
  std::function<void(Stream&)> call;
  double work = 0;                // of a call, counted as its reference counts
  int reference = -1;             // index of the case whose rate of work is the limit of this one's; -1: none
  int repeated = 0;               // samples thrown away
  std::vector<Sample> samples{};  // one a repeat
};

struct Settings {
  int repeats = 7;
  double seconds = 0.004;  // least length of a sample; a call is never cut
};

double now();

// Times the cases and prints a line of JSON for each.
void run(std::vector<Case>& cases, Team& team, const Settings& settings);

}  // namespace embedcore::bench
