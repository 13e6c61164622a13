#include "engine/registry.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <mutex>

#include "engine/memory.h"

namespace embedcore {

namespace {

// Identifies a file by name, size and time, so that a changed file gives another model.
struct FileState {
  std::string name;
  uintmax_t size = 0;
  int64_t time = 0;
  auto operator<=>(const FileState&) const = default;
};

struct DirectoryState {
  std::string path;
  std::vector<FileState> files;
  bool operator==(const DirectoryState&) const = default;
};

DirectoryState state_of(const std::string& directory) {
  DirectoryState state;
  std::error_code ignored;
  const auto real = std::filesystem::weakly_canonical(directory, ignored);
  state.path = ignored ? directory : real.string();
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".safetensors") && !name.ends_with(".json")) continue;
    state.files.push_back({name, entry.file_size(ignored), entry.last_write_time(ignored).time_since_epoch().count()});
  }
  std::sort(state.files.begin(), state.files.end());
  return state;
}

// Identifies a model: loads with equal keys share their weights.
struct ModelKey {
  const Backend* backend = nullptr;
  ModelSource source;
  std::vector<DirectoryState> directories;
  bool operator==(const ModelKey&) const = default;
};

ModelKey key_of(const ModelSource& source, const Backend& backend) {
  ModelKey key{&backend, source, {state_of(source.directory)}};
  for (const HeadModule& module : source.head)
    if (!module.directory.empty()) key.directories.push_back(state_of(module.directory));
  if (source.layer_weighting) key.directories.push_back(state_of(source.layer_weighting->directory));
  return key;
}

struct Slot {
  explicit Slot(ModelKey model_key) : key(std::move(model_key)) {}
  const ModelKey key;

  std::timed_mutex loading;
  // Guarded by loading.
  std::weak_ptr<const Model> model;
  std::vector<std::pair<EngineOptions, std::weak_ptr<Engine>>> engines;
};

std::shared_ptr<Slot> slot_of(ModelKey key) {
  // Never destroyed: worker threads may still use it while the process ends.
  static auto* mutex = new std::mutex;
  static auto* slots = new std::vector<std::weak_ptr<Slot>>;
  std::lock_guard lock(*mutex);
  std::erase_if(*slots, [](const auto& slot) { return slot.expired(); });
  for (const auto& held : *slots)
    if (auto slot = held.lock(); slot && slot->key == key) return slot;
  auto slot = std::make_shared<Slot>(std::move(key));
  slots->push_back(slot);
  return slot;
}

}  // namespace

std::shared_ptr<Engine> open_engine(const ModelSource& source, const Backend& backend, const EngineOptions& given,
                                    const KeepLoading& keep_loading) {
  EngineOptions options = given;
  // Options without effect must not lead to a second engine.
  if (backend.batch_tokens > 0) options.max_batch_tokens = std::min(options.max_batch_tokens, backend.batch_tokens);
  const auto slot = slot_of(key_of(source, backend));
  std::unique_lock lock(slot->loading, std::defer_lock);
  while (!lock.try_lock_for(std::chrono::milliseconds(20)))
    if (keep_loading) keep_loading();

  std::erase_if(slot->engines, [](const auto& entry) { return entry.second.expired(); });
  for (const auto& [has, held] : slot->engines)
    if (has == options)
      if (auto engine = held.lock()) return engine;
  auto model = slot->model.lock();
  if (!model) {
    slot->model = model = Model::load(source, OpenDevice::open(backend), keep_loading);
    give_back_freed_memory();
  }
  // The engine keeps the slot, so the slot is found for as long as one of its engines exists.
  auto* engine = new Engine(model, options);
  const std::shared_ptr<Engine> shared(engine, [slot](Engine* owned) { delete owned; });
  slot->engines.emplace_back(options, shared);
  return shared;
}

}  // namespace embedcore
