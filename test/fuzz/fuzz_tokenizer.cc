// base/tokenizer_file.h: what is taken out of a text says the same as the document of the text.
#include "base/tokenizer_file.h"

#include <vector>

#include "base/json.h"
#include "target.h"

namespace embedcore {
namespace {

constexpr auto kLast = Json::Duplicates::kLastCounts;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t end; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1))
    lines.push_back(text.substr(0, end));
  if (!text.empty()) finding("the last line has no end");
  return lines;
}

int64_t largest_id(const Json& vocab) {
  if (vocab.is_array()) return static_cast<int64_t>(vocab.as_array().size()) - 1;
  int64_t largest = -1;
  for (const auto& [piece, id] : vocab.as_object()) largest = std::max(largest, id.as_int());
  return largest;
}

void compare_merges(const Json& merges, std::string_view file) {
  const auto lines = lines_of(file);
  if (lines.size() != merges.as_array().size()) finding("another number of merges");
  for (size_t i = 0; i < lines.size(); ++i) {
    const Json& merge = merges.as_array()[i];
    if (merge.is_string() ? lines[i] != merge.as_string()
                          : lines[i] != merge.as_array()[0].as_string() + " " + merge.as_array()[1].as_string())
      finding("another merge");
  }
}

void compare(const TokenizerFile& file, const Json& whole) {
  const Json outline = Json::parse(file.outline, "outline.json", kLast);
  if (outline.as_object().size() != whole.as_object().size()) finding("the outline has other keys");
  const Json& model = *whole.find("model");
  const Json& vocab = *model.find("vocab");
  if (largest_id(*outline.find("model")->find("vocab")) != -1) finding("the outline has a vocabulary");
  if (largest_id(vocab) != file.largest_id) finding("another largest id");
  if (!file.has_model_files) return;
  if (model.find("type")->as_string() == "BPE") {
    const Json again = Json::parse(file.vocab_file, "vocab.json", kLast);
    if (again.as_object().size() != vocab.as_object().size()) finding("another vocabulary");
    return compare_merges(*model.find("merges"), file.merges_file);
  }
  const auto lines = lines_of(file.vocab_file);
  for (const auto& [piece, id] : vocab.as_object())
    if (lines.at(static_cast<size_t>(id.as_int())) != piece) finding("another piece");
}

}  // namespace
}  // namespace embedcore

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace embedcore;
  const auto file = take_apart_tokenizer(as_text(data, size));
  if (!file) return -1;
  // A skipped value is not checked, so that the text need not be JSON.
  std::optional<Json> whole;
  run_parser({Code::kInvalidFile}, [&] { whole = Json::parse(as_text(data, size), "fuzz.json", kLast); });
  if (whole) compare(*file, *whole);
  return 0;
}
