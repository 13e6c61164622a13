#include "options.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace embedcore::gpu_bench {

const char* const kUsage =
    "usage: embedcore_gpu MODE [options]\n"
    "  device      what the backend says about its device\n"
    "  shapes      the shapes and lengths of all modes, as JSON\n"
    "  golden      tiny models against their golden files and the reference backend\n"
    "  linear      linear layers of the models by number of rows\n"
    "  attention   attention by length of the texts\n"
    "  encode      whole models with random weights; single queries\n"
    "options\n"
    "  --backend cpu|reference|PATH   a backend's library has a slash in its PATH\n"
    "  --threads N     of the processor, for host backends (1)\n"
    "  --models A,B    of the shapes (all)\n"
    "  --dtypes A,B    of float32,bfloat16,float16,int8 (the last three)\n"
    "  --tokens N      of a batch (65536)\n"
    "  --seconds S     no case begins later (60)\n"
    "  --golden DIR    test/golden/models\n"
    "  --folder DIR    for generated models (/tmp)\n"
    "  --no-latency    encode without single queries\n"
    "  --tiny          small shapes and few samples, to try the program without a GPU\n";

namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

std::vector<DType> dtypes(const std::string& list) {
  std::vector<DType> found;
  for (const std::string& name : split(list)) {
    const DType known[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kI8};
    const auto* dtype =
        std::find_if(std::begin(known), std::end(known), [&](DType d) { return name == dtype_name(d); });
    if (dtype == std::end(known)) throw std::invalid_argument("--dtypes: there is no arithmetic \"" + name + "\"");
    found.push_back(*dtype);
  }
  return found;
}

double positive(const std::string& name, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end || !(value > 0) || value > 1e9)
    throw std::invalid_argument(name + " must be a number above 0 but is \"" + text + "\"");
  return value;
}

}  // namespace

bool Options::wants(const std::string& model) const {
  return models.empty() || std::find(models.begin(), models.end(), model) != models.end();
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--tiny") {
      options.tiny = true;
    } else if (name == "--no-latency") {
      options.latency = false;
    } else if (!name.starts_with("--")) {
      if (!options.mode.empty()) throw std::invalid_argument("there is one mode, but \"" + name + "\" is a second");
      options.mode = name;
    } else {
      if (i + 1 == argc) throw std::invalid_argument(name + " needs a value");
      const std::string value = argv[++i];
      if (name == "--backend")
        options.backend = value;
      else if (name == "--golden")
        options.golden = value;
      else if (name == "--folder")
        options.folder = value;
      else if (name == "--models")
        options.models = split(value);
      else if (name == "--dtypes")
        options.dtypes = dtypes(value);
      else if (name == "--threads")
        options.threads = static_cast<int>(positive(name, value));
      else if (name == "--seconds")
        options.seconds = positive(name, value);
      else if (name == "--tokens")
        options.tokens = static_cast<int64_t>(positive(name, value));
      else
        throw std::invalid_argument("there is no option " + name);
    }
  }
  if (options.mode.empty()) throw std::invalid_argument("a mode is missing");
  return options;
}

}  // namespace embedcore::gpu_bench
