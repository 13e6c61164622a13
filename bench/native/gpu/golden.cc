// The tiny models of test/golden on the device: against their golden files (transformers in float32), against the
// reference backend in the same dtype, and the same bits each time and in a batch.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "model/model.h"
#include "record.h"
#include "reference/backend.h"
#include "target.h"

namespace embedcore::gpu_bench {

namespace {

namespace fs = std::filesystem;

struct GoldenCase {
  std::string name;
  std::vector<int32_t> ids;
  std::vector<Mask> masks;  // empty = the model's own
  int32_t prefix = 0;
};

std::vector<GoldenCase> read_cases(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  const Json document = Json::parse(text.str(), path);
  const Json* list = document.find("cases");
  if (!list) fail(Code::kInvalidFile, "%s has no cases", quote(path).c_str());
  std::vector<GoldenCase> cases;
  for (const Json& one : list->as_array()) {
    GoldenCase golden;
    golden.name = one.get_string("name", "");
    for (const Json& id : one.find("ids")->as_array()) golden.ids.push_back(static_cast<int32_t>(id.as_int()));
    const Json& attention = *one.find("attention");
    if (attention.is_object()) {
      golden.masks = {Mask::kPrefix};
      golden.prefix = static_cast<int32_t>(attention.get_int("prefix", 0));
    } else if (attention.as_string() != "default") {
      golden.masks = {attention.as_string() == "causal" ? Mask::kCausal : Mask::kBidirectional};
    }
    cases.push_back(std::move(golden));
  }
  return cases;
}

// A loaded model and what a pass of it needs.
class Runner {
 public:
  Runner(const std::string& directory, const Backend& backend, DType dtype)
      : model_(load(directory, backend, dtype)), stream_(model_->encoder().shared_device()) {}

  int64_t layers() const { return static_cast<int64_t>(model_->transformer()->config().layers.size()); }
  int64_t width() const { return model_->transformer()->config().hidden; }
  EncodePlan plan(const std::vector<Mask>& masks) const {
    PlanOptions options;
    options.states = {layers()};
    options.attention = masks;
    options.token_output = true;
    options.normalize = false;
    return model_->plan(options);
  }

  // The last hidden states of a text, which is number `number` of several equal ones.
  std::vector<float> hidden(const EncodePlan& plan, const GoldenCase& golden, int texts, int number) {
    builder_.clear();
    for (int i = 0; i < texts; ++i) builder_.add(golden.ids, 0, golden.prefix);
    const ResultRows rows = model_->run(plan, builder_, workspace_, stream_, [] { return true; });
    std::vector<float> all(static_cast<size_t>(rows.rows * rows.stride));
    check_status(model_->backend().download(stream_, all.data(), rows.data, all.size() * sizeof(float)), stream_,
                 "a download");
    stream_.wait();
    std::vector<float> dense;
    const auto tokens = static_cast<int64_t>(golden.ids.size());
    for (int64_t row = number * tokens; row < (number + 1) * tokens; ++row)
      dense.insert(dense.end(), all.begin() + row * rows.stride, all.begin() + row * rows.stride + width());
    return dense;
  }

 private:
  static std::shared_ptr<const Model> load(const std::string& directory, const Backend& backend, DType dtype) {
    ModelSource source;
    source.directory = directory;
    source.dtype = dtype;
    return Model::load(source, OpenDevice::open(backend));
  }
  const std::shared_ptr<const Model> model_;
  OpenStream stream_;
  Workspace workspace_;
  BatchBuilder builder_;
};

// The greatest difference of two numbers of a row, as a part of the row's length. NaN is infinite.
double deviation(const std::vector<float>& got, const std::vector<float>& wanted, int64_t width) {
  if (got.size() != wanted.size()) return INFINITY;
  double worst = 0;
  for (size_t row = 0; row < got.size(); row += static_cast<size_t>(width)) {
    double squares = 0, difference = 0;
    for (size_t i = row; i < row + static_cast<size_t>(width); ++i) {
      squares += static_cast<double>(wanted[i]) * wanted[i];
      const double one = std::abs(static_cast<double>(got[i]) - wanted[i]);
      difference = one <= difference ? difference : one;  // a NaN stays
    }
    const double part = difference / std::sqrt(squares);
    worst = part <= worst ? worst : part;
  }
  return std::isnan(worst) ? INFINITY : worst;
}

// As test/parity/dtypes.test.ts: a layer rounds about 16 rows on the way of a number, each by a unit of the row's
// length at most, and layers err independently. In float32 a layer errs by a few epsilon.
double allowed(DType dtype, int64_t layers) {
  const double root = std::sqrt(static_cast<double>(layers));
  switch (dtype) {
    case DType::kBF16: return 16 * 0x1p-9 * root;
    case DType::kF16: return 16 * 0x1p-12 * root;
    case DType::kI8: return 16 * 0x1p-8 * root;
    default: return 2e-6 * root;
  }
}

std::vector<float> tensor(const SafeTensors& file, const std::string& name) {
  const TensorView* view = file.find(name);
  if (!view) fail(Code::kMissingTensor, "%s has no tensor %s", quote(file.path()).c_str(), quote(name).c_str());
  std::vector<float> values(static_cast<size_t>(view->elements()));
  to_float32(view->data, view->dtype, values.data(), values.size());
  return values;
}

// Returns whether the model agrees.
bool check_model(const std::string& directory, const Backend& backend, DType dtype) {
  Runner device(directory, backend, dtype), reference(directory, reference_backend(), dtype);
  const auto golden = SafeTensors::open(directory + "/golden.safetensors");
  double to_golden = 0, to_reference = 0;
  bool same = true;
  int64_t cases = 0;
  for (const GoldenCase& one : read_cases(directory + "/golden.json")) {
    const EncodePlan plan = device.plan(one.masks);
    const std::vector<float> got = device.hidden(plan, one, 1, 0);
    const auto wanted = tensor(*golden, one.name + ".hidden." + std::to_string(device.layers()));
    to_golden = std::max(to_golden, deviation(got, wanted, device.width()));
    to_reference =
        std::max(to_reference, deviation(got, reference.hidden(reference.plan(one.masks), one, 1, 0), device.width()));
    // A device that records small batches replays the third.
    for (int i = 0; i < 3; ++i) same = same && device.hidden(plan, one, 1, 0) == got;
    same = same && device.hidden(plan, one, 9, 5) == got;
    ++cases;
  }
  const double limit = allowed(dtype, device.layers());
  // The reference errs by as much as the device may.
  const bool ok = cases > 0 && to_golden <= limit && to_reference <= 2 * limit && same;
  Record()
      .text("kernel", "golden")
      .text("model", fs::path(directory).filename())
      .text("dtype", dtype_name(dtype))
      .number("cases", cases)
      .real("toGolden", to_golden)
      .real("toReference", to_reference)
      .real("allowed", limit)
      .flag("sameBits", same)
      .flag("ok", ok)
      .print();
  return ok;
}

}  // namespace

int golden_mode(const Options& options) {
  const Backend& backend = find_backend(options);
  if (options.golden.empty()) fail(Code::kInvalidOption, "golden needs --golden DIR");
  std::vector<std::string> directories;
  for (const auto& entry : fs::directory_iterator(options.golden))
    if (options.wants(entry.path().filename())) directories.push_back(entry.path());
  std::sort(directories.begin(), directories.end());
  if (directories.empty()) fail(Code::kNotFound, "there is no model in %s", quote(options.golden).c_str());
  std::vector<DType> dtypes{DType::kF32};
  for (const DType dtype : options.dtypes)
    if (dtype != DType::kF32) dtypes.push_back(dtype);
  int failed = 0;
  for (const std::string& directory : directories) {
    for (const DType dtype : dtypes) {
      if (!OpenDevice::open(backend)->supports(dtype)) continue;
      try {
        if (!check_model(directory, backend, dtype)) ++failed;
      } catch (const Error& error) {
        Record()
            .text("kernel", "golden")
            .text("model", fs::path(directory).filename())
            .text("dtype", dtype_name(dtype))
            .text("error", error.what())
            .print();
        ++failed;
        if (error.code == Code::kDevice) return failed;
      }
    }
  }
  return failed;
}

}  // namespace embedcore::gpu_bench
