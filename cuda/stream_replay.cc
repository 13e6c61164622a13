#include "stream_replay.h"

#include <algorithm>
#include <cstring>

namespace embedcore::cuda {

namespace {

// Each length of a query is one. A graph of a small model takes some tens of kilobytes.
constexpr size_t kMostEntries = 128;

}  // namespace

Replays::Entry* Replays::find(const void* key, size_t key_bytes) {
  for (const auto& entry : entries_)
    if (entry->key.size() == key_bytes && std::memcmp(entry->key.data(), key, key_bytes) == 0) return entry.get();
  return nullptr;
}

Replays::Entry* Replays::add(StreamHandle stream, const void* key, size_t key_bytes) {
  const auto* bytes = static_cast<const std::byte*>(key);
  auto entry = std::make_unique<Entry>();
  entry->key.assign(bytes, bytes + key_bytes);
  if (entries_.size() < kMostEntries) {
    entries_.push_back(std::move(entry));
    return entries_.back().get();
  }
  auto& oldest = *std::min_element(entries_.begin(), entries_.end(),
                                   [](const auto& a, const auto& b) { return a->last_use < b->last_use; });
  drop(stream, *oldest);
  oldest = std::move(entry);
  return oldest.get();
}

void Replays::drop(StreamHandle stream, Entry& entry) {
  if (!entry.graph.graph) return;
  wait_stream(stream);  // a failure shows in the next wait of the stream
  close_graph(entry.graph);
  entry.graph = {};
}

void Replays::clear() {
  for (const auto& entry : entries_)
    if (entry->graph.graph) close_graph(entry->graph);
  entries_.clear();
  current_ = nullptr;
  recording_ = false;
}

Error Replays::begin(StreamHandle stream, const void* key, size_t key_bytes, Memory now, bool* replayed,
                     ReplayNote* note) {
  *replayed = false;
  Entry* entry = find(key, key_bytes);
  const bool seen = entry != nullptr;
  if (!seen) entry = add(stream, key, key_bytes);
  entry->last_use = ++uses_;
  if (entry->graph.graph && entry->memory == now) {
    *note = entry->note;
    *replayed = true;
    return launch_graph(entry->graph, stream);
  }
  drop(stream, *entry);
  if (seen) {
    const Error error = begin_capture(stream);
    if (error != Error::kOk) return error;
    recording_ = true;
  }
  current_ = entry;
  return Error::kOk;
}

Error Replays::end(StreamHandle stream, const ReplayNote* note, Memory now) {
  Entry* entry = current_;
  const bool recording = recording_;
  current_ = nullptr;
  recording_ = false;
  if (!recording) return Error::kOk;
  const Error error = end_capture(stream, &entry->graph);
  if (error != Error::kOk) return error;
  if (!note) {
    close_graph(entry->graph);
    entry->graph = {};
    return Error::kOk;
  }
  entry->note = *note;
  entry->memory = now;
  return launch_graph(entry->graph, stream);
}

}  // namespace embedcore::cuda
