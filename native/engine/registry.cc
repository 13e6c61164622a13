#include "engine/registry.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace embedcore {

namespace {

// What a directory holds by name, size and time: changed files are another model.
std::string fingerprint(const std::string& directory) {
  std::error_code ignored;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".safetensors") && !name.ends_with(".json")) continue;
    files.push_back(name + ":" + std::to_string(entry.file_size(ignored)) + ":" +
                    std::to_string(entry.last_write_time(ignored).time_since_epoch().count()));
  }
  std::sort(files.begin(), files.end());
  const auto real = std::filesystem::weakly_canonical(directory, ignored);
  std::string text = ignored ? directory : real.string();
  for (const std::string& file : files) text += "|" + file;
  return text;
}

std::string key_of(const ModelSource& source, const Backend& backend) {
  std::string key = std::string(backend.name) + "|" + dtype_name(source.dtype) +
                    (source.is_static ? "|static|" : "|transformer|") + fingerprint(source.directory);
  for (const HeadModule& module : source.head)
    key += "|" + std::to_string(static_cast<int>(module.kind)) + "," + std::to_string(module.in) + "," +
           std::to_string(module.out) + "," + std::to_string(module.bias) + std::to_string(module.residual) +
           std::to_string(static_cast<int>(module.activation)) +
           (module.directory.empty() ? "" : fingerprint(module.directory));
  if (source.layer_weighting)
    key += "|layers" + std::to_string(source.layer_weighting->layer_start) +
           fingerprint(source.layer_weighting->directory);
  return key;
}

struct Slot {
  std::mutex loading;
  std::weak_ptr<const Model> model;
  std::map<std::string, std::weak_ptr<Engine>> engines;
};

std::shared_ptr<Slot> slot_of(const std::string& key) {
  // Never destroyed: worker threads may still use it while the process ends.
  static auto* mutex = new std::mutex;
  static auto* slots = new std::map<std::string, std::weak_ptr<Slot>>;
  std::lock_guard lock(*mutex);
  std::erase_if(*slots, [](const auto& entry) { return entry.second.expired(); });
  auto& held = (*slots)[key];
  auto slot = held.lock();
  if (!slot) held = slot = std::make_shared<Slot>();
  return slot;
}

// What loading put aside goes back to the system at once and not with the next model. One thread at a time: where
// another allocator stands in for glibc's (a preloaded jemalloc, a sanitizer), this call is the first glibc's own sees,
// its set-up takes no lock, and two threads that both make it end the process when they exit.
void give_back_freed() {
#if defined(__GLIBC__)
  static std::mutex one;
  std::lock_guard lock(one);
  malloc_trim(0);
#endif
}

}  // namespace

std::shared_ptr<Engine> open_engine(const ModelSource& source, const Backend& backend, const EngineOptions& options) {
  const auto slot = slot_of(key_of(source, backend));
  std::lock_guard lock(slot->loading);
  auto& held = slot->engines[std::to_string(options.threads) + "/" + std::to_string(options.max_batch_tokens) + "/" +
                             std::to_string(options.max_queue_tokens)];
  if (auto engine = held.lock()) return engine;
  auto model = slot->model.lock();
  if (!model) {
    slot->model = model = Model::load(source, backend);
    give_back_freed();
  }
  // The engine keeps the slot, and so the slot is found for as long as one of its engines lives.
  auto* engine = new Engine(model, options);
  std::shared_ptr<Engine> shared(engine, [slot](Engine* owned) { delete owned; });
  held = shared;
  return shared;
}

}  // namespace embedcore
