// base/error.h, base/utf8.h
#include "base/error.h"

#include <fstream>
#include <set>

#include "base/utf8.h"
#include "base_files.h"

namespace embedcore {
namespace {

TEST(Error, CodesAreThoseOfTheTypeScriptFace) {
  std::ifstream file(EMBEDCORE_ROOT "/src/core/errors.ts");
  ASSERT_TRUE(file) << "src/core/errors.ts cannot be read";
  std::set<std::string> there, here;
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("  'ERR_EMBEDCORE_") && line.ends_with("',")) there.insert(line.substr(3, line.size() - 5));
#define EMBEDCORE_CODE(name, text) here.insert(code_name(Code::name));
  EMBEDCORE_CODES(EMBEDCORE_CODE)
#undef EMBEDCORE_CODE
  EXPECT_EQ(here, there);
  EXPECT_STREQ(code_name(Code::kInvalidFile), "ERR_EMBEDCORE_INVALID_FILE");
}

TEST(Error, FailFormatsSentencesOfAnyLength) {
  const std::string value(4000, 'x');
  try {
    fail(Code::kInvalidOption, "%s is %d", value.c_str(), 7);
    FAIL() << "fail() returned";
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kInvalidOption);
    EXPECT_EQ(std::string(error.what()), value + " is 7");
  }
}

TEST(Error, SentencesAreOnePrintableLine) {
  expect_error(Code::kInvalidConfig, {"a\\x0ab\\xff \\x1b[31m 苹"},
               [] { fail(Code::kInvalidConfig, "%s", "a\nb\xff \x1b[31m 苹"); });
  try {
    fail(Code::kInternal, "%s苹 is too long", std::string(1'000'000, 'x').c_str());
    FAIL() << "fail() returned";
  } catch (const Error& error) {
    EXPECT_LT(std::string_view(error.what()).size(), 4200u);
    EXPECT_TRUE(std::string_view(error.what()).starts_with("xxx"));
    EXPECT_NE(std::string_view(error.what()).find("x...x"), std::string_view::npos);
    EXPECT_TRUE(std::string_view(error.what()).ends_with("x苹 is too long"));
  }
}

TEST(Error, QuotedTextIsPrintableUtf8AndShort) {
  EXPECT_EQ(quote("abc"), "\"abc\"");
  EXPECT_EQ(quote(""), "\"\"");
  EXPECT_EQ(quote("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(quote(std::string_view("a\0\n\x7f\xff", 5)), "\"a\\x00\\x0a\\x7f\\xff\"");
  EXPECT_EQ(quote("苹果"), "\"苹果\"");
  // Cut between characters, never inside one.
  const std::string cut = quote("苹果苹果苹果", 10);
  EXPECT_EQ(cut, "\"苹果苹果...\"");
  EXPECT_LT(quote(std::string(100000, 'x')).size(), 100u);
}

TEST(Utf8, LengthsAndRefusals) {
  EXPECT_EQ(utf8_length("a"), 1u);
  EXPECT_EQ(utf8_length("\xc3\xa9"), 2u);
  EXPECT_EQ(utf8_length("\xe8\x8b\xb9"), 3u);
  EXPECT_EQ(utf8_length("\xf0\x9f\x98\x80"), 4u);
  EXPECT_EQ(utf8_length("\xf4\x8f\xbf\xbf"), 4u);
  for (const char* bad : {"", "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x80\x80", "\xe0\x9f\xbf",
                          "\xe8\x8b", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf",
                          "\xf0\x9f\x98", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"})
    EXPECT_EQ(utf8_length(bad), 0u) << quote(bad);
}

TEST(Utf8, AppendWritesEveryPlaneAsLengthReadsIt) {
  for (uint32_t point = 0; point <= 0x10ffff; ++point) {
    if (point >= 0xd800 && point <= 0xdfff) continue;
    std::string text;
    append_utf8(text, point);
    ASSERT_EQ(utf8_length(text), text.size()) << "U+" << std::hex << point;
  }
}

}  // namespace
}  // namespace embedcore
