// Walks through a JSON text from front to back and keeps nothing of it, for files too large for a document (json.h).
// Keys and the strings that are asked for are read strictly; a value that is skipped is only followed to its end. Every
// function returns false where the text has another form, and the scanner is then of no further use.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace embedcore {

class JsonScanner {
 public:
  explicit JsonScanner(std::string_view text) : text_(text) {}

  // The first character of what comes next; 0 at the end.
  char peek();
  bool at_end() { return peek() == '\0' && at_ >= text_.size(); }

  // Reads an object. member(const std::string& key) must read or skip the value.
  template <typename Member>
  bool object(Member&& member) {
    if (!take('{')) return false;
    if (take('}')) return true;
    std::string key;
    do {
      if (!string(key) || !take(':') || !member(key)) return false;
    } while (take(','));
    return take('}');
  }

  // Reads an array. item() must read or skip an item.
  template <typename Item>
  bool array(Item&& item) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      if (!item()) return false;
    } while (take(','));
    return take(']');
  }

  // Reads a string: valid escapes, no control characters, no lone surrogates.
  bool string(std::string& out);
  // Follows a value to its end: quotes and brackets must match, 64 levels at most.
  bool skip(std::string_view& span);

 private:
  bool take(char wanted);
  bool escape(std::string& out);
  bool unit(unsigned& out);
  bool skip_string();

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace embedcore
