#include "base/json_scanner.h"

#include <charconv>

#include "base/utf8.h"

namespace embedcore {

char JsonScanner::peek() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonScanner::take(char wanted) {
  if (peek() != wanted) return false;
  ++at_;
  return true;
}

bool JsonScanner::string(std::string& out) {
  out.clear();
  if (!take('"')) return false;
  while (true) {
    size_t end = at_;
    while (end < text_.size() && text_[end] != '"' && text_[end] != '\\' &&
           static_cast<unsigned char>(text_[end]) >= 0x20)
      ++end;
    out.append(text_, at_, end - at_);
    at_ = end + 1;
    if (end >= text_.size()) return false;
    if (text_[end] == '"') return true;
    if (text_[end] != '\\' || !escape(out)) return false;
  }
}

bool JsonScanner::escape(std::string& out) {
  if (at_ >= text_.size()) return false;
  static constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  const char letter = text_[at_++];
  if (const size_t known = kLetters.find(letter); known != kLetters.npos) {
    out += kMeanings[known];
    return true;
  }
  unsigned high = 0, low = 0;
  if (letter != 'u' || !unit(high)) return false;
  if (high < 0xd800 || high > 0xdfff) {
    append_utf8(out, high);
    return true;
  }
  if (high > 0xdbff || !text_.substr(at_).starts_with("\\u")) return false;
  at_ += 2;
  if (!unit(low) || low < 0xdc00 || low > 0xdfff) return false;
  append_utf8(out, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
  return true;
}

bool JsonScanner::unit(unsigned& out) {
  if (text_.size() - at_ < 4) return false;
  const char* const from = text_.data() + at_;
  const auto [end, error] = std::from_chars(from, from + 4, out, 16);
  at_ += 4;
  return error == std::errc() && end == from + 4;
}

bool JsonScanner::skip_string() {
  for (++at_; at_ < text_.size(); ++at_) {
    if (text_[at_] == '"') {
      ++at_;
      return true;
    }
    if (text_[at_] == '\\') ++at_;
  }
  return false;
}

bool JsonScanner::skip(std::string_view& span) {
  constexpr size_t kMaxDepth = 64;
  peek();
  const size_t begin = at_;
  std::string closing;  // of the brackets that are open
  while (at_ < text_.size()) {
    const char next = text_[at_];
    if (next == '"') {
      if (!skip_string()) return false;
    } else if (next == '[' || next == '{') {
      if (closing.size() >= kMaxDepth) return false;
      closing += next == '[' ? ']' : '}';
      ++at_;
    } else if (next == ']' || next == '}' || (next == ',' && closing.empty())) {
      if (closing.empty()) break;
      if (closing.back() != next) return false;
      closing.pop_back();
      ++at_;
    } else {
      ++at_;
    }
    if (closing.empty() && (next == '"' || next == ']' || next == '}')) break;
  }
  size_t end = at_;
  while (end > begin &&
         (text_[end - 1] == ' ' || text_[end - 1] == '\n' || text_[end - 1] == '\r' || text_[end - 1] == '\t'))
    --end;
  span = text_.substr(begin, end - begin);
  return closing.empty() && end > begin;
}

}  // namespace embedcore
