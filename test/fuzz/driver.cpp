// Runs LLVMFuzzerTestOneInput where there is no libFuzzer: on stored inputs, then on changed ones for some seconds. What
// reaches new places in the code is changed further, where the compiler can say so (-fsanitize-coverage=trace-pc).
//
//   driver [--seconds N] [--seed N] [--dict FILE] [--cases CASES.JSON] [FILE or FOLDER]...
//
// An input that crashes or takes longer than 5 seconds is left in the file fuzz-input.

#include "../manifests/cases.hpp"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*)());

namespace {

constexpr std::size_t longest = 4096;

std::uint8_t places[1 << 16];  // by a hash of the address; how often it came, in the last input
std::uint8_t known[1 << 16];   // which counts were seen before, as bits
const std::string* running = nullptr;

void keepInput() {
  const int file = ::open("fuzz-input", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0 || !running) return;
  [[maybe_unused]] const auto written = ::write(file, running->data(), running->size());
  ::close(file);
  static const char text[] = "the input is in the file fuzz-input\n";
  [[maybe_unused]] const auto told = ::write(2, text, sizeof(text) - 1);
}

extern "C" void onSignal(int number) {
  keepInput();
  ::signal(number, SIG_DFL);
  ::raise(number);
}

/// @return whether it came to a place, or to one as often, as none before
bool run(const std::string& input) {
  std::memset(places, 0, sizeof(places));
  running = &input;
  ::alarm(5);
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  ::alarm(0);
  bool fresh = false;
  for (std::size_t i = 0; i < sizeof(places); ++i) {
    if (!places[i]) continue;
    const int step = places[i] < 4 ? places[i] : places[i] < 16 ? 4 : places[i] < 64 ? 5 : 6;
    const auto bit = static_cast<std::uint8_t>(1u << step);
    fresh = fresh || !(known[i] & bit);
    known[i] |= bit;
  }
  return fresh;
}

std::string contentOf(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The words of a libFuzzer dictionary: in quotes, one a line, with \" and \\.
std::vector<std::string> wordsOf(const std::string& path) {
  std::vector<std::string> words;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.size() < 2 || line.front() != '"') continue;
    std::string word;
    for (std::size_t i = 1; i + 1 < line.size(); ++i) word += line[i] == '\\' ? line[++i] : line[i];
    words.push_back(word);
  }
  return words;
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, std::vector<std::string> words) : random_(seed), words_(std::move(words)) {}

  std::size_t below(std::size_t limit) { return limit ? random_() % limit : 0; }

  std::string change(std::string text, const std::string& other) {
    for (auto left = 1 + below(4); left > 0; --left) changeOnce(text, other);
    if (text.size() > longest) text.resize(longest);
    return text;
  }

 private:
  void changeOnce(std::string& text, const std::string& other) {
    static constexpr std::string_view telling = "{}[]\",:\\0123456789.-+eE<>=^~*|()?$ \t\n/_aZ\x7f\xC3\xA9\xFF";
    const auto at = below(text.size() + 1), length = below(std::min<std::size_t>(text.size() - at, 32) + 1);
    switch (below(8)) {
      case 0: if (at < text.size()) text[at] = static_cast<char>(random_()); break;
      case 1: if (at < text.size()) text[at] = telling[below(telling.size())]; break;
      case 2: text.insert(at, 1, telling[below(telling.size())]); break;
      case 3: text.erase(at, length); break;
      case 4: text.insert(below(text.size() + 1), text.substr(at, length)); break;
      case 5: if (!words_.empty()) text.insert(at, words_[below(words_.size())]); break;
      case 6: if (!words_.empty()) text.replace(at, length, words_[below(words_.size())]); break;
      case 7: {
        const auto from = below(other.size() + 1);
        text.replace(at, length, other.substr(from, below(other.size() - from + 1)));
        break;
      }
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> words_;
};

}  // namespace

#if defined(__GNUC__) && !defined(__clang__)
// Called by the compiler's code at every branch.
extern "C" __attribute__((no_sanitize_coverage)) void __sanitizer_cov_trace_pc() {
  const auto address = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  auto& count = places[(address * 0x9E3779B97F4A7C15u) >> 48];
  if (count < 255) ++count;
}
#endif

int main(int argc, char** argv) {
  double seconds = 0;
  std::uint64_t seed = std::random_device()();
  std::vector<std::string> inputs, words;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const bool more = i + 1 < argc;
    if (option == "--seconds" && more) seconds = std::atof(argv[++i]);
    else if (option == "--seed" && more) seed = std::strtoull(argv[++i], nullptr, 10);
    else if (option == "--dict" && more) words = wordsOf(argv[++i]);
    else if (option == "--cases" && more) {
      const auto cases = test::readCases(argv[++i]);
      for (const auto& one : cases.at("cases").as_array())
        inputs.push_back(boost::json::serialize(test::manifestOf(cases.at("base").as_object(), one.as_object())));
    } else if (std::filesystem::is_directory(option)) {
      for (const auto& entry : std::filesystem::directory_iterator(option)) inputs.push_back(contentOf(entry.path()));
    } else {
      inputs.push_back(contentOf(option));
    }
  }
  if (inputs.empty()) {
    std::fprintf(stderr, "no inputs\n");
    return 2;
  }
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(&keepInput);
  for (const int number : {SIGALRM, SIGABRT, SIGSEGV, SIGFPE, SIGBUS, SIGILL})
    if (number == SIGALRM || number == SIGABRT || !__sanitizer_set_death_callback) ::signal(number, &onSignal);

  for (const auto& input : inputs) run(input);
  const auto stored = inputs.size();
  std::printf("%zu stored inputs; seed %llu\n", stored, static_cast<unsigned long long>(seed));
  Mutator mutator(seed, std::move(words));
  std::uint64_t runs = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    auto input = mutator.change(inputs[mutator.below(inputs.size())], inputs[mutator.below(inputs.size())]);
    ++runs;
    if (run(input)) inputs.push_back(std::move(input));
  }
  std::printf("%llu changed inputs, %zu of them new to the code, nothing found\n", static_cast<unsigned long long>(runs),
              inputs.size() - stored);
  return 0;
}
