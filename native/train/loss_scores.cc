#include "train/loss_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace embedcore {

namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

// log(exp a + exp b)
double join(double a, double b) {
  if (a == kNone) return b;
  if (b == kNone) return a;
  return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

ScoreLoss zeros(Scores scores) { return {0, std::vector<double>(scores.size())}; }

}  // namespace

ScoreLoss cosine_similarity_loss(Scores scores, Scores labels) {
  ScoreLoss result = zeros(scores);
  const double n = static_cast<double>(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    const double error = static_cast<double>(scores[i]) - labels[i];
    result.loss += error * error / n;
    result.dscores[i] = 2 * error / n;
  }
  return result;
}

// In the order of the labels the inner sums are running sums, so all pairs take n log n steps. They are kept as
// logarithms, because scale * score reaches hundreds.
ScoreLoss cosent_loss(Scores scores, Scores labels, double scale) {
  ScoreLoss result = zeros(scores);
  const size_t n = scores.size();
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return labels[a] < labels[b]; });
  const auto scaled = [&](size_t place) { return scale * scores[order[place]]; };
  const auto same = [&](size_t a, size_t b) { return labels[order[a]] == labels[order[b]]; };
  std::vector<double> below(n, kNone), above(n, kNone);  // of rows with a smaller label: exp s; with a greater: exp -s
  for (size_t begin = 0, end; begin < n; begin = end) {
    for (end = begin; end < n && same(begin, end); ++end) below[end] = below[begin];
    double sum = below[begin];
    for (size_t i = begin; i < end; ++i) sum = join(sum, scaled(i));
    if (end < n) below[end] = sum;
  }
  for (size_t end = n, begin; end > 0; end = begin) {
    for (begin = end; begin > 0 && same(end - 1, begin - 1); --begin) above[begin - 1] = above[end - 1];
    double sum = above[end - 1];
    for (size_t i = begin; i < end; ++i) sum = join(sum, -scaled(i));
    if (begin > 0) above[begin - 1] = sum;
  }
  double total = 0;
  for (size_t i = 0; i < n; ++i) total = join(total, below[i] - scaled(i));
  result.loss = total;
  for (size_t i = 0; i < n; ++i) {
    const double lower = above[i] == kNone ? 0 : std::exp(above[i] + scaled(i) - total);
    const double greater = below[i] == kNone ? 0 : std::exp(below[i] - scaled(i) - total);
    result.dscores[order[i]] = scale * (lower - greater);
  }
  // A score that is not finite may have been lost in a maximum.
  for (const float score : scores)
    if (!std::isfinite(score)) result.loss = std::numeric_limits<double>::quiet_NaN();
  return result;
}

ScoreLoss contrastive_loss(Scores distances, Scores labels, double margin, bool size_average) {
  ScoreLoss result = zeros(distances);
  const double factor = size_average ? 1 / static_cast<double>(distances.size()) : 1;
  for (size_t i = 0; i < distances.size(); ++i) {
    const double d = distances[i], y = labels[i], gap = margin - d <= 0 ? 0 : margin - d;
    result.loss += 0.5 * factor * (y * d * d + (1 - y) * gap * gap);
    result.dscores[i] = factor * (y * d - (1 - y) * gap);
  }
  return result;
}

ScoreLoss online_contrastive_loss(Scores distances, Scores labels, double margin) {
  ScoreLoss result = zeros(distances);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  struct {
    double count = 0, sum = 0, least = kInfinity, most = -kInfinity;
    void add(double d) {
      ++count;
      sum += d;
      least = std::min(least, d);
      most = std::max(most, d);
    }
  } positives, negatives;
  for (size_t i = 0; i < distances.size(); ++i) {
    if (labels[i] == 1) positives.add(distances[i]);
    if (labels[i] == 0) negatives.add(distances[i]);
  }
  // The mean of none is a NaN, below or above which nothing is.
  const double hard_negative = positives.count > 1 ? positives.most : negatives.sum / negatives.count;
  const double hard_positive = negatives.count > 1 ? negatives.least : positives.sum / positives.count;
  for (size_t i = 0; i < distances.size(); ++i) {
    const double d = distances[i];
    if (std::isnan(d)) result.loss = d;
    if (labels[i] == 1 && d > hard_positive) {
      result.loss += d * d;
      result.dscores[i] = 2 * d;
    }
    if (labels[i] == 0 && d < hard_negative && margin > d) {
      result.loss += (margin - d) * (margin - d);
      result.dscores[i] = -2 * (margin - d);
    }
  }
  return result;
}

ScoreLoss triplet_loss(Scores distances, double margin) {
  ScoreLoss result = zeros(distances);
  const size_t rows = distances.size() / 2;
  const double n = static_cast<double>(rows);
  for (size_t i = 0; i < rows; ++i) {
    const double h = static_cast<double>(distances[i]) - distances[rows + i] + margin;
    if (h <= 0) continue;
    result.loss += h / n;
    result.dscores[i] = 1 / n;
    result.dscores[rows + i] = -1 / n;
  }
  return result;
}

ScoreLoss margin_mse_loss(Scores scores, Scores labels, int64_t rows) {
  ScoreLoss result = zeros(scores);
  const size_t n = static_cast<size_t>(rows), negatives = n == 0 ? 0 : scores.size() / n - 1;
  const size_t columns = n == 0 ? 0 : labels.size() / n;
  const double terms = static_cast<double>(n * negatives);
  for (size_t i = 0; i < n; ++i) {
    const Scores row = labels.subspan(i * columns, columns);
    for (size_t k = 1; k <= negatives; ++k) {
      const double wanted = columns == negatives ? row[k - 1] : static_cast<double>(row[0]) - row[k];
      const double error = static_cast<double>(scores[i]) - scores[k * n + i] - wanted;
      result.loss += error * error / terms;
      result.dscores[i] += 2 * error / terms;
      result.dscores[k * n + i] -= 2 * error / terms;
    }
  }
  return result;
}

ScoreLoss distill_kl_div_loss(Scores scores, Scores labels, int64_t rows, double student_temperature,
                              double teacher_temperature) {
  ScoreLoss result = zeros(scores);
  const size_t n = static_cast<size_t>(rows), candidates = n == 0 ? 0 : scores.size() / n;
  const auto softmax = [](std::vector<double>& list) {  // as logarithms
    double total = kNone;
    for (const double value : list) total = join(total, value);
    for (double& value : list) value -= total;
  };
  std::vector<double> student(candidates), teacher(candidates);
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < candidates; ++k) {
      student[k] = scores[k * n + i] / student_temperature;
      teacher[k] = labels[i * candidates + k] / teacher_temperature;
    }
    softmax(student);
    softmax(teacher);
    for (size_t k = 0; k < candidates; ++k) {
      const double t = std::exp(teacher[k]), factor = student_temperature / static_cast<double>(n);
      if (t != 0) result.loss += t * (teacher[k] - student[k]) * factor * student_temperature;
      result.dscores[k * n + i] = factor * (std::exp(student[k]) - t);
    }
  }
  return result;
}

}  // namespace embedcore
