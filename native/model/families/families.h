// One function a family: config.json -> ModelConfig. To add one: a file here, a line in families.cc.
#pragma once

#include "model/config.h"

namespace embedcore {

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
