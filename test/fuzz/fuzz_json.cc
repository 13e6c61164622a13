// base/json.h: any text is parsed or refused, and every value that was parsed can be walked, described and found by its
// key.
#include "base/json.h"

#include "target.h"

namespace embedcore {
namespace {

void walk(const Json& json, int depth) {
  if (depth > 64) finding("nested deeper than the limit");
  if (json.describe().empty()) finding("a value describes itself as nothing");
  if (json.is_string()) {
    const std::string& text = json.as_string();
    for (size_t i = 0; i < text.size();) {
      const size_t length = utf8_length(std::string_view(text).substr(i));
      if (length == 0) finding("a string is not UTF-8");
      i += length;
    }
  } else if (json.is_array()) {
    for (const Json& item : json.as_array()) walk(item, depth + 1);
  } else if (json.is_object()) {
    for (const auto& [key, member] : json.as_object()) {
      if (json.find(key) != &member) finding("find() gave another member");
      walk(member, depth + 1);
    }
  }
  // The path of a value is searched for in the document; the first levels are enough, because the cost grows with its
  // size.
  if (depth < 3 && !json.path().starts_with("fuzz.json")) finding("a path without its file:", json.path().c_str());
  run_parser({Code::kInvalidConfig}, [&] { json.get_int("a", 0); });
  run_parser({Code::kInvalidConfig}, [&] { json.as_double(); });
}

}  // namespace
}  // namespace embedcore

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace embedcore;
  return run_parser({Code::kInvalidFile}, [&] { walk(Json::parse(as_text(data, size), "fuzz.json"), 0); });
}
