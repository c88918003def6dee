#pragma once
// qtforge/core/detail/field_reader.hpp: reads the fields of JSON objects; collects what is wrong, each with its pointer.

#include <qtforge/core/configuration_entry.hpp>
#include <qtforge/core/detail/json_pointer.hpp>
#include <qtforge/core/detail/nearest_word.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Reads from one file, whose name is in front of every message.
class FieldReader {
 public:
  explicit FieldReader(std::filesystem::path file) : file_(std::move(file)) {}

  [[nodiscard]] expected<void> result() const {
    if (problems_.empty()) return {};
    return Error(Errc::ManifestInvalid, problems_);
  }

 protected:
  using Object = boost::json::object;

  void wrong(const std::string& placeAndReason) {
    problems_ += (problems_.empty() ? "" : "; ") + file_.string() + ": " + placeAndReason;
  }
  void wrong(const std::string& place, std::string_view reason) {
    wrong((place.empty() ? "/" : place) + ": " + std::string(reason));
  }
  void mismatch(const std::string& place, std::string_view wanted, const boost::json::value& got) {
    wrong(place, "expected " + std::string(wanted) + ", got " + std::string(jsonKind(got)));
  }

  const Object* object(const boost::json::value& value, const std::string& place) {
    if (const auto* fields = value.if_object()) return fields;
    mismatch(place, "an object", value);
    return nullptr;
  }

  // JSON has numbers of any size, doubles have not.
  void checkNumbers(const boost::json::value& value, const std::string& place) {
    if (value.is_double() && !std::isfinite(value.get_double())) wrong(place, "a number that is too large");
    if (const auto* items = value.if_array())
      for (std::size_t i = 0; i < items->size(); ++i)
        if (!(*items)[i].is_string()) checkNumbers((*items)[i], place + '/' + std::to_string(i));
    if (const auto* members = value.if_object())
      for (const auto& [key, member] : *members)
        if (!member.is_string()) checkNumbers(member, pointer(place, key));
  }

  // Whether it is there and a string.
  bool read(const Object& fields, std::string_view base, std::string_view key, std::string& to) {
    const auto* value = fields.if_contains(key);
    if (!value) return false;
    const auto* text = value->if_string();
    if (!text) {
      mismatch(pointer(base, key), "a string", *value);
      return false;
    }
    to.assign(text->data(), text->size());
    return true;
  }

  void readStrings(const Object& fields, std::string_view base, std::string_view key, std::vector<std::string>& to) {
    const auto* value = fields.if_contains(key);
    if (!value) return;
    const auto place = pointer(base, key);
    const auto* items = value->if_array();
    if (!items) return mismatch(place, "an array of strings", *value);
    for (std::size_t i = 0; i < items->size(); ++i) {
      if (const auto* text = (*items)[i].if_string()) to.emplace_back(text->data(), text->size());
      else mismatch(place + '/' + std::to_string(i), "a string", (*items)[i]);
    }
  }

  void warnUnknown(const Object& fields, std::string_view base, std::span<const std::string_view> known) {
    for (const auto& [key, value] : fields) {
      if (std::find(known.begin(), known.end(), std::string_view(key)) != known.end()) continue;
      auto text = file_.string() + ": " + pointer(base, key) + ": unknown field, ignored";
      if (const auto nearest = nearestWord(key, known)) text += "; did you mean \"" + std::string(*nearest) + "\"?";
      warnings_.push_back(std::move(text));
    }
  }

  std::filesystem::path file_;
  std::string problems_;
  std::vector<std::string> warnings_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
