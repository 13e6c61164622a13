// A batch of embeddings in a test's memory, on the device of any backend, for LossRunner.
#pragma once

#include <cstring>
#include <map>
#include <memory>

#include "gradient_check.h"
#include "train/loss_runner.h"

namespace embedcore::test {

// The backends of op_backends.h, and the reference itself.
inline std::vector<const Backend*> loss_backends() {
  std::vector<const Backend*> backends = {&reference_backend()};
  for (const Backend* backend : fast_backends())
    if (has_training(*backend)) backends.push_back(backend);
  return backends;
}

class DeviceRows {
 public:
  DeviceRows(const OpenDevice& device, const Rows& rows) : memory_(device.upload(rows.data(), rows.bytes())) {}
  float* data() const { return static_cast<float*>(memory_.get()); }
  void download(OpenStream& stream, Rows& rows) const {
    expect_ok(stream.opened().backend().download(stream, rows.data(), data(), rows.bytes()), stream);
    stream.wait();
  }

 private:
  std::shared_ptr<void> memory_;
};

// Columns of embeddings, and what a loss gives for them.
struct LossInputs {
  std::vector<Rows> columns, guides;
  Rows teacher{0, 0};
  int64_t teacher_columns = 1;
  std::vector<float> labels;
  std::vector<int32_t> text_ids, groups;
  std::vector<double> log_scales;

  LossResult run(const Backend& backend, const std::vector<LossSpec>& losses, std::vector<Rows>& gradients,
                 int64_t begin = 0, int64_t count = -1, uint64_t draw = 0) const {
    const DevicePointer device = OpenDevice::open(backend);
    OpenStream stream(device);
    std::vector<DeviceRows> memory;
    std::vector<LossColumn> list;
    const int64_t rows = columns[0].rows();
    memory.reserve(3 * columns.size() + 1);
    for (size_t i = 0; i < columns.size(); ++i) {
      LossColumn& column = list.emplace_back();
      column.x = memory.emplace_back(*device, columns[i]).data();
      column.x_stride = columns[i].stride();
      column.dx = memory.emplace_back(*device, gradients[i]).data();
      column.dx_stride = gradients[i].stride();
      if (guides.empty()) continue;
      column.guide = memory.emplace_back(*device, guides[i]).data();
      column.guide_stride = guides[i].stride();
    }
    LossBatch batch{.columns = list, .rows = rows, .width = columns[0].width()};
    batch.begin = begin;
    batch.count = count;
    batch.labels = labels;
    batch.label_width = labels.empty() ? 1 : static_cast<int64_t>(labels.size()) / rows;
    batch.text_ids = text_ids;
    batch.groups = groups;
    batch.log_scales = log_scales;
    batch.draw = draw;
    if (!guides.empty()) batch.guide_width = guides[0].width();
    std::unique_ptr<DeviceRows> teachers;
    if (teacher.rows() > 0) {
      teachers = std::make_unique<DeviceRows>(*device, teacher);
      batch.teacher = teachers->data();
      batch.teacher_columns = teacher_columns;
      batch.teacher_width = teacher.width() / teacher_columns;
    }
    LossRunner runner(device, losses);
    LossResult result = runner.run(stream, batch);
    for (size_t i = 0; i < columns.size(); ++i) {
      const size_t own = i * (guides.empty() ? 2 : 3) + 1;
      memory[own].download(stream, gradients[i]);
    }
    return result;
  }
  LossResult run(const Backend& backend, const std::vector<LossSpec>& losses) const {
    std::vector<Rows> gradients = no_gradients();
    return run(backend, losses, gradients);
  }
  std::vector<Rows> no_gradients(int64_t gap = 0) const {
    std::vector<Rows> list;
    for (const Rows& column : columns)
      list.push_back(std::move(Rows(column.rows(), column.width(), gap).each([](float) { return 0.0f; })));
    return list;
  }
};

inline double norm_of(const Rows& rows) { return std::sqrt(projection(rows, rows)); }

}  // namespace embedcore::test
