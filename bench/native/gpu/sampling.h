// Times calls of operations on a stream.
#pragma once

#include <functional>

#include "model/device.h"
#include "options.h"

namespace embedcore::gpu_bench {

struct Timing {
  double median = 0, least = 0, most = 0;  // seconds of a call
  int calls = 0;                           // of a sample
  int samples = 0;
  bool recorded = false;  // the calls of a sample were launched as one graph
};

struct Sampling {
  int samples;
  double least_seconds;  // of a sample

  explicit Sampling(bool tiny) : samples(tiny ? 3 : 20), least_seconds(tiny ? 0 : 0.001) {}
};

double median(std::vector<double> values);

// A sample is a number of calls and one wait for them. Calls number 0, 1, 2, ... `cycle` calls use different memory,
// and a sample has a whole number of cycles. Where the backend can record work, a sample is launched as one graph: the
// time is that of the device, and not that of the host that gives it work. Throws Error.
Timing measure(OpenStream& stream, const Sampling& sampling, int cycle,
               const std::function<Status(Stream&, int)>& call);

}  // namespace embedcore::gpu_bench
