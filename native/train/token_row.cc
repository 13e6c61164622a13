#include "train/token_row.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/dropout.h"

namespace embedcore {

namespace {

constexpr uint32_t kTokenRowStream = 0x746f6b72;  // of the generator: no other draw has it

// The standard normal number of a column, by Box and Muller.
double normal_number(int64_t column, uint64_t seed) {
  const PhiloxWords words = philox({{static_cast<uint32_t>(column), 0, 0, kTokenRowStream}}, seed);
  const double radius = (static_cast<double>(words.word[0]) + 1) * 0x1p-32;  // in (0, 1], so that its log is finite
  const double angle = static_cast<double>(words.word[1]) * 0x1p-32;
  return std::sqrt(-2 * std::log(radius)) * std::cos(2 * std::numbers::pi * angle);
}

}  // namespace

std::string token_row_name(const std::string& table) {
  constexpr std::string_view kSuffix = ".weight";
  const std::string module = table.ends_with(kSuffix) ? table.substr(0, table.size() - kSuffix.size()) : table;
  return module + ".trainable_tokens";
}

std::vector<float> new_token_row(const std::vector<float>& table, int64_t width, uint64_t seed) {
  const auto columns = static_cast<size_t>(width), rows = table.size() / columns;
  const double share = 1.0 / static_cast<double>(std::max<size_t>(rows, 1));
  std::vector<double> mean(columns), variance(columns);
  for (size_t i = 0; i < table.size(); ++i) mean[i % columns] += share * static_cast<double>(table[i]);
  for (size_t i = 0; i < table.size(); ++i) {
    const double off = static_cast<double>(table[i]) - mean[i % columns];
    variance[i % columns] += share * off * off;
  }
  std::vector<float> row(columns);
  for (size_t c = 0; c < columns; ++c)
    row[c] = static_cast<float>(mean[c] + std::sqrt(variance[c]) * normal_number(static_cast<int64_t>(c), seed));
  return row;
}

std::vector<float> with_token_row(std::vector<float> table, int64_t id, const std::vector<float>& row) {
  const size_t begin = static_cast<size_t>(id) * row.size();
  while (table.size() <= begin) table.insert(table.end(), row.begin(), row.end());
  std::copy(row.begin(), row.end(), table.begin() + static_cast<std::ptrdiff_t>(begin));
  return table;
}

}  // namespace embedcore
