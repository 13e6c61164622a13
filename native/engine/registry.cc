#include "engine/registry.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string_view>

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

struct CloseDirectory {
  void operator()(DIR* open) const { ::closedir(open); }
};
struct Free {
  void operator()(char* text) const { std::free(text); }
};

int64_t changed_at(const struct stat& status) {
#ifdef __APPLE__
  const timespec& changed = status.st_mtimespec;
#else
  const timespec& changed = status.st_mtim;
#endif
  return int64_t{changed.tv_sec} * 1'000'000'000 + changed.tv_nsec;
}

// Not with std::filesystem, whose iterators end the process where memory is short. What cannot be read here is refused
// with its reason by the load.
DirectoryState state_of(const std::string& directory) {
  DirectoryState state;
  const std::unique_ptr<char, Free> real(::realpath(directory.c_str(), nullptr));
  state.path = real ? real.get() : directory;
  const std::unique_ptr<DIR, CloseDirectory> open(::opendir(directory.c_str()));
  if (!open) return state;
  while (const dirent* entry = ::readdir(open.get())) {
    const std::string_view name = entry->d_name;
    if (!name.ends_with(".safetensors") && !name.ends_with(".json")) continue;
    struct stat status;
    if (::fstatat(::dirfd(open.get()), entry->d_name, &status, 0) != 0) continue;
    state.files.push_back({std::string(name), static_cast<uintmax_t>(status.st_size), changed_at(status)});
  }
  std::sort(state.files.begin(), state.files.end());
  return state;
}

// Identifies a model: loads with equal keys share their weights.
struct ModelKey {
  DeviceRef device;
  ModelSource source;
  std::vector<DirectoryState> directories;
  bool operator==(const ModelKey&) const = default;
};

ModelKey key_of(const ModelSource& source, DeviceRef device) {
  ModelKey key{device, source, {state_of(source.directory)}};
  for (const HeadModule& module : source.head)
    if (!module.directory.empty()) key.directories.push_back(state_of(module.directory));
  if (source.adapter) key.directories.push_back(state_of(source.adapter->directory));
  if (source.layer_weighting) key.directories.push_back(state_of(source.layer_weighting->directory));
  return key;
}

struct Slot {
  explicit Slot(ModelKey model_key) : key(std::move(model_key)) {}
  const ModelKey key;

  std::mutex mutex;
  std::condition_variable loaded;
  // Guarded by mutex; `model` and `engines` are changed only by the thread that has set `loading`.
  bool loading = false;
  std::weak_ptr<const Model> model;
  std::vector<std::pair<EngineOptions, std::weak_ptr<Engine>>> engines;
};

// One load of a slot at a time. Who waits asks now and then whether to go on.
class LoadTurn {
 public:
  LoadTurn(Slot& slot, const KeepLoading& keep_loading) : slot_(slot) {
    std::unique_lock lock(slot_.mutex);
    while (slot_.loading) {
      slot_.loaded.wait_for(lock, std::chrono::milliseconds(20));
      if (!slot_.loading || !keep_loading) continue;
      lock.unlock();
      keep_loading();
      lock.lock();
    }
    slot_.loading = true;
  }
  ~LoadTurn() {
    {
      std::lock_guard lock(slot_.mutex);
      slot_.loading = false;
    }
    slot_.loaded.notify_one();
  }
  LoadTurn(const LoadTurn&) = delete;
  LoadTurn& operator=(const LoadTurn&) = delete;

 private:
  Slot& slot_;
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

std::shared_ptr<Engine> open_engine(const ModelSource& source, DeviceRef device, const EngineOptions& given,
                                    const KeepLoading& keep_loading) {
  const Backend& backend = *device.backend;
  EngineOptions options = given;
  // Options without effect must not lead to a second engine.
  if (backend.batch_tokens > 0) options.max_batch_tokens = std::min(options.max_batch_tokens, backend.batch_tokens);
  const auto slot = slot_of(key_of(source, device));
  const LoadTurn turn(*slot, keep_loading);

  auto model = slot->model.lock();
  if (model && model->encoder().device().failure()) {
    model = nullptr;
    slot->engines.clear();
  }
  std::erase_if(slot->engines, [](const auto& entry) { return entry.second.expired(); });
  for (const auto& [has, held] : slot->engines)
    if (has == options)
      if (auto engine = held.lock()) return engine;
  if (!model) {
    slot->model = model = Model::load(source, OpenDevice::open(backend, device.index), keep_loading);
    give_back_freed_memory();
  }
  // The engine keeps the slot, so the slot is found for as long as one of its engines exists.
  auto* engine = new Engine(model, options);
  const std::shared_ptr<Engine> shared(engine, [slot](Engine* owned) { delete owned; });
  slot->engines.emplace_back(options, shared);
  return shared;
}

}  // namespace embedcore
