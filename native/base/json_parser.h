// The parser behind Json::parse: one pass, recursive, bounded by kMaxDepth. Included by json.cc and json_parser.cc
// only.
#pragma once

#include "base/json.h"

namespace embedcore {

// The contents of an array or an object. It is on the heap, so that its address stays the same when the Json that owns
// it moves.
struct Json::Container {
  const Container* parent = nullptr;
  bool is_object = false;
  std::string where;             // only for the document's outermost container
  Array items;                   // of an array
  Object members;                // of an object
  std::vector<uint32_t> by_key;  // members sorted by key; kept where there are more than kLinearKeys
};

class JsonParser {
 public:
  JsonParser(std::string_view text, const std::string& where, Json::Duplicates duplicates)
      : text_(text), where_(where), duplicates_(duplicates) {}
  Json document();

 private:
  static constexpr int kMaxDepth = 64;
  static constexpr size_t kMaxValues = size_t{1} << 22;
  static constexpr size_t kLinearKeys = 8;

  [[noreturn]] void refuse(size_t at, const std::string& what) const;
  void skip_space();
  bool take(char wanted);
  bool take_word(std::string_view word);
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  std::string seen() const;

  Json value(const Json::Container* home, int depth);
  Json array(const Json::Container* home, int depth);
  Json object(const Json::Container* home, int depth);
  void index_keys(Json::Container& container, const std::vector<size_t>& positions);
  Json::Number number();
  std::string string();
  uint32_t escaped_unit();

  std::string_view text_;
  const std::string& where_;
  const Json::Duplicates duplicates_;
  size_t at_ = 0;
  size_t values_ = 0;
};

}  // namespace embedcore
