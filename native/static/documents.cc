#include "static/documents.h"

#include <algorithm>
#include <cmath>

namespace embedcore {

namespace {
constexpr int kMostRounds = 1000;
constexpr double kStill = 1e-12;  // 1 - cosine of two rounds
constexpr int64_t kRowsOfTask = 1024;

void add_document(const WordVectors& vectors, const DocumentsRequest& request, int64_t document,
                  std::vector<float>& word_vector, std::vector<double>& sum) {
  std::fill(sum.begin(), sum.end(), 0.0);
  const size_t begin = request.begins[static_cast<size_t>(document)],
               end = request.begins[static_cast<size_t>(document) + 1];
  std::string_view text(request.text.data() + begin, end - begin);
  double total = 0;
  int32_t known = 0;
  while (!text.empty()) {
    const size_t stop = text.find_first_of(" \n");
    const std::string_view word = text.substr(0, stop);
    text.remove_prefix(stop == std::string_view::npos ? text.size() : stop + 1);
    if (word.empty() || !vectors.compose(word, word_vector.data())) continue;
    const int64_t id = vectors.words.find(word);
    double weight = request.weights.empty()  ? 1.0
                    : id == WordTable::kNone ? request.other_weight
                                             : request.weights[static_cast<size_t>(id)];
    double share = weight;
    if (request.unit) {
      double squares = 0;
      for (const float value : word_vector) squares += static_cast<double>(value) * value;
      if (squares == 0) continue;
      share /= std::sqrt(squares);
    }
    for (size_t d = 0; d < sum.size(); ++d) sum[d] += share * word_vector[d];
    total += weight;
    ++known;
  }
  const double divisor = request.by_count ? known : total;
  float* row = request.rows + document * vectors.dimension;
  for (size_t d = 0; d < sum.size(); ++d) row[d] = divisor == 0 ? 0.0f : static_cast<float>(sum[d] / divisor);
  request.known[document] = known;
}

}  // namespace

void document_vectors(const WordVectors& vectors, const DocumentsRequest& request, int64_t first, int64_t last) {
  vectors.check();
  std::vector<float> word_vector(static_cast<size_t>(vectors.dimension));
  std::vector<double> sum(word_vector.size());
  for (int64_t document = first; document < last; ++document)
    add_document(vectors, request, document, word_vector, sum);
}

std::vector<double> common_component(const Stream& team, const float* rows, int64_t count, int64_t width,
                                     const std::function<void()>& keep_going) {
  const auto columns = static_cast<size_t>(width);
  const int64_t tasks = (count + kRowsOfTask - 1) / kRowsOfTask;
  std::vector<std::vector<double>> parts(static_cast<size_t>(tasks), std::vector<double>(columns));
  // Not a multiple of one axis, so that it has a share of every component.
  std::vector<double> vector(columns), next(columns);
  for (size_t d = 0; d < columns; ++d) vector[d] = 1.0 + 0.001 * static_cast<double>((d * 7919) % 1000);
  for (int round = 0; round < kMostRounds; ++round) {
    keep_going();
    const auto body = [&](int64_t task) {
      std::vector<double>& part = parts[static_cast<size_t>(task)];
      std::fill(part.begin(), part.end(), 0.0);
      const int64_t last = std::min(count, (task + 1) * kRowsOfTask);
      for (int64_t row = task * kRowsOfTask; row < last; ++row) {
        const float* x = rows + row * width;
        double along = 0;
        for (size_t d = 0; d < columns; ++d) along += x[d] * vector[d];
        for (size_t d = 0; d < columns; ++d) part[d] += along * x[d];
      }
    };
    team.parallel(
        team.team, tasks, [](void* arg, int64_t task) { (*static_cast<decltype(body)*>(arg))(task); },
        const_cast<void*>(static_cast<const void*>(&body)));
    std::fill(next.begin(), next.end(), 0.0);
    for (const auto& part : parts)
      for (size_t d = 0; d < columns; ++d) next[d] += part[d];
    double squares = 0, cosine = 0;
    for (const double value : next) squares += value * value;
    if (squares == 0) return std::vector<double>(columns);
    for (size_t d = 0; d < columns; ++d) {
      next[d] /= std::sqrt(squares);
      cosine += next[d] * vector[d];
    }
    vector.swap(next);
    if (round > 0 && 1 - cosine < kStill) break;
  }
  const auto largest =
      *std::max_element(vector.begin(), vector.end(), [](double a, double b) { return std::fabs(a) < std::fabs(b); });
  if (largest < 0)
    for (double& value : vector) value = -value;
  return vector;
}

}  // namespace embedcore
