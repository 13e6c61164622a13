// An immutable JSON document. The parser is strict RFC 8259 with one extension, the tokens NaN, Infinity and -Infinity
// that Python writes, and four limits: 64 levels of nesting, 4 Mi values, no duplicate keys (unless the caller lets the
// last one count), and text that is UTF-8 (a lone surrogate escape is refused). Parse errors are Code::kInvalidFile
// "<where>: line L column C: ..."; accessors of a value of the wrong type throw Code::kInvalidConfig with the path of
// the value.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace embedcore {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  // in the order of the file

  // A key that occurs twice in one object: either it is refused, or the last one counts as in Python's json.
  enum class Duplicates { kRefused, kLastCounts };

  // `where` names the text in errors, usually the file's path.
  static Json parse(std::string_view text, const std::string& where, Duplicates duplicates = Duplicates::kRefused);

  // A value has a pointer to its container, from which its path is found; therefore values cannot be copied.
  Json(Json&&) noexcept;
  Json& operator=(Json&&) noexcept;
  ~Json();

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_number() const { return std::holds_alternative<Number>(value_); }
  // A number without fraction or exponent that fits int64.
  bool is_integer() const;
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const;
  bool is_object() const;

  bool as_bool() const;
  // Takes 512.0 as 512, as Python's readers do.
  int64_t as_int() const;
  double as_double() const;
  const std::string& as_string() const;
  const Array& as_array() const;
  const Object& as_object() const;

  // The member of an object; null if it is absent or this is not an object.
  const Json* find(std::string_view key) const;

  // The member of an object, or `fallback` if it is absent or null. A member of another type, or a value that is not an
  // object, throws kInvalidConfig: config.json: "hidden_size" must be an integer, got "abc".
  bool get_bool(std::string_view key, bool fallback) const;
  int64_t get_int(std::string_view key, int64_t fallback) const;
  double get_double(std::string_view key, double fallback) const;
  std::string get_string(std::string_view key, const std::string& fallback) const;

  // The place of the value: config.json: "rope_scaling.factor". For the whole document: config.json.
  std::string path() const;
  // A short description of the value: "abc", 3.5, null, an array of 2, an object.
  std::string describe() const;

 private:
  friend class JsonParser;
  struct Number {
    double value = 0;
    int64_t integer = 0;
    bool whole = false;    // `integer` holds the value
    bool literal = false;  // and it was written as an integer
  };
  struct Container;

  Json();
  [[noreturn]] void refuse(const char* expected) const;
  const Json* present(std::string_view key) const;

  std::variant<std::monostate, bool, Number, std::string, std::unique_ptr<Container>> value_;
  const Container* home_ = nullptr;
  std::unique_ptr<Container> root_;  // of the outermost value: an empty container that keeps `where`
};

}  // namespace embedcore
