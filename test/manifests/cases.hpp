#pragma once
// The manifests of cases.json for C++: see test_schema.py for what is in it.

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace test {

inline boost::json::value readCases(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  boost::json::parse_options deep;
  deep.max_depth = 100;
  return boost::json::parse(text, {}, deep);
}

inline boost::json::value manifestOf(const boost::json::object& base, const boost::json::object& test) {
  if (const auto* whole = test.if_contains("manifest")) return *whole;
  auto fields = base;
  if (const auto* with = test.if_contains("with"))
    for (const auto& [key, value] : with->as_object()) fields[key] = value;
  if (const auto* without = test.if_contains("without"))
    for (const auto& key : without->as_array()) fields.erase(key.as_string());
  return fields;
}

}  // namespace test
