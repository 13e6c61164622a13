// One function per family: config.json -> ModelConfig. To add a family: a file here, a line in families.cc and its keys
// in keys.cc.
#pragma once

#include "model/config.h"

namespace embedcore {

struct Family {
  std::vector<std::string> model_types;  // config.json "model_type"
  ModelConfig (*parse)(const Json& config);
};

const std::vector<Family>& families();

ModelConfig parse_bert(const Json& config);
ModelConfig parse_roberta(const Json& config);
ModelConfig parse_distilbert(const Json& config);
ModelConfig parse_mpnet(const Json& config);
ModelConfig parse_modernbert(const Json& config);
ModelConfig parse_qwen2(const Json& config);
ModelConfig parse_qwen3(const Json& config);
ModelConfig parse_llama(const Json& config);
ModelConfig parse_mistral(const Json& config);

}  // namespace embedcore
