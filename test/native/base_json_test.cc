// base/json.h
#include "base/json.h"

#include <cmath>
#include <limits>

#include "base_files.h"

namespace embedcore {
namespace {

Json parse(std::string_view text) { return Json::parse(text, "config.json"); }

void expect_refused(std::string_view text, std::initializer_list<std::string_view> parts) {
  SCOPED_TRACE(quote(text));
  expect_error(Code::kInvalidFile, parts, [&] { parse(text); });
}

TEST(Json, ReadsEveryKind) {
  const Json json =
      parse(R"( {"n": null, "t": true, "f": false, "i": -7, "d": 2.5e3, "s": "x", "a": [1, [], {}], "o": {"k": 1}} )");
  ASSERT_TRUE(json.is_object());
  EXPECT_TRUE(json.find("n")->is_null());
  EXPECT_TRUE(json.find("t")->as_bool());
  EXPECT_FALSE(json.find("f")->as_bool());
  EXPECT_EQ(json.find("i")->as_int(), -7);
  EXPECT_EQ(json.find("d")->as_double(), 2500.0);
  EXPECT_EQ(json.find("s")->as_string(), "x");
  EXPECT_EQ(json.find("a")->as_array().size(), 3u);
  EXPECT_TRUE(json.find("a")->as_array()[2].is_object());
  EXPECT_EQ(json.find("o")->find("k")->as_int(), 1);
  EXPECT_EQ(json.find("absent"), nullptr);
  EXPECT_EQ(json.find("a")->find("k"), nullptr);
}

TEST(Json, ReadsScalarDocuments) {
  EXPECT_TRUE(parse("null").is_null());
  EXPECT_EQ(parse(" 12\n").as_int(), 12);
  EXPECT_EQ(parse("\"\"").as_string(), "");
}

TEST(Json, KeepsKeyOrderAndFindsAmongMany) {
  std::string text = "{";
  for (int i = 0; i < 500; ++i)
    text += (i ? ",\"k" : "\"k") + std::to_string((i * 7919) % 500) + "\":" + std::to_string(i);
  const Json json = parse(text + "}");
  ASSERT_EQ(json.as_object().size(), 500u);
  for (int i = 0; i < 500; ++i) {
    const std::string key = "k" + std::to_string((i * 7919) % 500);
    EXPECT_EQ(json.as_object()[static_cast<size_t>(i)].first, key);
    ASSERT_NE(json.find(key), nullptr);
    EXPECT_EQ(json.find(key)->as_int(), i);
  }
  EXPECT_EQ(json.find("k500"), nullptr);
  EXPECT_EQ(json.find(""), nullptr);
}

TEST(Json, Numbers) {
  EXPECT_EQ(parse("9223372036854775807").as_int(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(parse("-9223372036854775808").as_int(), std::numeric_limits<int64_t>::min());
  EXPECT_TRUE(parse("0").is_integer());
  EXPECT_FALSE(parse("512.0").is_integer());
  EXPECT_EQ(parse("512.0").as_int(), 512);
  EXPECT_EQ(parse("1e3").as_int(), 1000);
  EXPECT_EQ(parse("1E+3").as_int(), 1000);
  EXPECT_TRUE(std::signbit(parse("-0").as_double()));
  EXPECT_EQ(parse("1e-12").as_double(), 1e-12);
  EXPECT_EQ(parse("0.1").as_double(), 0.1);
  EXPECT_EQ(parse("1.7976931348623157e308").as_double(), std::numeric_limits<double>::max());
  const Json large = parse("9223372036854775808");
  EXPECT_EQ(large.as_double(), 0x1p63);
  EXPECT_FALSE(large.is_integer());
  expect_error(Code::kInvalidConfig, {"config.json must be an integer"}, [&] { large.as_int(); });
  expect_error(Code::kInvalidConfig, {"must be an integer, got 0.5"}, [] { parse("0.5").as_int(); });
  expect_error(Code::kInvalidConfig, {"must be an integer, got 1e+300"}, [] { parse("1e300").as_int(); });
}

TEST(Json, TakesThePythonTokens) {
  EXPECT_TRUE(std::isnan(parse("NaN").as_double()));
  EXPECT_EQ(parse("[Infinity]").as_array()[0].as_double(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(parse("{\"a\":-Infinity}").find("a")->as_double(), -std::numeric_limits<double>::infinity());
  expect_error(Code::kInvalidConfig, {"must be an integer, got nan"}, [] { parse("NaN").as_int(); });
  for (const char* bad : {"nan", "-NaN", "+Infinity", "Inf", "infinity", "NaNs"})
    expect_refused(bad, {"line 1 column "});
}

TEST(Json, Strings) {
  EXPECT_EQ(parse(R"("\"\\\/\b\f\n\r\t")").as_string(), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(parse(R"("\u0041\u00e9\u82F9")").as_string(), "Aé苹");
  EXPECT_EQ(parse(R"("\ud83d\ude00")").as_string(), "😀");
  EXPECT_EQ(parse(R"("\uD800\uDC00\uDBFF\uDFFF")").as_string(), "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
  EXPECT_EQ(parse(R"("a\u0000b")").as_string(), std::string("a\0b", 3));
  EXPECT_EQ(parse("\"苹果 😀 \x7f\"").as_string(), "苹果 😀 \x7f");
  EXPECT_EQ(parse(R"({"\u006b":1})").find("k")->as_int(), 1);
}

TEST(Json, RefusesBrokenStrings) {
  expect_refused(R"(["abc)", {"line 1 column 2", "no end"});
  expect_refused(R"("abc\")", {"no end"});
  expect_refused("\"a\nb\"", {"line 1 column 3", "control character", "\\x0a"});
  expect_refused(std::string_view("\"\0\"", 3), {"control character"});
  expect_refused(R"("\x41")", {"unknown escape"});
  expect_refused("\"\\", {"unknown escape", "the end of the text"});
  expect_refused(R"("\u12g4")", {"hexadecimal"});
  expect_refused(R"("\u12)", {"hexadecimal"});
  expect_refused(R"("\ud83d")", {"column 2", "first half of a surrogate pair"});
  expect_refused(R"("\ud83d\n")", {"first half of a surrogate pair"});
  expect_refused(R"("\ud83d\u0041")", {"first half of a surrogate pair"});
  expect_refused(R"("\ud83d\ud83d")", {"first half of a surrogate pair"});
  expect_refused(R"("\ude00")", {"second half of a surrogate pair"});
}

TEST(Json, RefusesTextThatIsNotUtf8) {
  for (const char* bad :
       {"\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe8\x8b\"", "\"\x80\""})
    expect_refused(bad, {"not UTF-8", "column 2"});
  expect_refused("\xff", {"expected a value, found \"\\xff\""});
  expect_refused("\xef\xbb\xbf{}", {"byte order mark"});
}

TEST(Json, RefusesBrokenGrammar) {
  expect_refused("", {"config.json: line 1 column 1: expected a value, found the end of the text"});
  expect_refused("  \n ", {"line 2 column 2"});
  for (const char* bad :
       {"[",    "{",        "[1",    "[1,",        "{\"a\"",  "{\"a\":", "{\"a\":1", "{\"a\":1,", "tru",
        "nul",  "-",        "1.",    "1e",         "1e+",     ".5",      "+1",       "0x10",      "'a'",
        "[1,]", "[,1]",     "[1 2]", "{\"a\":1,}", "{,}",     "{a:1}",   "{1:1}",    "{\"a\" 1}", "{\"a\":1 \"b\":2}",
        "[1]]", "{}{}",     "1 2",   "// x\n1",    "[1]/**/", "}",       "]",        ":",         "True",
        "None", "undefined"})
    expect_refused(bad, {"config.json: line "});
  expect_refused("01", {"may not start with a zero"});
  expect_refused("-012", {"may not start with a zero"});
  expect_refused("{\"a\": 1,\n \"b\" 2}", {"line 2 column 6: expected \":\" after the key \"b\", found \"2\""});
  expect_refused("[1, 2\n\n  3]", {"line 3 column 3"});
  // Columns count characters, not bytes.
  expect_refused("[\"苹果\" x]", {"column 7", "found \"x\""});
  expect_refused("\f1", {"expected a value"});
  expect_refused(std::string_view("1\0", 2), {"expected the end of the text"});
}

TEST(Json, RefusesNumbersOutsideADouble) {
  expect_refused("1e400", {"\"1e400\" does not fit a double"});
  expect_refused("[-1e999]", {"does not fit a double"});
  const std::string digits = "1" + std::string(1000, '0');
  expect_refused(digits, {"does not fit a double"});
}

TEST(Json, RefusesDuplicateKeys) {
  expect_refused("{\"a\":1,\n\"b\":2,\n\"a\":3}", {"line 3 column 1", "the key \"a\" appears twice"});
  expect_refused(R"({"a":1,"\u0061":3})", {"appears twice"});
  std::string many = "{";
  for (int i = 0; i < 100; ++i) many += "\"k" + std::to_string(i) + "\":0,";
  expect_refused(many + "\"k42\":1}", {"the key \"k42\" appears twice"});
  EXPECT_NO_THROW(parse(R"({"a":{"a":1},"b":{"a":1}})"));
}

TEST(Json, TheLastOfEqualKeysCountsWhereTheCallerSaysSo) {
  auto parse = [](const std::string& text) { return Json::parse(text, "test", Json::Duplicates::kLastCounts); };
  const Json few = parse(R"({"a": 1, "b": {"c": 2, "c": 3}, "a": [4], "a": {"d": 5}, "\u0062": 6})");
  EXPECT_EQ(few.as_object().size(), 2u);
  EXPECT_EQ(few.find("a")->get_int("d", 0), 5);
  EXPECT_EQ(few.get_int("b", 0), 6);
  EXPECT_EQ(few.find("a")->find("d")->path(), "test: \"a.d\"");
  std::string many = "{";
  for (int round = 0; round < 3; ++round)
    for (int i = 0; i < 100; ++i) many += "\"k" + std::to_string(i) + "\": " + std::to_string(1000 * round + i) + ", ";
  const Json all = parse(many + "\"k42\": -1}");
  EXPECT_EQ(all.as_object().size(), 100u);
  EXPECT_EQ(all.get_int("k41", 0), 2041);
  EXPECT_EQ(all.get_int("k42", 0), -1);
}

TEST(Json, NestingStopsAtSixtyFour) {
  auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_NO_THROW(parse(nested(64)));
  expect_refused(nested(65), {"column 65", "deeper than 64"});
  expect_refused(std::string(10'000'000, '['), {"deeper than 64"});
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  expect_refused(objects, {"deeper than 64"});
}

TEST(Json, RefusesMoreValuesThanAnyConfigHas) {
  std::string text = "[0";
  for (int i = 0; i < (1 << 22); ++i) text += ",0";
  expect_refused(text + "]", {"more than 4194304 values"});
}

TEST(Json, ConvenienceTakesNullAsAbsent) {
  const Json json = parse(R"({"i": 3, "d": 0.5, "b": true, "s": "x", "n": null})");
  EXPECT_EQ(json.get_int("i", 9), 3);
  EXPECT_EQ(json.get_int("n", 9), 9);
  EXPECT_EQ(json.get_int("absent", 9), 9);
  EXPECT_EQ(json.get_double("d", 1.0), 0.5);
  EXPECT_EQ(json.get_double("i", 1.0), 3.0);
  EXPECT_EQ(json.get_double("n", 1.0), 1.0);
  EXPECT_TRUE(json.get_bool("b", false));
  EXPECT_TRUE(json.get_bool("n", true));
  EXPECT_EQ(json.get_string("s", "y"), "x");
  EXPECT_EQ(json.get_string("n", "y"), "y");
}

TEST(Json, WrongTypesAreToldWithPathAndValue) {
  const Json json = parse(
      R"({"hidden_size": "abc", "rope": {"factor": [1], "list": [0, {"x": true}]}, "flag": 1, "name": 2, "big": {}})");
  auto told = [&](std::string_view sentence, auto&& action) { expect_error(Code::kInvalidConfig, {sentence}, action); };
  told("config.json: \"hidden_size\" must be an integer, got \"abc\"", [&] { json.get_int("hidden_size", 1); });
  told("config.json: \"rope.factor\" must be a number, got an array of 1",
       [&] { json.find("rope")->get_double("factor", 1); });
  told("config.json: \"rope.list[1].x\" must be a string, got true",
       [&] { json.find("rope")->find("list")->as_array()[1].find("x")->as_string(); });
  told("config.json: \"rope.list[0]\" must be an object, got 0",
       [&] { json.find("rope")->find("list")->as_array()[0].as_object(); });
  told("config.json: \"flag\" must be true or false, got 1", [&] { json.get_bool("flag", false); });
  told("config.json: \"name\" must be a string, got 2", [&] { json.get_string("name", ""); });
  told("config.json: \"big\" must be an array, got an object", [&] { json.find("big")->as_array(); });
  told("config.json must be an object, got an array of 0", [&] { parse("[]").get_int("a", 0); });
  told("config.json must be a string, got null", [&] { parse("null").as_string(); });
}

TEST(Json, MovesKeepPathsRight) {
  Json first = parse(R"({"a": {"b": 1}})");
  Json second = parse("0");
  second = std::move(first);
  expect_error(Code::kInvalidConfig, {"config.json: \"a.b\" must be a string"},
               [&] { second.find("a")->find("b")->as_string(); });
  const Json third(std::move(second));
  expect_error(Code::kInvalidConfig, {"config.json must be an array"}, [&] { third.as_array(); });
}

TEST(Json, EveryTruncationOfADocumentIsRefused) {
  const std::string text = R"({"a": [1.5e3, true, null], "苹": "\ud83d\ude00\n", "n": NaN})";
  ASSERT_NO_THROW(parse(text));
  for (size_t length = 0; length < text.size(); ++length)
    expect_refused(std::string_view(text).substr(0, length), {"config.json: line 1 column "});
}

}  // namespace
}  // namespace embedcore
