// The manifests of test/manifests/cases.json, which test_schema.py gives to plugin.schema.json.

#include "plugin_folder.hpp"

#include <qtforge/core/manifest.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

using namespace qtforge;

namespace manifest_corpus {

namespace json = boost::json;

json::value corpus() {
  const char* folder = std::getenv("QTFORGE_TEST_MANIFESTS");
  if (!folder) throw std::runtime_error("QTFORGE_TEST_MANIFESTS is not set: run the tests with ./tools/dev test");
  std::ifstream file(std::string(folder) + "/cases.json", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  json::parse_options deep;
  deep.max_depth = 100;
  return json::parse(text, {}, deep);
}

json::value manifestOf(const json::object& base, const json::object& test) {
  if (const auto* whole = test.if_contains("manifest")) return *whole;
  auto fields = base;
  if (const auto* with = test.if_contains("with"))
    for (const auto& [key, value] : with->as_object()) fields[key] = value;
  if (const auto* without = test.if_contains("without"))
    for (const auto& key : without->as_array()) fields.erase(key.as_string());
  return fields;
}

}  // namespace manifest_corpus

BOOST_AUTO_TEST_SUITE(manifest_corpus)

BOOST_AUTO_TEST_CASE(every_manifest_of_the_corpus_is_taken_or_refused_as_it_says) {
  const auto all = corpus();
  const auto& cases = all.at("cases").as_array();
  BOOST_TEST(cases.size() >= 150u);
  for (const auto& one : cases) {
    const auto& test = one.as_object();
    BOOST_TEST_CONTEXT(json::serialize(test)) {
      const auto read = parseManifest(json::serialize(manifestOf(all.at("base").as_object(), test)), "/p");
      BOOST_TEST(read.has_value() == test.at("good").as_bool());
      if (read) continue;
      BOOST_TEST((read.error() == Errc::ManifestInvalid));
      if (const auto* says = test.if_contains("says"))
        BOOST_TEST(test::contains(read.error().message(), says->as_string().c_str()));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
