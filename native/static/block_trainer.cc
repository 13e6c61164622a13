#include "static/block_trainer.h"

#include <algorithm>

namespace embedcore {

namespace {

constexpr int64_t kStepsPerLoss = 64;  // the loss of every 64th step is computed
constexpr int64_t kLineFloats = 16;

void fetch_ahead(const float* row, int64_t width) {
  for (int64_t d = 0; d < width; d += kLineFloats) __builtin_prefetch(row + d, 1, 3);
}

}  // namespace

BlockTrainer::BlockTrainer(const StaticTrainer& trainer)
    : of_(trainer),
      options_(trainer.options_),
      inputs_(trainer.vectors_->inputs),
      outputs_(trainer.vectors_->outputs),
      width_(inputs_.stride()),
      memory_(static_cast<size_t>(2 * width_ + kLineFloats)) {
  const auto place = reinterpret_cast<uintptr_t>(memory_.data());
  h_ = memory_.data() + (64 - place % 64) % 64 / sizeof(float);
  e_ = h_ + width_;
  for (Step& step : steps_) {
    step.labels[0] = 1.0f;
    std::fill(step.labels + 1, step.labels + kMostTargets, 0.0f);
  }
}

void BlockTrainer::run(int64_t block) {
  const TrainingBlocks& blocks = of_.blocks_;
  const int64_t here = block % blocks.count(), epoch = block / blocks.count();
  random_ = Random(Random::mix(options_.seed + 1) ^
                   Random::mix(static_cast<uint64_t>(epoch) << 40 ^ static_cast<uint64_t>(here)));
  rate_ = static_cast<float>(of_.rate_at(block));
  const int32_t* tokens = blocks.store->tokens().data();
  int64_t at = blocks.begins[static_cast<size_t>(here)];
  const int64_t end = blocks.begins[static_cast<size_t>(here) + 1];
  while (at < end) {
    int64_t stop = at;
    while (stop < end && tokens[stop] != TokenStore::kEndOfSentence) ++stop;
    sentence(tokens + at, stop - at);
    at = stop + 1;
  }
}

void BlockTrainer::sentence(const int32_t* tokens, int64_t count) {
  kept_.clear();
  for (int64_t i = 0; i < count; ++i) {
    const float keep = of_.keep_[static_cast<size_t>(tokens[i])];
    if (keep >= 1.0f || random_.unit() < keep) kept_.push_back(tokens[i]);
  }
  const auto length = static_cast<int64_t>(kept_.size());
  for (int64_t centre = 0; centre < length; ++centre) {
    if (options_.skip_gram)
      skip_gram(centre);
    else
      cbow(centre);
  }
}

void BlockTrainer::add_inputs(int32_t word) {
  in_rows_.push_back(input(word));
  if (of_.bucket_offsets_.empty()) return;
  for (int64_t i = of_.bucket_offsets_[static_cast<size_t>(word)];
       i < of_.bucket_offsets_[static_cast<size_t>(word) + 1]; ++i)
    in_rows_.push_back(input(of_.bucket_rows_[static_cast<size_t>(i)]));
}

// The output rows of a step towards `target`.
void BlockTrainer::draw(Step& step, int32_t target) {
  step.count = 0;
  if (of_.sampler_) {
    step.rows[step.count++] = outputs_.row(target);
    for (int64_t i = 0; i < options_.negative; ++i) {
      const int32_t drawn = of_.sampler_->draw(random_);
      if (drawn != target) step.rows[step.count++] = outputs_.row(drawn);
    }
  } else {
    const HuffmanTree& tree = of_.tree_;
    const int64_t begin = tree.offsets[static_cast<size_t>(target)],
                  end = tree.offsets[static_cast<size_t>(target) + 1];
    for (int64_t i = begin; i < end; ++i) {
      step.labels[step.count] = tree.labels[static_cast<size_t>(i)];
      step.rows[step.count++] = outputs_.row(tree.nodes[static_cast<size_t>(i)]);
    }
  }
  for (int64_t i = 0; i < step.count; ++i) fetch_ahead(step.rows[i], width_);
}

void BlockTrainer::take(const Step& step, const float* h) {
  const bool sampled = ++step_number_ % kStepsPerLoss == 0;
  const float loss = of_.kernels_.step(h, step.rows, step.labels, step.count, rate_, e_, width_, sampled);
  if (!sampled) return;
  loss_ += loss;
  ++sampled_;
}

void BlockTrainer::skip_gram(int64_t centre) {
  const auto length = static_cast<int64_t>(kept_.size());
  const int64_t reach =
      options_.shrink_windows ? 1 + random_.below(static_cast<uint32_t>(options_.window)) : options_.window;
  const int64_t first = std::max<int64_t>(0, centre - reach), last = std::min(length - 1, centre + reach);
  if (first == last) return;
  in_rows_.clear();
  add_inputs(kept_[static_cast<size_t>(centre)]);
  const auto rows = static_cast<int64_t>(in_rows_.size());
  const float share = 1.0f / static_cast<float>(rows);
  // One step is drawn, and its rows fetched, while the one before it is computed.
  int next = 0;
  bool waiting = false;
  const auto finish = [&](const Step& step) {
    const float* h = in_rows_[0];
    if (rows > 1) {
      of_.kernels_.gather(in_rows_.data(), rows, share, h_, width_);
      h = h_;
    }
    take(step, h);
    of_.kernels_.scatter(in_rows_.data(), rows, 1.0f, e_, width_);
  };
  for (int64_t i = first; i <= last; ++i) {
    if (i == centre) continue;
    draw(steps_[next], kept_[static_cast<size_t>(i)]);
    if (waiting) finish(steps_[1 - next]);
    waiting = true;
    next = 1 - next;
  }
  finish(steps_[1 - next]);
}

void BlockTrainer::cbow(int64_t centre) {
  const auto length = static_cast<int64_t>(kept_.size());
  const int64_t reach =
      options_.shrink_windows ? 1 + random_.below(static_cast<uint32_t>(options_.window)) : options_.window;
  const int64_t first = std::max<int64_t>(0, centre - reach), last = std::min(length - 1, centre + reach);
  if (first == last) return;
  draw(steps_[0], kept_[static_cast<size_t>(centre)]);
  in_rows_.clear();
  for (int64_t i = first; i <= last; ++i)
    if (i != centre) add_inputs(kept_[static_cast<size_t>(i)]);
  const auto rows = static_cast<int64_t>(in_rows_.size());
  const float share = options_.cbow_mean ? 1.0f / static_cast<float>(rows) : 1.0f;
  of_.kernels_.gather(in_rows_.data(), rows, share, h_, width_);
  take(steps_[0], h_);
  of_.kernels_.scatter(in_rows_.data(), rows, options_.exact_cbow ? share : 1.0f, e_, width_);
}

}  // namespace embedcore
