#include "static/word_table.h"

#include <algorithm>

namespace embedcore {

uint64_t hash_bytes(std::string_view bytes) {
  uint64_t hash = 14695981039346656037ull;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211ull;
  hash ^= hash >> 32;
  return hash * 0x9e3779b97f4a7c15ull;
}

size_t WordTable::slot_of(std::string_view word, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  const uint32_t tag = static_cast<uint32_t>(hash >> 32);
  size_t slot = static_cast<size_t>(hash >> 8) & mask;
  while (slots_[slot] != 0 && (tags_[slot] != tag || this->word(slots_[slot] - 1) != word)) slot = (slot + 1) & mask;
  return slot;
}

int64_t WordTable::find(std::string_view word) const {
  return slots_.empty() ? kNone : slots_[slot_of(word, hash_bytes(word))] - 1;
}

int64_t WordTable::add(std::string_view word) {
  if (static_cast<size_t>(size()) * 2 >= slots_.size()) grow(std::max<size_t>(1024, slots_.size() * 2));
  const uint64_t hash = hash_bytes(word);
  const size_t slot = slot_of(word, hash);
  if (slots_[slot] != 0) return slots_[slot] - 1;
  starts_.reserve(starts_.size() + 1 > starts_.capacity() ? starts_.size() * 2 : starts_.capacity());
  bytes_.append(word);
  starts_.push_back(bytes_.size());
  slots_[slot] = size();
  tags_[slot] = static_cast<uint32_t>(hash >> 32);
  return size() - 1;
}

void WordTable::reserve(int64_t words) {
  size_t slots = 1024;
  while (slots < static_cast<size_t>(words) * 2 + 2) slots *= 2;
  starts_.reserve(static_cast<size_t>(words) + 1);
  if (slots > slots_.size()) grow(slots);
}

void WordTable::grow(size_t slots) {
  slots_.assign(slots, 0);
  tags_.assign(slots, 0);
  for (int64_t id = 0; id < size(); ++id) {
    const uint64_t hash = hash_bytes(word(id));
    const size_t slot = slot_of(word(id), hash);
    slots_[slot] = id + 1;
    tags_[slot] = static_cast<uint32_t>(hash >> 32);
  }
}

int64_t WordTable::memory_bytes() const {
  return static_cast<int64_t>(bytes_.capacity() + starts_.capacity() * sizeof(size_t) +
                              slots_.size() * (sizeof(int64_t) + sizeof(uint32_t)));
}

}  // namespace embedcore
