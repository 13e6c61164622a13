// ops/triplet.h. Rows are taken in groups. Of a group the distances to all rows are in memory at once: tasks of a few
// panels of rows compute their products on the register tile, tasks of a few rows make distances of them and mine,
// which leaves the derivatives in their place, and tasks of a few columns add the gradients, pair by pair: the
// difference of two near rows is then exact to rounding, which that of two sums of products is not.
#include "ops/triplet.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/backend.h"
#include "cpu/lengths.h"
#include "cpu/row_products.h"
#include "cpu/triplet_mining.h"
#include "ops/checks.h"
#include "ops/vectors.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kDistanceBytes = 16 << 20;  // of a group
constexpr int64_t kMostRows = 240;            // of a group: packing a panel then costs little
constexpr int64_t kLeastRows = 24;            // of a task
constexpr int64_t kWantedTasks = 32;
constexpr int64_t kRowsPerTask = 64;  // of a pass over all rows
constexpr int64_t kMiningRows = 4;    // of a task
constexpr int kColumnVectors = 4;     // of a task that adds gradients

class Triplet {
 public:
  Triplet(Stream& stream, const TripletArgs& args)
      : stream_(stream),
        args_(args),
        is_cosine_(args.distance == Distance::kCosine),
        stride_(round_up(args.rows, kWidth)) {
    const int64_t most =
        std::clamp<int64_t>(kDistanceBytes / (stride_ * static_cast<int64_t>(sizeof(float))), kTileRows, kMostRows);
    group_rows_ = divide_up(args.rows, divide_up(args.rows, most));
    const int64_t units = is_cosine_ ? args.rows * args.width : 0, gradients = args.dx ? units : 0;
    const size_t doubles = static_cast<size_t>(2 * args.rows);
    const size_t floats = static_cast<size_t>(args.rows + stride_ * group_rows_ + units + gradients);
    auto* scratch =
        static_cast<double*>(thread_scratch(Scratch::kShared, doubles * sizeof(double) + floats * sizeof(float)));
    out_of_memory_ = !scratch;
    if (!scratch) return;
    losses_ = scratch;
    counts_ = scratch + args.rows;
    sizes_ = reinterpret_cast<float*>(scratch + doubles);
    distances_ = sizes_ + args.rows;
    units_ = distances_ + stride_ * group_rows_;
    unit_gradients_ = args.dx && is_cosine_ ? units_ + units : nullptr;
  }

  Status run() {
    if (out_of_memory_) return kOutOfMemory;
    if (!measure()) {
      finish(std::numeric_limits<double>::quiet_NaN(), 0);
      return kOk;
    }
    const bool one_group = group_rows_ == args_.rows;
    double count = count_terms();
    // How many terms batch-all counts is known after mining: if there are several groups, they are mined twice.
    if (count < 0 && args_.dx && !one_group) {
      each_group([] {});
      count = total(counts_);
    }
    each_group([&] {
      if (args_.dx) add_gradients(factor_of(count < 0 ? total(counts_) : count));
    });
    if (out_of_memory_) return kOutOfMemory;
    if (unit_gradients_) project();
    count = total(counts_);
    finish(count > 0 ? total(losses_) / count : 0, count);
    return kOk;
  }

 private:
  float factor_of(double count) const { return count > 0 ? static_cast<float>(args_.weight / count) : 0.0f; }

  double total(const double* list) const {
    double sum = 0;
    for (int64_t row = 0; row < args_.rows; ++row) sum += list[row];
    return sum;
  }

  void finish(double loss, double count) const {
    args_.loss[0] = static_cast<float>(loss);
    if (args_.counted) args_.counted[0] = static_cast<float>(count);
  }

  FloatRows rows() const { return is_cosine_ ? FloatRows{units_, args_.width} : FloatRows{args_.x, args_.x_stride}; }

  template <typename Body>
  void each_row(Body&& body) {
    run_tasks(stream_, divide_up(args_.rows, kRowsPerTask), [&](int64_t task) {
      const int64_t end = std::min(args_.rows, (task + 1) * kRowsPerTask);
      for (int64_t row = task * kRowsPerTask; row < end; ++row) body(row);
    });
  }

  // Squares of the rows, or their lengths and the rows over them; whether all are finite.
  bool measure() {
    each_row([&](int64_t row) {
      const float* x = args_.x + row * args_.x_stride;
      sizes_[row] = sum_squares(x, args_.width);
      if (!is_cosine_) return;
      sizes_[row] = std::sqrt(sizes_[row]);
      float* unit = units_ + row * args_.width;
      const float divisor = std::max(sizes_[row], kLeastLength);
      for (int64_t d = 0; d < args_.width; ++d) unit[d] = x[d] / divisor;
      if (!unit_gradients_) return;
      for (int64_t d = 0; d < args_.width; ++d) unit_gradients_[row * args_.width + d] = 0;
    });
    bool finite = true;
    for (int64_t row = 0; row < args_.rows; ++row) finite &= std::isfinite(sizes_[row]);
    return finite;
  }

  // Of what is known without mining, otherwise -1.
  double count_terms() {
    if (args_.mining == TripletMining::kBatchAll) return -1;
    if (args_.mining == TripletMining::kBatchHard) return static_cast<double>(args_.rows);
    each_row([&](int64_t row) {
      int64_t same = 0;
      for (int64_t j = 0; j < args_.rows; ++j) same += args_.labels[j] == args_.labels[row];
      counts_[row] = static_cast<double>(same - 1);
    });
    return total(counts_);
  }

  template <typename Body>
  void each_group(Body&& body) {
    for (begin_ = 0; begin_ < args_.rows && !out_of_memory_; begin_ += group_rows_) {
      group_ = std::min(group_rows_, args_.rows - begin_);
      multiply();
      if (!out_of_memory_) mine();
      if (!out_of_memory_) body();
    }
  }

  template <typename Element>
  Element* task_scratch(int64_t count) {
    void* scratch = thread_scratch(Scratch::kTask, static_cast<size_t>(count) * sizeof(Element));
    if (!scratch) __atomic_store_n(&out_of_memory_, true, __ATOMIC_RELAXED);
    return static_cast<Element*>(scratch);
  }

  void multiply() {
    const int64_t panels = divide_up(args_.rows, kPanel);
    const int64_t chunks = std::clamp<int64_t>(kWantedTasks / panels, 1, divide_up(group_, kLeastRows));
    const int64_t height = divide_up(group_, chunks);
    run_tasks(stream_, panels * chunks, [&](int64_t task) {
      const int64_t row = task % chunks * height, key = task / chunks * kPanel;
      if (row >= group_) return;
      auto* panel = task_scratch<Word>(panel_words(args_.width));
      if (!panel) return;
      multiply_keys({rows().row(begin_ + row), rows().stride}, std::min(height, group_ - row),
                    {rows().row(key), rows().stride}, std::min<int64_t>(kPanel, args_.rows - key), args_.width,
                    distances_ + row * stride_ + key, stride_, panel);
    });
  }

  void mine() {
    run_tasks(stream_, divide_up(group_, kMiningRows), [&](int64_t task) {
      auto* scratch = task_scratch<float>(RowMiner::scratch_floats(args_.rows));
      if (!scratch) return;
      const int64_t end = std::min(group_, (task + 1) * kMiningRows);
      for (int64_t row = task * kMiningRows; row < end; ++row) {
        float* distances = distances_ + row * stride_;
        finish_distances(begin_ + row, distances);
        const MinedTerms terms = RowMiner(args_, begin_ + row, distances, scratch).run();
        losses_[begin_ + row] = terms.loss;
        counts_[begin_ + row] = terms.count;
      }
    });
  }

  // Products become distances; zeros beyond the rows.
  void finish_distances(int64_t row, float* distances) const {
    if (is_cosine_)
      for (int64_t j = 0; j < args_.rows; ++j) distances[j] = 1 - distances[j];
    else
      finish_euclidean(row, distances);
    distances[row] = 0;
    for (int64_t j = args_.rows; j < stride_; ++j) distances[j] = 0;
  }

  // |a - b|^2 = |a|^2 + |b|^2 - 2 ab unless that cancels, as in similarity (ops/vectors.h).
  void finish_euclidean(int64_t row, float* distances) const {
    IntVec near = {};
    for (int64_t j = 0; j < args_.rows; j += kWidth) {
      const Vec product = load(distances + j);
      const Vec squares = broadcast(sizes_[row]) + load_upto(sizes_ + j, args_.rows - j);
      const Vec squared = squares - (product + product);
      const IntVec is_far = squared > squares * broadcast(static_cast<float>(kNearShare));
      near |= ~is_far;
      store(distances + j, is_far ? squared : broadcast(-1.0f));
    }
    const auto both = [](auto a, auto b) { return a | b; };
    if (fold_halves(near, both, std::make_integer_sequence<int, kWidth / 2>()) != 0)
      for (int64_t j = 0; j < args_.rows; ++j)
        if (distances[j] == -1.0f)
          distances[j] = squared_distance(args_.x + row * args_.x_stride, args_.x + j * args_.x_stride, args_.width);
    for (int64_t j = 0; j < args_.rows; ++j) distances[j] = std::sqrt(distances[j]);
  }

  // To dx, or to the gradients of the unit rows.
  void add_gradients(float factor) {
    constexpr int64_t kColumns = kColumnVectors * kWidth;
    if (factor == 0) return;
    run_tasks(stream_, divide_up(args_.width, kColumns), [&](int64_t task) {
      const int64_t column = task * kColumns, left = std::min(kColumns, args_.width - column);
      with_tile<kColumnVectors, 1>(1, divide_up(left, kWidth), [&]<int, int kVectors>() {
        if (is_cosine_)
          add_to_columns<kVectors, true>(factor, column, left);
        else
          add_to_columns<kVectors, false>(factor, column, left);
      });
    });
  }

  template <int kVectors, bool kCosine>
  void add_to_columns(float factor, int64_t column, int64_t columns) {
    float* gradients = (kCosine ? unit_gradients_ : args_.dx) + column;
    const int64_t stride = kCosine ? args_.width : args_.dx_stride;
    for (int64_t row = 0; row < group_; ++row) {
      const float *derivatives = distances_ + row * stride_, *x = rows().row(begin_ + row) + column;
      float* dx = gradients + (begin_ + row) * stride;
      Vec own[kVectors], sum[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        own[v] = load_upto(x + v * kWidth, columns - v * kWidth);
        sum[v] = load_upto(dx + v * kWidth, columns - v * kWidth);
      }
      for (int64_t j = 0; j < args_.rows; ++j) {
        if (derivatives[j] == 0) continue;
        const Vec weight = broadcast(derivatives[j] * factor);
        const float* other = rows().row(j) + column;
        float* other_dx = gradients + j * stride;
        for (int v = 0; v < kVectors; ++v) {
          const int64_t left = columns - v * kWidth;
          const Vec y = load_upto(other + v * kWidth, left), dy = load_upto(other_dx + v * kWidth, left);
          if constexpr (kCosine) {
            sum[v] -= y * weight;
            store_upto(other_dx + v * kWidth, dy - own[v] * weight, left);
          } else {
            const Vec change = (own[v] - y) * weight;
            sum[v] += change;
            store_upto(other_dx + v * kWidth, dy - change, left);
          }
        }
      }
      for (int v = 0; v < kVectors; ++v) store_upto(dx + v * kWidth, sum[v], columns - v * kWidth);
    }
  }

  // From the gradients of the unit rows to those of the rows: what is along a row does not change its cosines.
  void project() {
    each_row([&](int64_t row) {
      const float *unit = units_ + row * args_.width, *gradient = unit_gradients_ + row * args_.width;
      float* dx = args_.dx + row * args_.dx_stride;
      const bool is_long = sizes_[row] >= kLeastLength;
      float along = 0;
      if (is_long) {
        Vec sum = {};
        for (int64_t d = 0; d < args_.width; d += kWidth)
          sum += load_upto(unit + d, args_.width - d) * load_upto(gradient + d, args_.width - d);
        along = sum_lanes(sum);
      }
      const float divisor = std::max(sizes_[row], kLeastLength);
      for (int64_t d = 0; d < args_.width; ++d) dx[d] += (gradient[d] - unit[d] * along) / divisor;
    });
  }

  Stream& stream_;
  const TripletArgs& args_;
  const bool is_cosine_;
  const int64_t stride_;
  int64_t group_rows_ = 0;
  double *losses_ = nullptr, *counts_ = nullptr;  // [rows]
  float* sizes_ = nullptr;                        // [rows] squares, or lengths
  float* distances_ = nullptr;                    // [group_rows_, stride_]
  float *units_ = nullptr, *unit_gradients_ = nullptr;
  bool out_of_memory_ = false;
  int64_t begin_ = 0, group_ = 0;  // rows of the group
};

}  // namespace

Status triplet(Stream& stream, const TripletArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  if (args.rows == 0) {
    args.loss[0] = 0;
    if (args.counted) args.counted[0] = 0;
    return kOk;
  }
  return Triplet(stream, args).run();
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
