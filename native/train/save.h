// Files of a trainer: trained tensors by their names, with or without the rest of the model, and the state of a run.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "train/trainer.h"

namespace embedcore {

struct SavedTensor {
  bool of_head = false;
  std::string name;  // in its block
  std::string as;    // in the file
};

struct SaveOptions {
  std::string path;
  std::vector<SavedTensor> tensors;
  // The directory of the transformer: all of its tensors are written, in their dtype, those in `tensors` with the
  // trained values. Empty: `tensors` alone, in float32.
  std::string rest_of;
  bool merged = false;   // LoRA parts are added to their matrices; only with rest_of
  bool average = false;  // the moving average of the weights
  std::map<std::string, std::string> metadata;
};

// Throws Error.
void save_tensors(Trainer& trainer, OpenStream& stream, const SaveOptions& options);

// Values, moments, averages, learned scales and the number of steps, in float32 and float64: a run goes on from them
// with the same bits.
void write_state(Trainer& trainer, OpenStream& stream, const std::string& path);
// Throws Error(kInvalidFile), Error(kMissingTensor), Error(kShapeMismatch), Error(kNonFinite); the trainer is then as
// it was.
void read_state(Trainer& trainer, OpenStream& stream, const std::string& path);

}  // namespace embedcore
