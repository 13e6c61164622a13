// JavaScript values of src/core/training-binding.ts to C++ and back (binding/convert.h).
#pragma once

#include <napi.h>

#include <memory>
#include <optional>
#include <vector>

#include "model/plan.h"
#include "train/save.h"
#include "train/step_bytes.h"
#include "train/trainer.h"

namespace embedcore {

struct TrainerSource {
  std::string directory;
  std::vector<TrainedModule> modules;
  int threads = 1;
  WeightOptions weights;
  PlanOptions plan;
  std::vector<LossSpec> losses;
  TrainerOptions options;
};

TrainerSource to_trainer_source(Napi::Object from);
// Reads the weights. Throws Error.
std::unique_ptr<Trainer> make_trainer(const TrainerSource& source, DevicePointer device, const KeepLoading& keep);

StepTexts to_texts(Napi::Object from);
// Throws Error for an id outside the vocabulary or a text that is longer than the positions.
void check_texts(const StepTexts& texts, const ModelConfig& config);
// Tokens a text may have; 0 = no limit.
int64_t max_positions(const ModelConfig& config);
StepInput to_step(Napi::Object from);
Napi::Value to_object(Napi::Env env, const StepResult& result);
Napi::Value to_object(Napi::Env env, const StepBytes& bytes);
std::vector<LoraSpec> to_lora(Napi::Value list);
std::vector<ParameterGroup> to_groups(Napi::Object from, const char* key);
OptimizerSettings to_optimizer(Napi::Object from);
SaveOptions to_save(Napi::Object from);
std::vector<LossSpec> to_losses(Napi::Value list);  // convert_losses.cc

}  // namespace embedcore
