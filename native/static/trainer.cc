#include "static/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <mutex>
#include <numeric>

#include "base/error.h"
#include "static/block_trainer.h"

namespace embedcore {

namespace {

constexpr double kGroupSeconds = 0.15;  // of the blocks between two looks at `wanted`
constexpr int64_t kMostBlocksOfThread = 64;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

StaticTrainer::StaticTrainer(const StaticTrainerOptions& options, const WordKernels& kernels)
    : options_(options), kernels_(kernels), reader_(std::make_unique<CorpusReader>(options.corpus)) {}

double StaticTrainer::rate_at(int64_t block) const {
  const int64_t here = block % blocks_.count(), epoch = block / blocks_.count();
  const double done = static_cast<double>(epoch * kept_tokens_ + blocks_.tokens[static_cast<size_t>(here)]) /
                      static_cast<double>(options_.epochs * kept_tokens_);
  return std::max(options_.least_rate, options_.rate - (options_.rate - options_.least_rate) * done);
}

StaticProgress StaticTrainer::progress() const {
  StaticProgress progress;
  progress.block = block_;
  progress.blocks = blocks_.count() * options_.epochs;
  const int64_t epoch = block_ / blocks_.count(), here = block_ % blocks_.count();
  progress.tokens = epoch * kept_tokens_ + blocks_.tokens[static_cast<size_t>(here)];
  progress.rate = done() ? options_.least_rate : rate_at(block_);
  progress.loss = std::numeric_limits<double>::quiet_NaN();
  return progress;
}

StaticProgress StaticTrainer::train(const Stream& team, double seconds, const Wanted& wanted) {
  const double begin = now();
  const int64_t total = blocks_.count() * options_.epochs;
  std::mutex mutex;
  // Guarded by mutex: trainers without a block; there are as many as threads were inside at once.
  std::vector<std::unique_ptr<BlockTrainer>> idle;
  struct Group {
    StaticTrainer& of;
    std::mutex& mutex;
    std::vector<std::unique_ptr<BlockTrainer>>& idle;
    int64_t first;
  };
  while (block_ < total && wanted()) {
    const double group_begin = now();
    const int64_t ideal =
        block_seconds_ > 0 ? static_cast<int64_t>(kGroupSeconds * options_.threads / block_seconds_) : options_.threads;
    const int64_t blocks =
        std::min(total - block_, std::clamp<int64_t>(ideal, options_.threads, options_.threads * kMostBlocksOfThread));
    Group group{*this, mutex, idle, block_};
    team.parallel(
        team.team, blocks,
        [](void* arg, int64_t task) {
          Group& group = *static_cast<Group*>(arg);
          std::unique_ptr<BlockTrainer> trainer;
          {
            std::lock_guard lock(group.mutex);
            if (!group.idle.empty()) {
              trainer = std::move(group.idle.back());
              group.idle.pop_back();
            }
          }
          if (!trainer) trainer = std::make_unique<BlockTrainer>(group.of);
          trainer->run(group.first + task);
          std::lock_guard lock(group.mutex);
          group.idle.push_back(std::move(trainer));
        },
        &group);
    block_ += blocks;
    const double end = now();
    block_seconds_ = (end - group_begin) * options_.threads / static_cast<double>(blocks);
    if (end - begin >= seconds) break;
  }
  StaticProgress result = progress();
  double loss = 0;
  int64_t sampled = 0;
  for (const auto& trainer : idle) {
    loss += trainer->loss();
    sampled += trainer->sampled_steps();
  }
  if (sampled > 0) result.loss = loss / static_cast<double>(sampled);
  return result;
}

}  // namespace embedcore
