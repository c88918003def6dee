#pragma once
// qtforge/communication/detail/json_reader.hpp: reads what json_writer.hpp writes, and any other JSON.

#include <qtforge/communication/detail/base64.hpp>
#include <qtforge/communication/detail/json_writer.hpp>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value.hpp>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Builds the value from what boost::json::basic_parser finds, numbers from their text.
class JsonReader {
 public:
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);

  struct Result {
    boost::json::value value;
    const char* problem = nullptr;  // null: none
    std::string reason = {};        // what the parser says, where `problem` is its
    std::size_t offset = 0;         // of the problem
  };

  /// Whether `$` objects stand for what json_writer.hpp says, or for themselves.
  enum class Marks { Resolve, Keep };

  explicit JsonReader(Marks marks) : marks_(marks) {}

  static Result read(std::string_view text, Marks marks = Marks::Resolve) {
    boost::json::parse_options options;
    options.max_depth = deepestJson + 8;  // what is around a value
    boost::json::basic_parser<JsonReader> parser(options, marks);
    boost::system::error_code error;
    const auto end = parser.write_some(false, text.data(), text.size(), error);
    auto& reader = parser.handler();
    if (reader.problem_) return {{}, reader.problem_, {}, end};
    if (error) return {{}, "not JSON", error.message(), end};
    if (end != text.size()) return {{}, "more after its end", {}, end};
    return {std::move(reader.root_)};
  }

  // What basic_parser calls.
  using Ec = boost::system::error_code;
  using Part = boost::json::string_view;
  bool on_document_begin(Ec&) { return true; }
  bool on_document_end(Ec&) { return true; }
  bool on_array_begin(Ec&) { return begin(boost::json::array()); }
  bool on_array_end(std::size_t, Ec& ec) { return end(ec); }
  bool on_object_begin(Ec&) { return begin(boost::json::object()); }
  bool on_object_end(std::size_t, Ec& ec) { return end(ec); }
  bool on_string_part(Part part, std::size_t, Ec&) { return more(part); }
  bool on_string(Part part, std::size_t, Ec& ec) { return more(part) && add(boost::json::string(take()), ec); }
  bool on_key_part(Part part, std::size_t, Ec&) { return more(part); }
  bool on_key(Part part, std::size_t, Ec&) { return more(part) && key(); }
  bool on_number_part(Part part, Ec&) { return more(part); }
  bool on_int64(std::int64_t number, Part, Ec& ec) { return integer(number, ec); }
  bool on_uint64(std::uint64_t number, Part, Ec& ec) { return integer(number, ec); }
  bool on_double(double, Part part, Ec& ec) {
    more(part);
    const auto text = take();
    double number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return fail("a number out of range", ec);
    return add(number, ec);
  }
  bool on_bool(bool value, Ec& ec) { return add(value, ec); }
  bool on_null(Ec& ec) { return add(nullptr, ec); }
  bool on_comment_part(Part, Ec&) { return true; }
  bool on_comment(Part, Ec&) { return true; }

 private:
  struct Level {
    boost::json::value container;
    std::string key;
    bool marked = false;  // by a key with one `$`
  };

  bool more(Part part) {
    text_.append(part.data(), part.size());
    return true;
  }
  std::string take() { return std::exchange(text_, {}); }

  bool key() {
    auto& level = levels_.back();
    level.key = take();
    if (marks_ == Marks::Keep) return true;
    if (level.key.starts_with("$$")) level.key.erase(0, 1);
    else if (level.key.starts_with('$')) level.marked = true;
    return true;
  }

  template <class Number>
  bool integer(Number number, Ec& ec) {
    text_.clear();
    return add(number, ec);
  }

  bool begin(boost::json::value container) {
    levels_.push_back({std::move(container), {}, false});
    return true;
  }

  bool end(Ec& ec) {
    auto done = std::move(levels_.back());
    levels_.pop_back();
    if (done.marked && !resolve(done.container)) return fail("a `$` object that this version does not know", ec);
    return add(std::move(done.container), ec);
  }

  bool add(boost::json::value value, Ec& ec) {
    if (levels_.empty()) {
      root_ = std::move(value);
    } else if (auto* array = levels_.back().container.if_array()) {
      array->push_back(std::move(value));
    } else if (!levels_.back().container.get_object().emplace(levels_.back().key, std::move(value)).second) {
      return fail("a key that is there twice", ec);
    }
    return true;
  }

  bool fail(const char* problem, Ec& ec) {
    problem_ = problem;
    ec = boost::json::make_error_code(boost::json::error::syntax);
    return false;
  }

  // What an object with one key that begins with `$` stands for; false if nothing.
  static bool resolve(boost::json::value& marked) {
    auto& object = marked.get_object();
    if (object.size() != 1) return false;
    const std::string marker(object.begin()->key());
    boost::json::value given = std::move(object.begin()->value());
    const auto* text = given.if_string();
    if (marker == "$double" && text) return resolveDouble(*text, marked);
    if (marker == "$uint64") {
      if (given.is_int64() && given.get_int64() >= 0) marked = static_cast<std::uint64_t>(given.get_int64());
      return marked.is_uint64();
    }
    if (marker == "$string" && text) {
      const auto bytes = decodeBase64(*text);
      if (bytes) marked = boost::json::string(std::string(bytes->begin(), bytes->end()));
      return bytes.has_value();
    }
    return marker == "$object" && given.is_array() && resolvePairs(given.get_array(), marked);
  }

  static bool resolveDouble(std::string_view text, boost::json::value& out) {
    constexpr auto infinity = std::numeric_limits<double>::infinity();
    std::uint64_t bits = plainNaN;
    if (text == "Infinity") return out = infinity, true;
    if (text == "-Infinity") return out = -infinity, true;
    if (text != "NaN") {
      if (text.size() != 21 || !text.starts_with("NaN(") || text.back() != ')') return false;
      const auto read = std::from_chars(text.data() + 4, text.data() + 20, bits, 16);
      if (read.ec != std::errc() || read.ptr != text.data() + 20) return false;
    }
    const auto number = std::bit_cast<double>(bits);
    out = number;
    return std::isnan(number);
  }

  static bool resolvePairs(boost::json::array& pairs, boost::json::value& out) {
    boost::json::object object;
    for (auto& pair : pairs) {
      auto* both = pair.if_array();
      if (!both || both->size() != 2 || !both->front().is_string()) return false;
      if (!object.emplace(both->front().get_string(), std::move(both->back())).second) return false;
    }
    out = std::move(object);
    return true;
  }

  Marks marks_;
  std::vector<Level> levels_;
  std::string text_;
  boost::json::value root_;
  const char* problem_ = nullptr;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
