// The patterns of settings: what matches, what is no pattern, and that nothing takes long.

#include <qtforge/core/configuration_entry.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <string>

using namespace qtforge;
namespace data = boost::unit_test::data;

namespace text_pattern {

struct Case {
  const char* pattern;
  const char* text;
  bool fits;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.pattern << " and " << c.text; }

std::string wrong(const std::string& pattern) {
  const auto read = ConfigurationPattern::parse(pattern);
  BOOST_REQUIRE(!read);
  BOOST_TEST((read.error() == Errc::InvalidArgument));
  return read.error().message();
}

}  // namespace text_pattern

BOOST_AUTO_TEST_SUITE(text_pattern)

const Case cases[] = {
    {"", "", true},                {"", "x", true},              {"b", "abc", true},           {"^b", "abc", false},
    {"b$", "abc", false},          {"^abc$", "abc", true},       {"^$", "", true},             {"^$", "x", false},
    {"a.c", "abc", true},          {"a.c", "a\nc", false},       {"^.$", "\xC3\xA9", true},    {"^..$", "\xC3\xA9", false},
    {"^[a-c]+$", "abcab", true},   {"^[a-c]+$", "abd", false},   {"^[^a-c]+$", "xyz", true},   {"^[^a-c]+$", "xbz", false},
    {"^[-a]+$", "a-", true},       {"^[a-]+$", "a-", true},      {"^[\\]\\\\]+$", "]\\", true}, {"^\\d+$", "0129", true},
    {"^\\d+$", "12a", false},      {"^\\D$", "5", false},        {"^\\D$", "x", true},         {"^\\w+$", "aZ_9", true},
    {"^\\W$", "-", true},          {"^\\s\\S$", "\tx", true},    {"^[\\D]$", "7", false},      {"^[^\\D]$", "7", true},
    {"^[\\d.]+$", "1.2", true},    {"^a*$", "", true},           {"^a*$", "aaa", true},        {"^a+$", "", false},
    {"^a?b$", "b", true},          {"^a?b$", "aab", false},      {"^a{2}$", "aa", true},       {"^a{2}$", "aaa", false},
    {"^a{2,}$", "aaaaa", true},    {"^a{2,}$", "a", false},      {"^a{1,2}$", "aaa", false},   {"^a{0}$", "", true},
    {"^a{0,1}$", "a", true},       {"^(ab)+$", "abab", true},    {"^(?:ab|c)*$", "abccab", true}, {"^(ab|c)*$", "aabc", false},
    {"^a|b$", "xb", true},         {"^a|b$", "xbx", false},      {"^(a|)$", "", true},         {"(a*)*$", "b", true},
    {"^(a*)*$", "b", false},       {"^a*?b$", "aab", true},      {"\\u00e9", "caf\xC3\xA9", true}, {"^\xC3\xA9+$", "\xC3\xA9\xC3\xA9", true},
    {"^[\xC3\xA0-\xC3\xBF]$", "\xC3\xA9", true}, {"^\\.\\*$", ".*", true}, {"^\\/$", "/", true}, {"^(^a$)$", "a", true},
    {"a^b", "a^b", false},         {"^\xF0\x9F\x98\x80$", "\xF0\x9F\x98\x80", true}, {"^[0-9a-f]{8}(-[0-9a-f]{4}){3}$", "0123abcd-0000-1111-2222", true},
};

BOOST_DATA_TEST_CASE(patterns_match_what_they_say, data::make(cases), c) {
  const auto pattern = ConfigurationPattern::parse(c.pattern);
  BOOST_REQUIRE_MESSAGE(pattern, pattern.error().message());
  BOOST_TEST(pattern->matches(c.text) == c.fits);
}

BOOST_DATA_TEST_CASE(what_is_no_pattern_is_refused,
                     data::make({"(", ")", "a)", "[a", "[", "[]", "[^]", "*", "a**", "+a", "a{", "a{,2}", "a{2", "a{x}", "a{2,1}",
                                 "a{1001}", "a}", "]", "(?=a)", "(?!a)", "(?<=a)", "(?<n>a)", "\\1", "\\b", "\\", "\\p{L}",
                                 "\\u12", "\\x41", "[b-a]", "[\\d-z]", "[a-\\w]", "^*", "$+", "(a|*)"}),
                     text) {
  BOOST_TEST(wrong(text).find("at offset") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_error_says_what_was_expected_where) {
  BOOST_TEST(wrong("ab(?=c)") ==
             "pattern \"ab(?=c)\": expected '(' or '(?:': look-around and names are not supported at offset 3");
}

BOOST_AUTO_TEST_CASE(what_would_grow_large_is_refused) {
  BOOST_TEST(wrong("((((a{99}){99}){99}){99})").find("too large") != std::string::npos);
  BOOST_TEST(wrong("((((){999}){999}){999}){999}").find("too large") != std::string::npos);
  BOOST_TEST(wrong(std::string(257, 'a')) == "pattern: longer than 256 bytes");
  BOOST_TEST(wrong(std::string(256, '(')).find("expected ')'") != std::string::npos);
  BOOST_TEST(ConfigurationPattern::parse(std::string(128, '(') + std::string(128, ')')).has_value());
}

BOOST_AUTO_TEST_CASE(what_makes_others_backtrack_for_ever_takes_no_time) {
  const std::string text(maxPatternedText, 'a');
  for (const auto* pattern : {"^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^(.*a){20}$", "a*a*a*a*a*a*a*a*b", "^((a*)*)*$", "(x+x+)+y"})
    BOOST_TEST_CONTEXT(pattern) {
      const auto read = ConfigurationPattern::parse(pattern).value();
      BOOST_TEST(!read.matches(text + '!'));
    }
}

BOOST_AUTO_TEST_CASE(text_that_is_no_utf8_is_read_to_its_end) {
  const auto any = ConfigurationPattern::parse("^.*$").value();
  for (const auto* text : {"\xFF", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "a\xC0\x80z", "\xED\xA0\x80"}) BOOST_TEST(any.matches(text));
}

BOOST_AUTO_TEST_CASE(text_that_is_too_long_for_a_pattern_is_an_error) {
  ConfigurationEntry entry;
  entry.pattern = ConfigurationPattern::parse("a").value();
  const auto checked = checkConfigurationValue(entry, boost::json::value(std::string(5000, 'a')), "/text");
  BOOST_TEST((checked.error() == Errc::ConfigurationInvalid));
  BOOST_TEST(checked.error().message() == "/text: expected at most 4096 bytes, got 5000");
}

BOOST_AUTO_TEST_SUITE_END()
