#include "train/texts.h"

#include <algorithm>
#include <numeric>

#include "model/positions.h"

namespace embedcore {

namespace {

// Tokens sorted by the row they read, each row's in order.
TableRows rows_of(const std::vector<int32_t>& ids) {
  TableRows table;
  table.tokens.resize(ids.size());
  std::iota(table.tokens.begin(), table.tokens.end(), 0);
  std::stable_sort(table.tokens.begin(), table.tokens.end(),
                   [&](int32_t a, int32_t b) { return ids[static_cast<size_t>(a)] < ids[static_cast<size_t>(b)]; });
  for (size_t t = 0; t < table.tokens.size(); ++t) {
    const int32_t row = ids[static_cast<size_t>(table.tokens[t])];
    if (!table.rows.empty() && table.rows.back() == row) continue;
    table.rows.push_back(row);
    table.starts.push_back(static_cast<int32_t>(t));
  }
  table.starts.push_back(static_cast<int32_t>(table.tokens.size()));
  return table;
}

// The tokens with this id, as row 0; empty where there are none.
TableRows row_of(const std::vector<int32_t>& ids, int64_t id) {
  TableRows table;
  for (size_t t = 0; t < ids.size(); ++t)
    if (ids[t] == id) table.tokens.push_back(static_cast<int32_t>(t));
  if (table.tokens.empty()) return table;
  table.rows = {0};
  table.starts = {0, static_cast<int32_t>(table.tokens.size())};
  return table;
}

std::vector<TableRows> table_rows(const StepTexts& texts, const Slab& slab, const ModelConfig& config,
                                  int64_t only_token) {
  std::vector<int32_t> ids, positions;
  for (int64_t i = slab.first_text; i < slab.first_text + slab.texts; ++i) {
    const auto text = texts.text(i);
    ids.insert(ids.end(), text.begin(), text.end());
    positions.resize(ids.size());
    write_positions(config, text, positions.data() + ids.size() - text.size());
  }
  std::vector<TableRows> tables;
  for (const TableSpec& table : config.input.tables) {
    if (table.index == TableSpec::Index::kToken)
      tables.push_back(only_token < 0 ? rows_of(ids) : row_of(ids, only_token));
    if (table.index == TableSpec::Index::kPosition) tables.push_back(rows_of(positions));
    if (table.index == TableSpec::Index::kType) tables.push_back(rows_of(std::vector<int32_t>(ids.size(), 0)));
  }
  return tables;
}

void add_text(Slab& slab, const StepTexts& texts, int64_t i, int64_t group_tokens) {
  const auto text = texts.text(i);
  const auto length = static_cast<int64_t>(text.size());
  if (slab.groups.empty() ||
      (slab.groups.back().builder.tokens() > 0 && slab.groups.back().builder.tokens() + length > group_tokens)) {
    Group& group = slab.groups.emplace_back();
    group.first_row = slab.tokens;
    group.first_text = slab.texts;
  }
  Group& group = slab.groups.back();
  group.builder.add(text, texts.skip[static_cast<size_t>(i)], texts.prefix[static_cast<size_t>(i)]);
  for (int64_t token = 0; token < length; ++token)
    slab.keys.push_back({.text = texts.number(i), .token = static_cast<int32_t>(token)});
  ++slab.texts;
  slab.tokens += length;
}

template <typename T>
const T* upload_list(Layout& layout, const std::vector<T>& list, const OpenDevice& device, Stream& stream) {
  if (device.backend().host_memory || list.empty()) return list.data();
  auto* memory = layout.array<T>(static_cast<int64_t>(list.size()));
  check_status(device.backend().upload(stream, memory, list.data(), list.size() * sizeof(T)), stream, "an upload");
  return memory;
}

}  // namespace

void StepTexts::add(std::span<const int32_t> tokens, int32_t skipped, int32_t seen) {
  ids.insert(ids.end(), tokens.begin(), tokens.end());
  offsets.push_back(static_cast<int32_t>(ids.size()));
  skip.push_back(skipped);
  prefix.push_back(seen);
}

SlabSizes SlabSizes::of(bool host_memory) {
  if (host_memory) return {};
  constexpr int64_t kDeviceSlab = 16384;  // enough rows for every matrix product of a large device
  return {.slab_tokens = kDeviceSlab, .group_tokens = kDeviceSlab};
}

std::vector<Slab> cut_texts(const StepTexts& texts, const ModelConfig& config, const SlabSizes& sizes,
                            int64_t only_token) {
  std::vector<Slab> slabs;
  for (int64_t i = 0; i < texts.count(); ++i) {
    const auto length = static_cast<int64_t>(texts.text(i).size());
    if (slabs.empty() || (slabs.back().texts > 0 && slabs.back().tokens + length > sizes.slab_tokens))
      slabs.emplace_back().first_text = i;
    add_text(slabs.back(), texts, i, sizes.group_tokens);
  }
  for (Slab& slab : slabs) slab.tables = table_rows(texts, slab, config, only_token);
  return slabs;
}

void place_slab(Layout& layout, const Slab& slab, const Backend& backend) {
  if (backend.host_memory) return;
  for (const Group& group : slab.groups) group.builder.place(layout, backend);
  layout.array<RowKey>(static_cast<int64_t>(slab.keys.size()));
  for (const TableRows& table : slab.tables)
    for (const auto* list : {&table.rows, &table.starts, &table.tokens})
      layout.array<int32_t>(static_cast<int64_t>(list->size()));
}

void upload_slab(Layout& layout, Slab& slab, const ModelConfig& config, const OpenDevice& device, Stream& stream) {
  const WriteIndices indices = [&](std::span<const int32_t> ids, int32_t* to) { write_positions(config, ids, to); };
  for (Group& group : slab.groups) group.batch = group.builder.upload(layout, device.backend(), indices, stream);
  slab.device_keys = upload_list(layout, slab.keys, device, stream);
  for (TableRows& table : slab.tables) {
    table.device_rows = upload_list(layout, table.rows, device, stream);
    table.device_starts = upload_list(layout, table.starts, device, stream);
    table.device_tokens = upload_list(layout, table.tokens, device, stream);
  }
}

}  // namespace embedcore
