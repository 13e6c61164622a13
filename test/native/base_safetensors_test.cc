// SafeTensors of base/safetensors.h: one file, good and bad.
#include "base/safetensors.h"

#include "base_files.h"

namespace embedcore {
namespace {

const std::string kGood = R"({"__metadata__":{"format":"pt","empty":""},)"
                          R"("b":{"dtype":"F32","shape":[2,3],"data_offsets":[6,30]},)"
                          R"("a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]},)"
                          R"("none":{"dtype":"I64","shape":[0,7],"data_offsets":[30,30]},)"
                          R"("scalar":{"dtype":"U8","shape":[],"data_offsets":[30,31]}}   )";

std::shared_ptr<const SafeTensors> parse(const std::string& file) {
  return SafeTensors::parse(as_bytes(file), "model.safetensors");
}

void expect_refused(const std::string& header, size_t data_bytes, std::initializer_list<std::string_view> parts) {
  SCOPED_TRACE(header);
  const std::string file = safetensors_file(header, data_bytes);
  expect_error(Code::kInvalidFile, parts, [&] { parse(file); });
}

// One tensor "t" with these fields.
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"t":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

TEST(SafeTensors, ReadsViewsIntoTheBytes) {
  const std::string file = safetensors_file(kGood, 31);
  const auto tensors = parse(file);
  ASSERT_EQ(tensors->all().size(), 4u);
  EXPECT_EQ(tensors->all()[0].name, "a");  // in the order of the bytes
  const TensorView* b = tensors->find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, DType::kF32);
  EXPECT_EQ(b->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b->elements(), 6);
  EXPECT_EQ(b->bytes, 24u);
  EXPECT_EQ(static_cast<const void*>(b->data), file.data() + 8 + kGood.size() + 6);
  EXPECT_EQ(b->data[0], std::byte{6});
  EXPECT_EQ(tensors->find("none")->elements(), 0);
  EXPECT_EQ(tensors->find("none")->bytes, 0u);
  EXPECT_EQ(tensors->find("scalar")->elements(), 1);
  EXPECT_EQ(tensors->find("scalar")->data[0], std::byte{30});
  EXPECT_EQ(tensors->find("c"), nullptr);
}

TEST(SafeTensors, OpensFilesAndKeepsTheMapping) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("x.safetensors", safetensors_file(kGood, 31));
  auto tensors = SafeTensors::open(path);
  std::filesystem::remove(path);
  EXPECT_EQ(tensors->find("a")->data[5], std::byte{5});
  EXPECT_EQ(tensors->path(), path);
  expect_error(Code::kNotFound, {path}, [&] { SafeTensors::open(path); });
}

TEST(SafeTensors, ReadsAFileWithoutTensors) {
  EXPECT_TRUE(parse(safetensors_file("{}", 0))->all().empty());
  EXPECT_TRUE(parse(safetensors_file(R"({"__metadata__":{}})", 0))->all().empty());
}

TEST(SafeTensors, EveryTruncationIsRefused) {
  const std::string file = safetensors_file(kGood, 31);
  for (size_t length = 0; length < file.size(); ++length) {
    SCOPED_TRACE(length);
    // A copy of exactly this size, so that a sanitizer detects a read beyond it.
    const std::vector<char> cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length));
    expect_error(Code::kInvalidFile, {"model.safetensors"}, [&] {
      SafeTensors::parse(as_bytes({cut.data(), cut.size()}), "model.safetensors");
    });
  }
  expect_error(Code::kInvalidFile, {"the tensors take 31 bytes, but the file has 32"}, [&] { parse(file + "x"); });
}

TEST(SafeTensors, AnyBrokenByteIsRefusedOrHarmless) {
  const std::string file = safetensors_file(kGood, 31);
  for (size_t at = 0; at < 8 + kGood.size(); ++at)
    for (const int value : {0x00, 0x22, 0x2c, 0x2d, 0x31, 0x39, 0x5b, 0x7b, 0x7d, 0xff}) {
      std::string broken = file;
      broken[at] = static_cast<char>(value);
      try {
        const auto tensors = parse(broken);
        for (const TensorView& view : tensors->all()) {
          const auto* end = reinterpret_cast<const std::byte*>(broken.data() + broken.size());
          ASSERT_TRUE(view.data <= end && view.bytes <= static_cast<size_t>(end - view.data)) << at << " " << value;
        }
      } catch (const Error& error) {
        ASSERT_EQ(error.code, Code::kInvalidFile) << at << " " << value << ": " << error.what();
      }
    }
}

TEST(SafeTensors, RefusesAbsurdHeaders) {
  auto with_length = [](uint64_t length) {
    std::string file = safetensors_file(kGood, 31);
    std::memcpy(file.data(), &length, 8);
    return file;
  };
  expect_error(Code::kInvalidFile, {"header of 18446744073709551615 bytes is implausible"},
               [&] { parse(with_length(~uint64_t{0})); });
  expect_error(Code::kInvalidFile, {"header of 100000001 bytes is implausible"},
               [&] { parse(with_length(100'000'001)); });
  expect_error(Code::kInvalidFile, {"header of 100000000 bytes reaches beyond the file's end"},
               [&] { parse(with_length(100'000'000)); });
  expect_error(Code::kInvalidFile, {"must begin with"}, [&] { parse(with_length(0)); });
  expect_refused(" {}", 0, {"must begin with \"{\""});
  expect_refused("[]", 0, {"must begin with"});
  expect_refused("{", 0, {"(header): line 1 column 2"});
  expect_refused("{}x", 0, {"expected the end of the text"});
  expect_refused(std::string("{}\0\0", 4), 0, {"expected the end of the text"});
  expect_refused("{\"\xff\":1}", 0, {"not UTF-8"});
  std::string deep = "{\"t\":";
  for (int i = 0; i < 1000; ++i) deep += "[";
  expect_refused(deep, 0, {"deeper than 64"});
}

TEST(SafeTensors, RefusesDuplicateNames) {
  const std::string t = R"("t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  expect_refused("{" + t + "," + t + "}", 1, {"the key \"t\" appears twice"});
}

TEST(SafeTensors, RefusesWrongFields) {
  expect_refused(R"({"t":3})", 0, {"tensor \"t\" must be an object, got 3"});
  expect_refused(R"({"t":null})", 0, {"must be an object, got null"});
  expect_refused(R"({"t":{}})", 0, {"lacks \"dtype\""});
  expect_refused(R"({"t":{"dtype":"F32"}})", 0, {"lacks \"shape\""});
  expect_refused(R"({"t":{"dtype":"F32","shape":[]}})", 0, {"lacks \"data_offsets\""});
  expect_refused(one("\"F99\"", "[1]", "[0,4]"), 4, {"tensor \"t\": unknown dtype \"F99\""});
  expect_refused(one("\"f32\"", "[1]", "[0,4]"), 4, {"unknown dtype"});
  expect_refused(one("32", "[1]", "[0,4]"), 4, {"unknown dtype 32"});
  expect_refused(one("\"F32\"", "1", "[0,4]"), 4, {"\"shape\" must be an array, got 1"});
  expect_refused(one("\"F32\"", "[-1]", "[0,4]"), 4, {"a dimension must be a whole number from 0, got -1"});
  expect_refused(one("\"F32\"", "[1.5]", "[0,4]"), 4, {"got 1.5"});
  expect_refused(one("\"F32\"", "[1.0]", "[0,4]"), 4, {"a dimension must be a whole number"});
  expect_refused(one("\"F32\"", "[\"1\"]", "[0,4]"), 4, {"got \"1\""});
  expect_refused(one("\"F32\"", "[NaN]", "[0,4]"), 4, {"got nan"});
  expect_refused(one("\"F32\"", "[99999999999999999999]", "[0,4]"), 4, {"a dimension"});
  expect_refused(one("\"F32\"", "[1]", "4"), 4, {"\"data_offsets\" must be two numbers, got 4"});
  expect_refused(one("\"F32\"", "[1]", "[4]"), 4, {"two numbers"});
  expect_refused(one("\"F32\"", "[1]", "[0,4,4]"), 4, {"two numbers"});
  expect_refused(one("\"F32\"", "[1]", "[-4,0]"), 4, {"an offset must be a whole number from 0, got -4"});
  expect_refused(one("\"F32\"", "[1]", "[0,4.5]"), 4, {"an offset"});
  expect_refused(R"({"__metadata__":[]})", 0, {"must be an object of strings"});
  expect_refused(R"({"__metadata__":{"a":1}})", 0, {"\"a\" must be a string, got 1"});
}

TEST(SafeTensors, RefusesOffsetsThatLie) {
  expect_refused(one("\"F32\"", "[1]", "[4,0]"), 4, {"[4, 0] end before they begin"});
  expect_refused(one("\"F32\"", "[2]", "[0,8]"), 7, {"[0, 8] reach beyond the file's 7 bytes"});
  expect_refused(one("\"F32\"", "[1]", "[9223372036854775803,9223372036854775807]"), 4, {"reach beyond"});
  expect_refused(one("\"F32\"", "[2]", "[0,4]"), 4,
                 {"the shape [2] of F32 takes 8 bytes, but data_offsets [0, 4] hold 4"});
  expect_refused(one("\"F32\"", "[1]", "[0,8]"), 8, {"takes 4 bytes", "hold 8"});
  expect_refused(one("\"F16\"", "[0]", "[0,2]"), 2, {"takes 0 bytes"});
  expect_refused(one("\"F32\"", "[1]", "[4,8]"), 8, {"begins at byte 4", "there is a gap"});
  expect_refused(one("\"F32\"", "[1]", "[0,4]"), 8, {"the tensors take 4 bytes, but the file has 8"});
  const std::string a = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)";
  expect_refused(a + R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})", 6,
                 {"tensor \"b\" begins at byte 2", "end at 4", "they overlap"});
  expect_refused(a + R"("b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4, {"they overlap"});
  expect_refused(a + R"("b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}})", 6, {"there is a gap"});
  expect_refused(a + R"("b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}})", 4, {"they overlap"});
}

TEST(SafeTensors, ProductsThatOverflowAreRefused) {
  expect_refused(one("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0,
                 {"the shape [4294967296, 4294967296] has more elements than 2^63"});
  expect_refused(one("\"F32\"", "[4294967296,2147483648,0]", "[0,0]"), 0, {"more elements than 2^63"});
  expect_refused(one("\"F32\"", "[4611686018427387904]", "[0,0]"), 0, {"larger than any file"});
  // 2^61 float64 values take 2^64 bytes, which is 0 in 64 bits.
  expect_refused(one("\"F64\"", "[2305843009213693952]", "[0,0]"), 0, {"larger than any file"});
  expect_refused(one("\"U8\"", "[1099511627776]", "[0,4]"), 4, {"takes 1099511627776 bytes"});
  // A zero dimension first makes the whole empty, whatever follows.
  EXPECT_EQ(parse(safetensors_file(one("\"F32\"", "[0,4611686018427387904,8]", "[0,0]"), 0))->find("t")->elements(), 0);
}

TEST(SafeTensors, PackedKindsFillWholeBytes) {
  EXPECT_EQ(parse(safetensors_file(one("\"F4\"", "[3,2]", "[0,3]"), 3))->find("t")->bytes, 3u);
  EXPECT_EQ(parse(safetensors_file(one("\"F6_E2M3\"", "[4]", "[0,3]"), 3))->find("t")->elements(), 4);
  expect_refused(one("\"F4\"", "[3]", "[0,2]"), 2, {"does not fill whole bytes"});
  EXPECT_EQ(parse(safetensors_file(one("\"F8_E4M3\"", "[3]", "[0,3]"), 3))->find("t")->dtype, DType::kF8E4M3);
}

TEST(SafeTensors, NamesFromTheFileAreShortAndPrintableInErrors) {
  const std::string name(10000, 'x');
  try {
    parse(safetensors_file("{\"" + name + "\\n\":1}", 0));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_LT(std::string_view(error.what()).size(), 300u);
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
  }
}

}  // namespace
}  // namespace embedcore
