// ops/contrastive.h. Rows are taken in groups. Of a group the products with all keys are in memory at once: tasks of a
// few panels of keys compute them, tasks of a few rows make gradients of the scores from them in place, and tasks of a
// few columns of da, or of a few keys of dk, add these to the vectors.
#include "ops/contrastive.h"

#include <algorithm>

#include "cpu/backend.h"
#include "cpu/contrastive_softmax.h"
#include "cpu/row_products.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kScoreBytes = 16 << 20;  // of a group
constexpr int64_t kMostRows = 240;         // of a group: packing a panel then costs little
constexpr int64_t kLeastRows = 24;         // of a task
constexpr int64_t kWantedTasks = 32;
constexpr int64_t kSoftmaxScores = 16384;  // of a task, at least
constexpr int64_t kKeysPerTask = 96;       // of dk

class Contrastive {
 public:
  Contrastive(Stream& stream, const ContrastiveArgs& args) : stream_(stream), args_(args), columns_(args) {
    for (int32_t b = 0; b < args.count; ++b) has_guide_ |= args.blocks[b].guide_a != nullptr;
    const int64_t row_bytes = columns_.total * (has_guide_ ? 2 : 1) * static_cast<int64_t>(sizeof(float));
    const int64_t most = std::clamp<int64_t>(kScoreBytes / row_bytes, kTileRows, kMostRows);
    group_rows_ = divide_up(args.rows, divide_up(args.rows, most));
    scores_ = static_cast<float*>(thread_scratch(Scratch::kShared, static_cast<size_t>(group_rows_ * row_bytes)));
    if (has_guide_ && scores_) guide_ = scores_ + group_rows_ * columns_.total;
  }

  Status run() {
    out_of_memory_ = !scores_;
    for (begin_ = 0; begin_ < args_.rows && !out_of_memory_; begin_ += group_rows_) {
      rows_ = std::min(group_rows_, args_.rows - begin_);
      multiply();
      if (!out_of_memory_) normalise();
      if (!out_of_memory_) add_gradients();
    }
    return out_of_memory_ ? kOutOfMemory : kOk;
  }

 private:
  float* scores_of(int32_t b) const { return scores_ + columns_.begin[b]; }

  Word* task_scratch(int64_t words) {
    void* scratch = thread_scratch(Scratch::kTask, static_cast<size_t>(words) * sizeof(Word));
    if (!scratch) __atomic_store_n(&out_of_memory_, true, __ATOMIC_RELAXED);
    return static_cast<Word*>(scratch);
  }

  // Products of the group's rows with the keys of all blocks, and of their guides.
  void multiply() {
    int64_t panels = 0;
    for (int32_t b = 0; b < args_.count; ++b)
      panels += divide_up(args_.blocks[b].keys, kPanel) * (args_.blocks[b].guide_a ? 2 : 1);
    const int64_t chunks = std::clamp<int64_t>(kWantedTasks / panels, 1, divide_up(rows_, kLeastRows));
    const int64_t height = divide_up(rows_, chunks);
    run_tasks(stream_, panels * chunks, [&](int64_t task) {
      const int64_t row = task % chunks * height;
      if (row < rows_) multiply_panel_of(task / chunks, row, std::min(height, rows_ - row));
    });
  }

  void multiply_panel_of(int64_t index, int64_t row, int64_t rows) {
    for (int32_t b = 0; b < args_.count; ++b) {
      const ContrastiveBlock& block = args_.blocks[b];
      const int64_t panels = divide_up(block.keys, kPanel);
      for (const bool of_guide : {false, true}) {
        if (of_guide && !block.guide_a) continue;
        if (index >= panels) {
          index -= panels;
          continue;
        }
        const int64_t width = of_guide ? args_.guide_width : args_.width, key = index * kPanel;
        Word* panel = task_scratch(panel_words(width));
        if (!panel) return;
        const FloatRows a =
            of_guide ? FloatRows{block.guide_a, block.guide_a_stride} : FloatRows{block.a, block.a_stride};
        const FloatRows k =
            of_guide ? FloatRows{block.guide_k, block.guide_k_stride} : FloatRows{block.k, block.k_stride};
        float* to = (of_guide ? guide_ : scores_) + row * columns_.total + columns_.begin[b] + key;
        multiply_keys({a.row(begin_ + row), a.stride}, rows, {k.row(key), k.stride},
                      std::min<int64_t>(kPanel, block.keys - key), width, to, columns_.total, panel);
        return;
      }
    }
  }

  void normalise() {
    const int64_t height = std::max<int64_t>(kSoftmaxScores / columns_.total, 1);
    run_tasks(stream_, divide_up(rows_, height), [&](int64_t task) {
      const int64_t end = std::min(rows_, (task + 1) * height);
      for (int64_t row = task * height; row < end; ++row) {
        const int64_t place = row * columns_.total;
        ContrastiveRow(args_, columns_, begin_ + row, scores_ + place, guide_ ? guide_ + place : nullptr).run();
      }
    });
  }

  // The first block that has this gradient.
  int32_t leader_of(float* ContrastiveBlock::*gradient, int32_t b) const {
    int32_t leader = 0;
    while (args_.blocks[leader].*gradient != args_.blocks[b].*gradient) ++leader;
    return leader;
  }

  void add_gradients() {
    const int64_t panels = divide_up(args_.width, kPanel);
    const int64_t chunks =
        std::clamp<int64_t>(kWantedTasks / std::max<int64_t>(panels, 1), 1, divide_up(rows_, kLeastRows));
    int64_t row_tasks = 0, key_tasks = 0;
    for (int32_t b = 0; b < args_.count; ++b) {
      const ContrastiveBlock& block = args_.blocks[b];
      if (block.da && leader_of(&ContrastiveBlock::da, b) == b) row_tasks += panels * chunks;
      if (block.dk && leader_of(&ContrastiveBlock::dk, b) == b) key_tasks += divide_up(block.keys, kKeysPerTask);
    }
    run_tasks(stream_, row_tasks + key_tasks, [&](int64_t task) {
      if (task >= row_tasks) return add_to_keys(task - row_tasks);
      int64_t left = task / (panels * chunks);
      for (int32_t b = 0; b < args_.count; ++b) {
        if (!args_.blocks[b].da || leader_of(&ContrastiveBlock::da, b) != b) continue;
        if (left-- == 0)
          return add_to_rows(b, task / chunks % panels * kPanel, task % chunks, divide_up(rows_, chunks));
      }
    });
  }

  // Columns of da of the blocks that share it.
  void add_to_rows(int32_t leader, int64_t column, int64_t chunk, int64_t height) {
    const int64_t row = chunk * height, rows = std::min(height, rows_ - row);
    if (rows <= 0) return;
    for (int32_t b = leader; b < args_.count; ++b) {
      const ContrastiveBlock& block = args_.blocks[b];
      if (block.da != args_.blocks[leader].da || block.keys == 0) continue;
      Word* panel = task_scratch(panel_words(block.keys));
      if (!panel) return;
      add_products(
          {scores_of(b) + row * columns_.total, columns_.total}, rows,
          [&](int64_t j) { return block.k + j * block.k_stride + column; }, block.keys,
          std::min<int64_t>(kPanel, args_.width - column), block.da + (begin_ + row) * block.da_stride + column,
          block.da_stride, panel);
    }
  }

  void add_to_keys(int64_t task) {
    for (int32_t b = 0; b < args_.count; ++b) {
      const ContrastiveBlock& block = args_.blocks[b];
      if (!block.dk || leader_of(&ContrastiveBlock::dk, b) != b) continue;
      const int64_t tasks = divide_up(block.keys, kKeysPerTask);
      if (task < tasks)
        return add_to_keys(b, task * kKeysPerTask, std::min(kKeysPerTask, block.keys - task * kKeysPerTask));
      task -= tasks;
    }
  }

  // Keys key .. of dk of the blocks that share it. The steps are the rows and, of each, the blocks.
  void add_to_keys(int32_t leader, int64_t key, int64_t keys) {
    int32_t sharing[kMostContrastiveBlocks];
    int64_t count = 0;
    for (int32_t b = leader; b < args_.count; ++b)
      if (args_.blocks[b].dk == args_.blocks[leader].dk) sharing[count++] = b;
    const int64_t steps = rows_ * count, stride = round_up(steps, kWidth);
    Word* scratch = task_scratch(keys * stride + panel_words(steps));
    if (!scratch) return;
    for (int64_t i = 0; i < count; ++i) transpose_scores(sharing[i], key, keys, i, count, scratch, stride);
    const ContrastiveBlock& first = args_.blocks[leader];
    for (int64_t column = 0; column < args_.width; column += kPanel) {
      const auto row_of = [&](int64_t step) {
        const ContrastiveBlock& block = args_.blocks[sharing[count == 1 ? 0 : step % count]];
        return block.a + (begin_ + (count == 1 ? step : step / count)) * block.a_stride + column;
      };
      add_products({reinterpret_cast<const float*>(scratch), stride}, keys, row_of, steps,
                   std::min<int64_t>(kPanel, args_.width - column), first.dk + key * first.dk_stride + column,
                   first.dk_stride, scratch + keys * stride);
    }
  }

  // to[j, r * count + index] = the score of row r and key key + j
  void transpose_scores(int32_t b, int64_t key, int64_t keys, int64_t index, int64_t count, Word* to, int64_t stride) {
    const auto* from = reinterpret_cast<const Word*>(scores_of(b) + key);
    for (int64_t row = 0; row < rows_; row += kWidth) {
      const int64_t columns = std::min<int64_t>(kWidth, rows_ - row);
      if (count == 1) {
        const Word* rows[kWidth];
        for (int64_t i = 0; i < columns; ++i) rows[i] = from + (row + i) * columns_.total;
        transpose_columns(rows, columns, keys, to + row, stride);
        continue;
      }
      for (int64_t i = row; i < row + columns; ++i)
        for (int64_t j = 0; j < keys; ++j) to[j * stride + i * count + index] = from[i * columns_.total + j];
    }
  }

  Stream& stream_;
  const ContrastiveArgs& args_;
  const ScoreColumns columns_;
  bool has_guide_ = false, out_of_memory_ = false;
  int64_t group_rows_ = 0;
  float *scores_ = nullptr, *guide_ = nullptr;  // [group_rows_, columns_.total]
  int64_t begin_ = 0, rows_ = 0;                // of the group
};

}  // namespace

Status contrastive(Stream& stream, const ContrastiveArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  if (args.rows == 0) return kOk;
  return Contrastive(stream, args).run();
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
