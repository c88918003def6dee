// The manifests of test/manifests/cases.json, which test_schema.py gives to plugin.schema.json.

#include "../manifests/cases.hpp"
#include "plugin_folder.hpp"

#include <qtforge/core/manifest.hpp>

#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <stdexcept>
#include <string>

using namespace qtforge;

namespace manifest_corpus {

namespace json = boost::json;

json::value corpus() {
  const char* folder = std::getenv("QTFORGE_TEST_MANIFESTS");
  if (!folder) throw std::runtime_error("QTFORGE_TEST_MANIFESTS is not set: run the tests with ./tools/dev test");
  return test::readCases(std::string(folder) + "/cases.json");
}

}  // namespace manifest_corpus

BOOST_AUTO_TEST_SUITE(manifest_corpus)

BOOST_AUTO_TEST_CASE(every_manifest_of_the_corpus_is_taken_or_refused_as_it_says) {
  const auto all = corpus();
  const auto& cases = all.at("cases").as_array();
  BOOST_TEST(cases.size() >= 150u);
  for (const auto& one : cases) {
    const auto& fields = one.as_object();
    BOOST_TEST_CONTEXT(json::serialize(fields)) {
      const auto read = parseManifest(json::serialize(test::manifestOf(all.at("base").as_object(), fields)), "/p");
      BOOST_TEST(read.has_value() == fields.at("good").as_bool());
      if (read) continue;
      BOOST_TEST((read.error() == Errc::ManifestInvalid));
      if (const auto* says = fields.if_contains("says"))
        BOOST_TEST(test::contains(read.error().message(), says->as_string().c_str()));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
