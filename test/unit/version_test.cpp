// Versions, ranges and dependencies, with the examples of semver.org 2.0.0.

#include <qtforge/core/version.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using namespace qtforge;
namespace data = boost::unit_test::data;

namespace version {

Version at(std::string_view text) { return parseVersion(text).value(); }
bool inRange(std::string_view range, std::string_view text) { return parseVersionRange(range).value().contains(at(text)); }

struct Case {
  const char* range;
  const char* version;
  bool fits;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.range << " and " << c.version; }

}  // namespace version

BOOST_AUTO_TEST_SUITE(version)

BOOST_DATA_TEST_CASE(valid_versions_are_read_and_printed_as_they_were,
                     data::make({"0.0.4", "1.2.3", "10.20.30", "1.1.2-prerelease+meta", "1.1.2+meta",
                                 "1.1.2+meta-valid", "1.0.0-alpha", "1.0.0-beta", "1.0.0-alpha.beta",
                                 "1.0.0-alpha.beta.1", "1.0.0-alpha.1", "1.0.0-alpha0.valid", "1.0.0-alpha.0valid",
                                 "1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1-its-okay", "1.0.0-rc.1+build.1",
                                 "2.0.0-rc.1+build.123", "1.2.3-beta", "10.2.3-DEV-SNAPSHOT", "1.2.3-SNAPSHOT-123",
                                 "2.0.0+build.1848", "2.0.1-alpha.1227", "1.0.0-alpha+beta", "1.2.3----RC-SNAPSHOT.12.9.1--.12+788",
                                 "1.2.3----R-S.12.9.1--.12+meta", "1.2.3----RC-SNAPSHOT.12.9.1--.12",
                                 "1.0.0+0.build.1-rc.10000aaa-kk-0.1", "18446744073709551614.0.0", "1.0.0-0A.is.legal",
                                 "1.0.0", "2.0.0", "1.1.7"}),
                     text) {
  const auto read = parseVersion(text);
  BOOST_REQUIRE_MESSAGE(read, read.error().message());
  BOOST_TEST(read->toString() == text);
}

BOOST_DATA_TEST_CASE(invalid_versions_are_refused_with_the_offset,
                     data::make({"", "1", "1.2", "1.2.3-0123", "1.2.3-0123.0123", "1.1.2+.123", "+invalid", "-invalid",
                                 "-invalid+invalid", "alpha", "alpha.beta", "alpha.1", "1.0.0-alpha_beta",
                                 "1.0.0-alpha.", "1.0.0-alpha..", "1.0.0-alpha..1", "01.1.1", "1.01.1", "1.1.01",
                                 "1.2.3.DEV", "1.2-SNAPSHOT", "1.2.31.2.3----RC-SNAPSHOT", "1.2-RC-SNAPSHOT",
                                 "-1.0.3-gamma+b7718", "+justmeta", "9.8.7+meta+meta", "9.8.7-whatever+meta+meta",
                                 "v1.2.3", " 1.2.3", "1.2.3 ", "18446744073709551615.0.0", "-invalid.01",
                                 "alpha.beta.1", "alpha+beta", "alpha_beta", "alpha.", "alpha..", "beta", "-alpha.",
                                 "1.0.0-alpha...1", "1.0.0-alpha....1", "1.2.31.2.3----RC-SNAPSHOT.12.09.1--..12+788",
                                 "1.0.0-", "1.0.0+", "1.0.0-+b", "1.0.0-a+", "\t1.0.0", "1.0.0\n", "1..0", "1.0.0.0",
                                 "99999999999999999999999.999999999999999999.99999999999999999----RC-SNAPSHOT.12.09.1---..12",
                                 "99999999999999999999999.999999999999999999.99999999999999999"}),
                     text) {
  const auto read = parseVersion(text);
  BOOST_REQUIRE(!read);
  BOOST_TEST((read.error() == Errc::InvalidArgument));
  BOOST_TEST(read.error().message().find("at offset") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_error_says_what_was_expected_where) {
  BOOST_TEST(parseVersion("1.2.x").error().message() == "version \"1.2.x\": expected a number at offset 4");
  BOOST_TEST(parseVersion("1.2").error().message() == "version \"1.2\": expected MAJOR.MINOR.PATCH at offset 3");
  BOOST_TEST(parseVersion("1.02.3").error().message() ==
             "version \"1.02.3\": expected a number without leading zero at offset 2");
}

BOOST_AUTO_TEST_CASE(precedence_is_that_of_clause_11) {
  const char* ordered[] = {"0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
                           "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.1.0", "1.10.0", "2.0.0", "2.1.0", "2.1.1"};
  for (std::size_t i = 0; i < std::size(ordered); ++i)
    for (std::size_t j = 0; j < std::size(ordered); ++j) {
      BOOST_TEST_CONTEXT(ordered[i] << " against " << ordered[j]) {
        BOOST_TEST((at(ordered[i]) < at(ordered[j])) == (i < j));
        BOOST_TEST((at(ordered[i]) == at(ordered[j])) == (i == j));
      }
    }
}

BOOST_AUTO_TEST_CASE(long_numbers_in_a_prerelease_are_compared_by_value) {
  BOOST_TEST((at("1.0.0-99999999999999999999999") < at("1.0.0-100000000000000000000000")));
}

BOOST_AUTO_TEST_CASE(build_metadata_does_not_count) { BOOST_TEST((at("1.0.0+a") == at("1.0.0+b"))); }

const Case cases[] = {
    {"", "3.4.5", true},          {"*", "0.0.0", true},         {"*", "1.0.0-alpha", true},
    {"1.2.3", "1.2.3", true},     {"1.2.3", "1.2.4", false},    {"=1.2.3", "1.2.3", true},
    {"== 1.2.3", "1.2.3", true},  {"1.2", "1.2.9", true},       {"1.2", "1.3.0", false},
    {"1", "1.9.9", true},         {"1", "2.0.0", false},        {">=1.0.0", "1.0.0", true},
    {">=1.0.0", "0.9.9", false},  {">= 1.0", "1.0.0", true},    {">1.2.3", "1.2.3", false},
    {">1.2.3", "1.2.4", true},    {">1.2", "1.2.9", false},     {">1.2", "1.3.0", true},
    {"<2.0.0", "1.9.9", true},    {"<2", "2.0.0", false},       {"<=1.2", "1.2.9", true},
    {"<=1.2", "1.3.0", false},    {"<=1.2.3", "1.2.3", true},   {"^1.2.3", "1.2.3", true},
    {"^1.2.3", "1.9.0", true},    {"^1.2.3", "2.0.0", false},   {"^1.2.3", "1.2.2", false},
    {"^0.2.3", "0.2.9", true},    {"^0.2.3", "0.3.0", false},   {"^0.0.3", "0.0.3", true},
    {"^0.0.3", "0.0.4", false},   {"^0.0", "0.0.9", true},      {"^0.0", "0.1.0", false},
    {"^0", "0.9.0", true},        {"^0", "1.0.0", false},       {"~1.2.3", "1.2.9", true},
    {"~1.2.3", "1.3.0", false},   {"~1.2", "1.2.0", true},      {"~1", "1.9.0", true},
    {"~1", "2.0.0", false},       {">=1.0.0,<2.0.0", "1.5.0", true}, {" >= 1.0.0 , < 2.0.0 ", "2.0.0", false},
    {">=1.0.0, <2.0.0, <1.4", "1.5.0", false},
    {"^1.0", "1.5.0-beta", false},           {">=1.0.0", "2.0.0-alpha", false},
    {">=1.0.0-alpha", "1.0.0-beta", true},   {">=1.0.0-alpha", "1.1.0-beta", false},
    {"^1.2.3-beta.2", "1.2.3-beta.4", true}, {"^1.2.3-beta.2", "1.2.3-beta.1", false},
    {"^1.2.3-beta.2", "1.2.4-beta.9", false}, {"^1.2.3-beta.2", "1.4.0", true},
    {"1.0.0-rc.1", "1.0.0-rc.1", true},      {"1.0.0", "1.0.0+build.7", true},
    {"1.0.0", "1.0.0-rc.1", false},          {"<2.0.0", "2.0.0-alpha", false},
    {">=1.0.0-alpha, <1.0.0", "1.0.0-beta", true}, {">=1.0.0-alpha, <1.0.0", "1.0.0", false},
    {"^1.0.0-alpha", "2.0.0-alpha", false},  {"~1.2.3-beta", "1.2.3-rc", true},
    {"~1.2.3-beta", "1.2.9", true},          {"~1.2.3-beta", "1.3.0", false},
    {">1.0.0-alpha", "1.0.0-alpha", false},  {">1.0.0-alpha", "1.0.0-alpha.1", true},
    {"<=1.0.0-beta.2", "1.0.0-beta.11", false}, {"<=1.0.0-beta.11", "1.0.0-beta.2", true},
    {"*, >=1", "0.9.0", false},              {"*, >=1", "1.0.0-alpha", false},
    {"*,*", "0.0.1-a", true},                {"^0.0.0", "0.0.0", true},
    {"^0.0.0", "0.0.1", false},              {"<0.0.0", "0.0.0", false},
    {"18446744073709551614", "18446744073709551614.9.9", true},
};

BOOST_DATA_TEST_CASE(ranges_accept_what_they_say, data::make(cases), c) {
  BOOST_TEST(inRange(c.range, c.version) == c.fits);
}

BOOST_DATA_TEST_CASE(what_is_no_range_is_refused,
                     data::make({">=", "^", ">=1.0.0,", ",1.0.0", "1.0.0 2.0.0", "!=1.0.0", ">= x", "1.0-alpha",
                                 "^^1.0.0", "1.0.0 ||2.0.0", "**", "1.x", ">=1.0.0;<2"}),
                     text) {
  const auto range = parseVersionRange(text);
  BOOST_REQUIRE(!range);
  BOOST_TEST((range.error() == Errc::InvalidArgument));
  BOOST_TEST(range.error().message().find("at offset") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_dependency_is_a_name_and_a_range) {
  const auto core = parseDependency("CorePlugin >= 1.0.0").value();
  BOOST_TEST(core.name == "CorePlugin");
  BOOST_TEST(core.range.toString() == ">= 1.0.0");
  BOOST_TEST(core.toString() == "CorePlugin >= 1.0.0");
  BOOST_TEST(!core.optional);
  BOOST_TEST(core.range.contains(at("1.0.0")));
  BOOST_TEST(!core.range.contains(at("0.9.0")));
  BOOST_TEST(parseDependency("Core").value().toString() == "Core");
  BOOST_TEST(parseDependency("Core*").value().toString() == "Core");
  BOOST_TEST(parseDependency("My Core^2").value().name == "My Core");
  BOOST_TEST(parseDependency("Core 1.2").value().toString() == "Core = 1.2");
}

BOOST_DATA_TEST_CASE(what_a_dependency_prints_is_the_same_dependency,
                     data::make({"Core", "Core >= 1.0.0", "Core ^1.2", "Core 1.2", "Core*, >=1", "Core =1", "A B ~1, <1.5"}),
                     text) {
  const auto read = parseDependency(text).value();
  const auto again = parseDependency(read.toString()).value();
  BOOST_TEST(again.name == read.name);
  BOOST_TEST(again.toString() == read.toString());
  for (const auto* version : {"0.9.0", "1.0.0", "1.2.7", "2.0.0-rc.1"})
    BOOST_TEST(again.range.contains(at(version)) == read.range.contains(at(version)));
}

BOOST_AUTO_TEST_CASE(a_dependency_that_is_none_says_what_is_wrong) {
  BOOST_TEST(parseDependency(">= 1.0.0").error().message() ==
             "dependency \">= 1.0.0\": plugin name \"\": it is empty");
  BOOST_TEST(parseDependency("Core >= one").error().message() ==
             "dependency \"Core >= one\": version range \">= one\": expected a number at offset 3");
  BOOST_TEST(parseDependency("Core != 1.2").error().message() ==
             "dependency \"Core != 1.2\": there is no \"!=\": say which versions will do");
}

BOOST_DATA_TEST_CASE(names_that_could_be_paths_or_ranges_are_refused,
                     data::make({"", "a/b", "a\\b", "..", "a..b", ".hidden", " a", "a ", "a\nb", "a>b", "a,b", "a*"}),
                     name) {
  BOOST_TEST(!checkPluginName(name));
}

BOOST_AUTO_TEST_CASE(ordinary_names_are_accepted) {
  for (const auto* name : {"a", "My Plugin", "image.filter-2_b", "Ünïcode"}) BOOST_TEST(checkPluginName(name).has_value());
  BOOST_TEST(checkPluginName(std::string(128, 'a')).has_value());
  BOOST_TEST(!checkPluginName(std::string(129, 'a')));
}

BOOST_AUTO_TEST_SUITE_END()
