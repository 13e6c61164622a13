// base/tokenizer_file.h, and the file in memory through which it reaches the library
#include "base/tokenizer_file.h"

#include <fstream>
#include <iterator>

#include "base/memory_file.h"
#include "base_files.h"

namespace embedcore {
namespace {

TokenizerFile taken(std::string_view json) {
  const auto file = take_apart_tokenizer(json);
  EXPECT_TRUE(file.has_value()) << json;
  return file.value_or(TokenizerFile{});
}

TEST(TokenizerFile, WordPiece) {
  const auto file =
      taken(R"( {"a": "]}\"", "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "\u00e9\ud83d\ude00" :1, "": 2}, )"
            R"("x": [{}]}, "z": 1} )");
  EXPECT_EQ(file.outline, R"( {"a": "]}\"", "model": {"type": "WordPiece", "vocab": {}, "x": [{}]}, "z": 1} )");
  EXPECT_EQ(file.largest_id, 2);
  EXPECT_TRUE(file.has_model_files);
  EXPECT_EQ(file.vocab_file, "[UNK]\né😀\n\n");
  EXPECT_EQ(file.merges_file, "");
}

// JavaScript writes keys that are integers first.
TEST(TokenizerFile, IdsInAnyOrder) {
  const auto file = taken(R"({"model":{"type":"WordPiece","vocab":{"0":2,"1":3,"[UNK]":0,"a":1}}})");
  EXPECT_EQ(file.largest_id, 3);
  EXPECT_TRUE(file.has_model_files);
  EXPECT_EQ(file.vocab_file, "[UNK]\na\n0\n1\n");
  // Of two equal pieces the later one counts in a JSON file, the one with the larger id in a vocab.txt.
  EXPECT_FALSE(take_apart_tokenizer(R"({"model":{"type":"WordPiece","vocab":{"a":1,"a":0}}})").has_value());
  EXPECT_FALSE(take_apart_tokenizer(R"({"model":{"type":"WordPiece","vocab":{"b":1,"a":0,"c":1}}})").has_value());
}

TEST(TokenizerFile, Bpe) {
  for (const char* merges : {R"([["a", "b"], ["ab", "ab"]])", R"(["a b", "ab ab"])"}) {
    const auto file = taken(std::string(R"({"model":{"merges":)") + merges +
                            R"(,"vocab":{"a":0,"b":1,"ab":5},"type":"BPE"},"added_tokens":[]})");
    EXPECT_EQ(file.outline, R"({"model":{"merges":[],"vocab":{},"type":"BPE"},"added_tokens":[]})");
    EXPECT_EQ(file.largest_id, 5);
    EXPECT_TRUE(file.has_model_files);
    EXPECT_EQ(file.vocab_file, R"({"a":0,"b":1,"ab":5})");
    EXPECT_EQ(file.merges_file, "a b\nab ab\n");
  }
}

TEST(TokenizerFile, ModelsThatOnlyTheWholeFileGives) {
  const auto unigram = taken(R"({"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["[",-1.5]]}})");
  EXPECT_EQ(unigram.outline, R"({"model":{"type":"Unigram","unk_id":0,"vocab":[]}})");
  EXPECT_EQ(unigram.largest_id, 1);
  EXPECT_FALSE(unigram.has_model_files);
  // The library would read these tokens otherwise from lines, or the ids are not those of the lines.
  const auto word_piece = [](std::string_view vocab) {
    return taken(std::string(R"({"model":{"type":"WordPiece","vocab":)").append(vocab) + "}}").has_model_files;
  };
  EXPECT_TRUE(word_piece(R"({"a":0," b":1})"));
  for (const char* vocab : {R"({"a ":0})", R"({"a\u3000":0})", R"({"a\nb":0})", R"({"a\r":0})", R"({"a":1})"})
    EXPECT_FALSE(word_piece(vocab)) << vocab;
  const auto bpe = [](std::string_view merges) {
    return taken(std::string(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":)").append(merges) + "}}")
        .has_model_files;
  };
  EXPECT_TRUE(bpe(R"([["#v","a"]])"));
  for (const char* merges : {R"([["a","b c"]])", R"([["","a"]])", R"([["a","b","c"]])", R"([["a"]])", R"([["a","\r"]])",
                             R"([["#version","a"]])", R"(["a\nb"])", R"([7])"})
    EXPECT_FALSE(bpe(merges)) << merges;
  EXPECT_FALSE(taken(R"({"model":{"vocab":{"a":0},"merges":[]}})").has_model_files);
}

TEST(TokenizerFile, LeavesOtherFormsToTheLibrary) {
  for (const std::string_view json : {R"()",
                                      R"({})",
                                      R"([])",
                                      R"({"model":{}})",
                                      R"({"model":{"vocab":null}})",
                                      R"({"model":{"vocab":{}}} 1)",
                                      R"({"model":{"vocab":{}},"model":{"vocab":{}}})",
                                      R"({"model":{"vocab":{},"vocab":{}}})",
                                      R"({"model":{"vocab":{},"merges":null}})",
                                      R"({"model":{"vocab":{"a":1,"b":1}}})",
                                      R"({"model":{"vocab":{"a":1.0}}})",
                                      R"({"model":{"vocab":{"a":01}}})",
                                      R"({"model":{"vocab":{"a":-0}}})",
                                      R"({"model":{"vocab":{"a":2147483648}}})",
                                      R"({"model":{"vocab":{"\ud800":1}}})",
                                      R"({"model":{"vocab":{"\x":1}}})",
                                      "{\"model\":{\"vocab\":{\"\n\":1}}}",
                                      "{\"model\":{\"vocab\":{\"\xff\":1}}}",
                                      R"({"model":{"vocab":{"a":0})",
                                      R"({"model":{"vocab":{}})",
                                      "\xef\xbb\xbf{\"model\":{\"vocab\":{}}}"})
    EXPECT_FALSE(take_apart_tokenizer(json).has_value()) << json;
  const std::string deep = std::string(70, '[') + std::string(70, ']');
  EXPECT_FALSE(take_apart_tokenizer("{\"x\":" + deep + ",\"model\":{\"vocab\":{}}}").has_value());
}

#ifdef __linux__
TEST(MemoryFile, IsReadByItsPathUntilItEnds) {
  for (const std::string& content : {std::string(), std::string("a\n"), std::string(3'000'000, 'x')}) {
    auto file = MemoryFile::make(content);
    ASSERT_NE(file, nullptr);
    for (int i = 0; i < 2; ++i) {  // each reader begins at the front
      std::ifstream reader(file->path(), std::ios::binary);
      EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(reader), {}) == content);
    }
    const std::string path = file->path();
    file = nullptr;
    EXPECT_FALSE(std::ifstream(path).is_open());
  }
}
#endif

}  // namespace
}  // namespace embedcore
