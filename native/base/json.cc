#include "base/json.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/json_parser.h"

namespace embedcore {

Json::Json() = default;
Json::Json(Json&&) noexcept = default;
Json& Json::operator=(Json&&) noexcept = default;
Json::~Json() = default;

Json Json::parse(std::string_view text, const std::string& where, Duplicates duplicates) {
  return JsonParser(text, where, duplicates).document();
}

bool Json::is_array() const {
  const auto* container = std::get_if<std::unique_ptr<Container>>(&value_);
  return container && !(*container)->is_object;
}

bool Json::is_object() const {
  const auto* container = std::get_if<std::unique_ptr<Container>>(&value_);
  return container && (*container)->is_object;
}

bool Json::is_integer() const {
  const auto* number = std::get_if<Number>(&value_);
  return number && number->literal;
}

bool Json::as_bool() const {
  if (!is_bool()) refuse("true or false");
  return std::get<bool>(value_);
}

int64_t Json::as_int() const {
  const auto* number = std::get_if<Number>(&value_);
  if (!number || !number->whole) refuse("an integer");
  return number->integer;
}

double Json::as_double() const {
  if (!is_number()) refuse("a number");
  return std::get<Number>(value_).value;
}

const std::string& Json::as_string() const {
  if (!is_string()) refuse("a string");
  return std::get<std::string>(value_);
}

const Json::Array& Json::as_array() const {
  if (!is_array()) refuse("an array");
  return std::get<std::unique_ptr<Container>>(value_)->items;
}

const Json::Object& Json::as_object() const {
  if (!is_object()) refuse("an object");
  return std::get<std::unique_ptr<Container>>(value_)->members;
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  const Container& container = *std::get<std::unique_ptr<Container>>(value_);
  const Object& members = container.members;
  if (container.by_key.empty()) {
    for (const auto& [name, value] : members)
      if (name == key) return &value;
    return nullptr;
  }
  const auto found =
      std::lower_bound(container.by_key.begin(), container.by_key.end(), key,
                       [&](uint32_t index, std::string_view wanted) { return members[index].first < wanted; });
  if (found == container.by_key.end() || members[*found].first != key) return nullptr;
  return &members[*found].second;
}

const Json* Json::present(std::string_view key) const {
  if (!is_object()) refuse("an object");
  const Json* member = find(key);
  return member && !member->is_null() ? member : nullptr;
}

bool Json::get_bool(std::string_view key, bool fallback) const {
  const Json* member = present(key);
  return member ? member->as_bool() : fallback;
}

int64_t Json::get_int(std::string_view key, int64_t fallback) const {
  const Json* member = present(key);
  return member ? member->as_int() : fallback;
}

double Json::get_double(std::string_view key, double fallback) const {
  const Json* member = present(key);
  return member ? member->as_double() : fallback;
}

std::string Json::get_string(std::string_view key, const std::string& fallback) const {
  const Json* member = present(key);
  return member ? member->as_string() : fallback;
}

std::string Json::path() const {
  std::string trail;
  const Container* container = home_;
  // Only errors need a path, so it is searched for instead of being stored with every value.
  auto step = [&](auto&& is_wanted) {
    for (const auto& [name, value] : container->members)
      if (is_wanted(value)) {
        // An element of an array is written [3], without a dot before it.
        trail = name + (trail.empty() || trail.front() == '[' ? "" : ".") + trail;
        return;
      }
    for (size_t i = 0; i < container->items.size(); ++i)
      if (is_wanted(container->items[i])) {
        trail = "[" + std::to_string(i) + "]" + (trail.empty() || trail.front() == '[' ? "" : ".") + trail;
        return;
      }
  };
  step([&](const Json& value) { return &value == this; });
  while (container->parent) {
    const Container* inner = container;
    container = container->parent;
    step([&](const Json& value) {
      const auto* held = std::get_if<std::unique_ptr<Container>>(&value.value_);
      return held && held->get() == inner;
    });
  }
  return trail.empty() ? container->where : container->where + ": " + quote(trail, 200);
}

std::string Json::describe() const {
  if (is_null()) return "null";
  if (is_bool()) return as_bool() ? "true" : "false";
  if (is_string()) return quote(as_string());
  if (is_array()) return "an array of " + std::to_string(as_array().size());
  if (is_object()) return "an object";
  const Number& number = std::get<Number>(value_);
  if (number.literal) return std::to_string(number.integer);
  char text[40];
  return std::string(text, std::to_chars(text, text + sizeof text, number.value).ptr);
}

void Json::refuse(const char* expected) const {
  fail(Code::kInvalidConfig, "%s must be %s, got %s", path().c_str(), expected, describe().c_str());
}

}  // namespace embedcore
