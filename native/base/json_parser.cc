#include "base/json_parser.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/utf8.h"

namespace embedcore {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

Json JsonParser::document() {
  if (text_.starts_with("\xef\xbb\xbf")) refuse(0, "the text starts with a byte order mark; JSON has none");
  auto root = std::make_unique<Json::Container>();
  root->where = where_;
  Json json = value(root.get(), 0);
  skip_space();
  if (at_ < text_.size()) refuse(at_, "expected the end of the text, found " + seen());
  json.root_ = std::move(root);
  return json;
}

void JsonParser::refuse(size_t at, const std::string& what) const {
  size_t line = 1, column = 1;
  for (size_t i = 0; i < at; ++i) {
    if (text_[i] == '\n') {
      ++line;
      column = 1;
    } else if ((static_cast<unsigned char>(text_[i]) & 0xc0) != 0x80) {
      ++column;
    }
  }
  fail(Code::kInvalidFile, "%s: line %zu column %zu: %s", where_.c_str(), line, column, what.c_str());
}

void JsonParser::skip_space() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
}

bool JsonParser::take(char wanted) {
  if (at_ >= text_.size() || text_[at_] != wanted) return false;
  ++at_;
  return true;
}

bool JsonParser::take_word(std::string_view word) {
  if (!text_.substr(at_).starts_with(word)) return false;
  at_ += word.size();
  return true;
}

std::string JsonParser::seen() const {
  if (at_ >= text_.size()) return "the end of the text";
  return quote(text_.substr(at_, std::max<size_t>(1, utf8_length(text_.substr(at_)))));
}

Json JsonParser::value(const Json::Container* home, int depth) {
  skip_space();
  if (++values_ > kMaxValues) refuse(at_, "the text holds more than " + std::to_string(kMaxValues) + " values");
  const char first = peek();
  if (first == '[' || first == '{') {
    if (depth >= kMaxDepth) refuse(at_, "nested deeper than " + std::to_string(kMaxDepth) + " levels");
    return first == '[' ? array(home, depth) : object(home, depth);
  }
  Json json;
  json.home_ = home;
  if (first == '"') {
    json.value_ = string();
  } else if (take_word("true")) {
    json.value_ = true;
  } else if (take_word("false")) {
    json.value_ = false;
  } else if (take_word("null")) {
    json.value_ = std::monostate();
  } else if (take_word("NaN")) {
    json.value_ = Json::Number{.value = std::numeric_limits<double>::quiet_NaN()};
  } else if (take_word("Infinity")) {
    json.value_ = Json::Number{.value = std::numeric_limits<double>::infinity()};
  } else if (take_word("-Infinity")) {
    json.value_ = Json::Number{.value = -std::numeric_limits<double>::infinity()};
  } else if (first == '-' || is_digit(first)) {
    json.value_ = number();
  } else {
    refuse(at_, "expected a value, found " + seen());
  }
  return json;
}

Json JsonParser::array(const Json::Container* home, int depth) {
  auto container = std::make_unique<Json::Container>();
  container->parent = home;
  ++at_;
  skip_space();
  if (!take(']')) {
    while (true) {
      container->items.push_back(value(container.get(), depth + 1));
      skip_space();
      if (take(']')) break;
      if (!take(',')) refuse(at_, "expected \",\" or \"]\" in an array, found " + seen());
    }
  }
  Json json;
  json.home_ = home;
  json.value_ = std::move(container);
  return json;
}

Json JsonParser::object(const Json::Container* home, int depth) {
  auto container = std::make_unique<Json::Container>();
  container->parent = home;
  container->is_object = true;
  std::vector<size_t> positions;
  ++at_;
  skip_space();
  if (!take('}')) {
    while (true) {
      skip_space();
      if (peek() != '"') refuse(at_, "expected a key in double quotes, found " + seen());
      positions.push_back(at_);
      std::string key = string();
      skip_space();
      if (!take(':')) refuse(at_, "expected \":\" after the key " + quote(key) + ", found " + seen());
      Json member = value(container.get(), depth + 1);
      container->members.emplace_back(std::move(key), std::move(member));
      skip_space();
      if (take('}')) break;
      if (!take(',')) refuse(at_, "expected \",\" or \"}\" in an object, found " + seen());
    }
  }
  index_keys(*container, positions);
  Json json;
  json.home_ = home;
  json.value_ = std::move(container);
  return json;
}

void JsonParser::index_keys(Json::Container& container, const std::vector<size_t>& positions) {
  Json::Object& members = container.members;
  std::vector<uint32_t> order(members.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const int by_key = members[a].first.compare(members[b].first);
    return by_key != 0 ? by_key < 0 : a < b;
  });
  const auto twin = std::adjacent_find(order.begin(), order.end(),
                                       [&](uint32_t a, uint32_t b) { return members[a].first == members[b].first; });
  if (twin != order.end()) {
    if (duplicates_ == Json::Duplicates::kRefused)
      refuse(positions[*(twin + 1)], "the key " + quote(members[*twin].first) + " appears twice in one object");
    std::vector<bool> superseded(members.size());
    for (size_t i = 0; i + 1 < order.size(); ++i)
      superseded[order[i]] = members[order[i]].first == members[order[i + 1]].first;
    Json::Object kept;
    for (size_t i = 0; i < members.size(); ++i)
      if (!superseded[i]) kept.push_back(std::move(members[i]));
    members = std::move(kept);
    return index_keys(container, positions);
  }
  if (members.size() > kLinearKeys) container.by_key = std::move(order);
}

Json::Number JsonParser::number() {
  const size_t start = at_;
  auto digits = [&] {
    if (!is_digit(peek())) refuse(at_, "expected a digit, found " + seen());
    while (is_digit(peek())) ++at_;
  };
  take('-');
  if (take('0')) {
    if (is_digit(peek())) refuse(start, "a number may not start with a zero");
  } else {
    digits();
  }
  bool literal = true;
  if (take('.')) {
    literal = false;
    digits();
  }
  if (take('e') || take('E')) {
    literal = false;
    if (!take('+')) take('-');
    digits();
  }

  Json::Number number;
  const char* first = text_.data() + start;
  const char* last = text_.data() + at_;
  if (std::from_chars(first, last, number.value).ec != std::errc())
    refuse(start, "the number " + quote(text_.substr(start, at_ - start), 40) + " does not fit a double");
  if (literal) {
    // Larger integers stay doubles, because no reader of integers could hold them.
    number.literal = number.whole = std::from_chars(first, last, number.integer).ec == std::errc();
  } else if (std::trunc(number.value) == number.value && std::fabs(number.value) <= 0x1p53) {
    number.whole = true;
    number.integer = static_cast<int64_t>(number.value);
  }
  return number;
}

std::string JsonParser::string() {
  const size_t start = at_++;
  std::string out;
  while (true) {
    if (at_ >= text_.size()) refuse(start, "the string that starts here has no end");
    const auto byte = static_cast<unsigned char>(text_[at_]);
    if (byte == '"') {
      ++at_;
      return out;
    }
    if (byte < 0x20) refuse(at_, "control character " + quote(text_.substr(at_, 1)) + " in a string must be escaped");
    if (byte != '\\') {
      const size_t length = utf8_length(text_.substr(at_));
      if (length == 0) refuse(at_, "byte " + seen() + " is not UTF-8");
      out.append(text_, at_, length);
      at_ += length;
      continue;
    }
    const size_t escape = at_++;
    const char kind = peek();
    if (kind != 'u') {
      static constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
      const size_t index = at_ < text_.size() ? kNames.find(kind) : std::string_view::npos;
      if (index == std::string_view::npos) refuse(escape, "unknown escape: a backslash before " + seen());
      out += kMeanings[index];
      ++at_;
      continue;
    }
    ++at_;
    uint32_t point = escaped_unit();
    if (point >= 0xdc00 && point <= 0xdfff)
      refuse(escape, "the escape is the second half of a surrogate pair without its first");
    if (point >= 0xd800 && point <= 0xdbff) {
      if (!take_word("\\u")) refuse(escape, "the escape is the first half of a surrogate pair without its second");
      const uint32_t low = escaped_unit();
      if (low < 0xdc00 || low > 0xdfff)
        refuse(escape, "the escape is the first half of a surrogate pair without its second");
      point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(out, point);
  }
}

uint32_t JsonParser::escaped_unit() {
  uint32_t unit = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = peek();
    uint32_t digit = 0;
    if (is_digit(c)) {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<uint32_t>(c - 'A' + 10);
    } else {
      refuse(at_, "expected four hexadecimal digits after \\u, found " + seen());
    }
    unit = unit << 4 | digit;
    ++at_;
  }
  return unit;
}

}  // namespace embedcore
