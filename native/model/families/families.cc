#include "model/families/families.h"

namespace embedcore {

const std::vector<Family>& families() {
  static const std::vector<Family> list = {
      {{"bert"}, parse_bert},
      {{"roberta", "xlm-roberta", "camembert"}, parse_roberta},
      {{"distilbert"}, parse_distilbert},
      {{"mpnet"}, parse_mpnet},
      {{"modernbert"}, parse_modernbert},
      {{"qwen2"}, parse_qwen2},
      {{"qwen3"}, parse_qwen3},
      {{"llama"}, parse_llama},
      {{"mistral"}, parse_mistral},
  };
  return list;
}

}  // namespace embedcore
