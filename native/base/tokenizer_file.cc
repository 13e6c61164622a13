#include "base/tokenizer_file.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <unordered_set>
#include <vector>

#include "base/json_scanner.h"
#include "base/utf8.h"

namespace embedcore {

namespace {

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text.substr(i));
    if (length == 0) return false;
    i += length;
  }
  return true;
}

// Where the values of "model" are in the text.
struct ModelSpans {
  std::string type;
  std::string_view vocab;
  std::string_view merges;
};

// The scanner is at the value of "model".
bool find_model(JsonScanner& scan, ModelSpans& model) {
  bool typed = false;
  return scan.object([&](const std::string& key) {
    if (key == "type") {
      if (typed) return false;
      typed = true;
      return scan.string(model.type);
    }
    std::string_view* const kept = key == "vocab" ? &model.vocab : key == "merges" ? &model.merges : nullptr;
    if (kept && kept->data()) return false;
    std::string_view value;
    if (!scan.skip(value)) return false;
    if (kept) *kept = value;
    return true;
  });
}

// Whether the library reads the token back from its line of a vocab.txt, of which it cuts white space at the end.
bool fits_line(std::string_view token) {
  static constexpr std::string_view kSpaces[] = {"\t",     "\n",     "\v",     "\f",     "\r",     " ",      "\u0085",
                                                 "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004",
                                                 "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a", "\u2028",
                                                 "\u2029", "\u202f", "\u205f", "\u3000"};
  return token.find('\n') == token.npos &&
         std::none_of(std::begin(kSpaces), std::end(kSpaces), [&](auto space) { return token.ends_with(space); });
}

struct Piece {
  std::string text;
  int64_t id;
};

// Ids that ascend tell which of two equal pieces counts: the later one, in every reader. Where they do not, as in files
// that JavaScript wrote (it puts "0" to "9" first), the pieces are sorted, and equal ones are refused.
bool sort_pieces(std::vector<Piece>& pieces) {
  const auto by_id = [](const Piece& a, const Piece& b) { return a.id < b.id; };
  const auto same_id = [](const Piece& a, const Piece& b) { return a.id == b.id; };
  const bool ascend = std::adjacent_find(pieces.begin(), pieces.end(),
                                         [](const Piece& a, const Piece& b) { return a.id >= b.id; }) == pieces.end();
  if (ascend) return true;
  std::sort(pieces.begin(), pieces.end(), by_id);
  if (std::adjacent_find(pieces.begin(), pieces.end(), same_id) != pieces.end()) return false;
  std::unordered_set<std::string_view> texts;
  return std::all_of(pieces.begin(), pieces.end(), [&](const Piece& piece) { return texts.insert(piece.text).second; });
}

// Reads {"piece": id, ...} in the order of the ids.
bool read_vocabulary(std::string_view vocab, std::vector<Piece>& pieces) {
  JsonScanner scan(vocab);
  const bool read = scan.object([&](const std::string& piece) {
    std::string_view value;
    int64_t id = 0;
    if (!scan.skip(value)) return false;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), id);
    const bool json_number = value.front() != '-' && (value.front() != '0' || value.size() == 1);
    if (error != std::errc() || end != value.data() + value.size() || !json_number) return false;
    if (id > std::numeric_limits<int32_t>::max()) return false;
    pieces.push_back({piece, id});
    return true;
  });
  return read && sort_pieces(pieces);
}

// Writes merges.txt. False where a merge would be read otherwise from there; the library skips "#version" in both.
bool write_merges(std::string_view merges, std::string& file) {
  JsonScanner scan(merges);
  const auto plain = [](std::string_view part) {
    return !part.empty() && part.find_first_of(" \n") == part.npos && part.back() != '\r';
  };
  return scan.array([&] {
    std::string line, part;
    if (scan.peek() == '"') {
      if (!scan.string(line) || line.find('\n') != line.npos || line.ends_with('\r')) return false;
    } else {
      int parts = 0;
      const bool read = scan.array([&] {
        if (!scan.string(part) || !plain(part)) return false;
        if (++parts == 2) line += ' ';
        line += part;
        return parts <= 2;
      });
      if (!read || parts != 2 || line.starts_with("#version")) return false;
    }
    file += line;
    file += '\n';
    return true;
  });
}

std::string outline_of(std::string_view json, const ModelSpans& model) {
  struct Cut {
    std::string_view span;
    const char* instead;
  } cuts[] = {{model.vocab, model.vocab.front() == '[' ? "[]" : "{}"}, {model.merges, "[]"}};
  if (cuts[1].span.data() && cuts[1].span.data() < cuts[0].span.data()) std::swap(cuts[0], cuts[1]);
  std::string outline;
  const char* from = json.data();
  for (const Cut& cut : cuts) {
    if (!cut.span.data()) continue;
    outline.append(from, cut.span.data());
    outline += cut.instead;
    from = cut.span.data() + cut.span.size();
  }
  return outline.append(from, json.data() + json.size());
}

}  // namespace

std::optional<TokenizerFile> take_apart_tokenizer(std::string_view json) {
  if (!is_utf8(json)) return std::nullopt;
  ModelSpans model;
  bool found = false;
  JsonScanner scan(json);
  const bool read = scan.object([&](const std::string& key) {
    std::string_view value;
    if (key != "model") return scan.skip(value);
    if (found) return false;
    found = true;
    return find_model(scan, model);
  });
  if (!read || !scan.at_end() || model.vocab.empty()) return std::nullopt;
  if (model.merges.data() && model.merges.front() != '[') return std::nullopt;

  TokenizerFile file;
  if (model.vocab.front() == '[') {
    JsonScanner pieces(model.vocab);
    std::string_view piece;
    const bool counted = pieces.array([&] { return ++file.largest_id, pieces.skip(piece); });
    if (!counted || file.largest_id > std::numeric_limits<int32_t>::max()) return std::nullopt;
  } else {
    std::vector<Piece> pieces;
    if (!read_vocabulary(model.vocab, pieces)) return std::nullopt;
    if (!pieces.empty()) file.largest_id = pieces.back().id;
    file.has_model_files = model.type == "WordPiece";
    for (size_t at = 0; at < pieces.size() && file.has_model_files; ++at) {
      file.has_model_files = pieces[at].id == static_cast<int64_t>(at) && fits_line(pieces[at].text);
      file.vocab_file.append(pieces[at].text) += '\n';
    }
    if (model.type == "BPE" && model.merges.data() && write_merges(model.merges, file.merges_file)) {
      file.has_model_files = true;
      file.vocab_file = model.vocab;
    }
  }
  if (!file.has_model_files) {
    file.vocab_file = {};
    file.merges_file = {};
  }
  file.outline = outline_of(json, model);
  return file;
}

}  // namespace embedcore
