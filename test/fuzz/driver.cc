// A small mutation driver for targets that define LLVMFuzzerTestOneInput, for compilers without libFuzzer. With clang,
// leave this file out and link a target with -fsanitize=fuzzer,address,undefined instead.
//
//   fuzz_json [--seconds N] [--seed S] [--runs N] [--artifacts DIR] CORPUS-DIR | FILE...
//
// Runs every file of the corpus as it is, then mutations of them, until the time is over. An input that crashes the
// target (signal, sanitizer, exception) is written to DIR/crash-<target>-<hash>; giving such a file as argument runs it
// alone. There is no coverage feedback: inputs that the target accepts (it returned 0) are added to the corpus, so that
// mutations accumulate.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

using Input = std::vector<uint8_t>;

constexpr size_t kMaxInput = 1 << 14;
constexpr size_t kMaxCorpus = 2000;
constexpr unsigned kSecondsPerInput = 20;  // longer is a hang

const char* const kTokens[] = {"{",
                               "}",
                               "[",
                               "]",
                               ":",
                               ",",
                               "\"",
                               "\\",
                               "\\u",
                               "\\ud83d",
                               "\\ude00",
                               "\\u0000",
                               "null",
                               "true",
                               "false",
                               "NaN",
                               "Infinity",
                               "-Infinity",
                               "-1",
                               "0",
                               "1e400",
                               "1e-400",
                               "1.0",
                               "9223372036854775807",
                               "9223372036854775808",
                               "18446744073709551615",
                               "4294967296",
                               "-9223372036854775809",
                               "\xff",
                               "\xed\xa0\x80",
                               "\xef\xbb\xbf",
                               "\"dtype\"",
                               "\"shape\"",
                               "\"data_offsets\"",
                               "\"__metadata__\"",
                               "\"F32\"",
                               "\"BF16\"",
                               "\"F4\"",
                               "\"weight_map\"",
                               "\"metadata\"",
                               "model.safetensors.index.json",
                               "../",
                               "\"a\":",
                               "[[[[[[[[",
                               "{\"a\":{\"a\":",
                               "\"model_type\"",
                               "\"bert\"",
                               "\"qwen2\"",
                               "\"hidden_size\"",
                               "\"rope_scaling\"",
                               "\"layer_types\"",
                               "\"num_hidden_layers\""};
const uint64_t kIntegers[] = {0,
                              1,
                              2,
                              7,
                              8,
                              16,
                              63,
                              64,
                              127,
                              128,
                              255,
                              256,
                              32767,
                              32768,
                              65535,
                              99'999'999,
                              100'000'000,
                              100'000'001,
                              0x7fffffff,
                              0x80000000,
                              0xffffffff,
                              0x100000000,
                              0x7fffffffffffffff,
                              0x8000000000000000,
                              0xffffffffffffffff};

// SplitMix64: the same numbers on every machine, so that a seed repeats a run.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  size_t below(size_t limit) { return limit ? static_cast<size_t>(next() % limit) : 0; }

 private:
  uint64_t state_;
};

// State of the crash handlers, which must not allocate.
Input* running = nullptr;
char artifact_prefix[4096];

void save_running_input() {
  static volatile sig_atomic_t saved = 0;
  if (!running || saved) return;
  saved = 1;
  uint64_t hash = 14695981039346656037u;
  for (const uint8_t byte : *running) hash = (hash ^ byte) * 1099511628211u;
  char path[4200];
  std::snprintf(path, sizeof path, "%s%016" PRIx64, artifact_prefix, hash);
  const int file = ::open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const bool written =
      file >= 0 && ::write(file, running->data(), running->size()) == static_cast<ssize_t>(running->size());
  if (file >= 0) ::close(file);
  std::fprintf(stderr, "%s %s (%zu bytes)\n", written ? "the input was saved to" : "the input could not be saved to",
               path, running->size());
}

void on_signal(int number) {
  std::fprintf(stderr, "signal %d%s\n", number, number == SIGALRM ? ": the input takes too long" : "");
  save_running_input();
  ::signal(number, SIG_DFL);
  ::raise(number == SIGALRM ? SIGABRT : number);
}

void watch_deaths() {
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(save_running_input);
  // If a sanitizer handles these signals, it reports them and then calls the function above.
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    struct sigaction present {};
    if (::sigaction(number, nullptr, &present) == 0 && present.sa_handler == SIG_DFL) ::signal(number, on_signal);
  }
  ::signal(SIGABRT, on_signal);
  ::signal(SIGALRM, on_signal);
}

int run(const Input& input) {
  Input exact(input);
  exact.shrink_to_fit();  // so that a read beyond the end is detected
  running = &exact;
  ::alarm(kSecondsPerInput);
  int result = 0;
  try {
    result = LLVMFuzzerTestOneInput(exact.data(), exact.size());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "an exception left the target: %s\n", error.what());
    save_running_input();
    std::exit(1);
  }
  ::alarm(0);
  running = nullptr;
  return result;
}

Input read_input(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Input(std::istreambuf_iterator<char>(file), {});
}

void insert(Input& input, size_t at, const void* bytes, size_t count) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), from, from + count);
}

void overwrite(Input& input, size_t at, const void* bytes, size_t count) {
  std::memcpy(input.data() + at, bytes, std::min(count, input.size() - at));
}

void erase(Input& input, size_t at, size_t count) {
  const auto first = input.begin() + static_cast<std::ptrdiff_t>(at);
  input.erase(first, first + static_cast<std::ptrdiff_t>(std::min(count, input.size() - at)));
}

// Replaces a run of decimal digits by another number, as in wrong sizes and offsets in JSON.
void change_number(Input& input, Random& random) {
  auto is_digit = [](uint8_t byte) { return byte >= '0' && byte <= '9'; };
  size_t at = random.below(input.size());
  while (at < input.size() && !is_digit(input[at])) ++at;
  size_t end = at;
  while (end < input.size() && is_digit(input[end])) ++end;
  if (end == at) return;
  const std::string digits(input.begin() + static_cast<std::ptrdiff_t>(at),
                           input.begin() + static_cast<std::ptrdiff_t>(end));
  const uint64_t old = std::strtoull(digits.c_str(), nullptr, 10);
  const uint64_t changed = random.below(2) ? kIntegers[random.below(std::size(kIntegers))] : old + random.below(17) - 8;
  const std::string text = std::to_string(changed);
  erase(input, at, end - at);
  insert(input, at, text.data(), text.size());
}

void mutate(Input& input, const std::vector<Input>& corpus, Random& random) {
  const size_t rounds = size_t{1} << random.below(4);
  for (size_t round = 0; round < rounds; ++round) {
    const size_t at = random.below(input.size() + 1);
    const uint64_t integer = kIntegers[random.below(std::size(kIntegers))];
    const std::string_view token = kTokens[random.below(std::size(kTokens))];
    switch (random.below(12)) {
      case 0:
        if (at < input.size()) input[at] ^= static_cast<uint8_t>(1u << random.below(8));
        break;
      case 1:
        if (at < input.size()) input[at] = static_cast<uint8_t>(random.next());
        break;
      case 2: input.resize(at); break;
      case 3: erase(input, at, 1 + random.below(16)); break;
      case 4:
        if (at < input.size()) overwrite(input, at, &integer, size_t{1} << random.below(4));
        break;
      case 5:  // binary formats have their lengths in the first eight bytes
        if (!input.empty()) overwrite(input, 0, &integer, 8);
        break;
      case 6: insert(input, at, token.data(), token.size()); break;
      case 7:
        if (at < input.size()) overwrite(input, at, token.data(), token.size());
        break;
      case 8: {  // a piece of the input twice
        const size_t count = std::min(random.below(64) + 1, input.size() - at);
        const Input piece(input.begin() + static_cast<std::ptrdiff_t>(at),
                          input.begin() + static_cast<std::ptrdiff_t>(at + count));
        insert(input, random.below(input.size() + 1), piece.data(), piece.size());
        break;
      }
      case 9: {  // the head of this and the tail of another
        const Input& other = corpus[random.below(corpus.size())];
        const size_t from = random.below(other.size() + 1);
        input.resize(at);
        insert(input, at, other.data() + from, other.size() - from);
        break;
      }
      default:
        if (!input.empty()) change_number(input, random);
    }
    if (input.size() > kMaxInput) input.resize(kMaxInput);
  }
  // Otherwise formats that begin with the length of their header would mostly be refused for that reason.
  if (input.size() > 9 && input[8] == '{' && random.below(2)) {
    uint64_t old = 0, fitting = 0;
    std::memcpy(&old, input.data(), 8);
    for (size_t i = 8; i < input.size(); ++i)
      if (input[i] == '}') fitting = i - 7;
    if (old <= kMaxInput || random.below(4)) std::memcpy(input.data(), &fitting, 8);
  }
}

[[noreturn]] void usage(const char* problem, const char* value) {
  std::fprintf(stderr,
               "%s %s\nusage: TARGET [--seconds N] [--seed S] [--runs N] [--artifacts DIR] CORPUS-DIR | FILE...\n",
               problem, value);
  std::exit(2);
}

}  // namespace

int main(int count, char** arguments) {
  double seconds = 10;
  uint64_t seed = 1, runs = 0;
  std::string artifacts = ".";
  std::vector<std::string> paths;
  for (int i = 1; i < count; ++i) {
    const std::string_view argument = arguments[i];
    if (!argument.starts_with("--")) {
      paths.emplace_back(argument);
      continue;
    }
    if (i + 1 >= count) usage("no value for", arguments[i]);
    const char* value = arguments[++i];
    char* end = nullptr;
    if (argument == "--seconds") {
      seconds = std::strtod(value, &end);
    } else if (argument == "--seed") {
      seed = std::strtoull(value, &end, 10);
    } else if (argument == "--runs") {
      runs = std::strtoull(value, &end, 10);
    } else if (argument == "--artifacts") {
      artifacts = value;
    } else {
      usage("unknown option", arguments[i - 1]);
    }
    if (end && (end == value || *end)) usage("not a number:", value);
  }
  if (paths.empty()) usage("no corpus", "given");

  const std::string target = std::filesystem::path(arguments[0]).filename().string();
  std::filesystem::create_directories(artifacts);
  std::snprintf(artifact_prefix, sizeof artifact_prefix, "%s/crash-%s-", artifacts.c_str(), target.c_str());
  watch_deaths();

  std::vector<Input> corpus;
  bool mutating = false;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      if (!std::filesystem::exists(path)) usage("no such file:", path.c_str());
      corpus.push_back(read_input(path));
      continue;
    }
    mutating = true;
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(path))
      if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const auto& file : files) corpus.push_back(read_input(file));
  }
  if (corpus.empty()) usage("the corpus is empty:", paths.front().c_str());
  const size_t seeds = corpus.size();
  uint64_t executions = 0, accepted = 0;
  for (const Input& input : corpus) {
    ++executions;
    accepted += run(input) == 0;
  }
  if (mutating) {
    Random random(seed);
    const auto start = std::chrono::steady_clock::now();
    auto passed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
    while (runs ? executions < runs : passed() < seconds) {
      // Seeds are chosen as often as all inputs derived from them.
      Input input = corpus[random.below(random.below(2) ? seeds : corpus.size())];
      mutate(input, corpus, random);
      ++executions;
      if (run(input) != 0) continue;
      ++accepted;
      if (corpus.size() < kMaxCorpus) {
        corpus.push_back(std::move(input));
      } else {
        corpus[seeds + random.below(kMaxCorpus - seeds)] = std::move(input);
      }
    }
    std::printf("%s: %" PRIu64 " executions, %" PRIu64 " accepted, %.1f s, seed %" PRIu64 ", no crash\n",
                target.c_str(), executions, accepted, passed(), seed);
  } else {
    std::printf("%s: %" PRIu64 " files, %" PRIu64 " accepted, no crash\n", target.c_str(), executions, accepted);
  }
  return 0;
}
