// test/unit/text_key_test.cpp: texts of all lengths are equal when they are the same, and hash apart when they are not.

#include <qtforge/communication/detail/text_key.hpp>

#include <boost/test/unit_test.hpp>

#include <set>
#include <string>

using namespace qtforge::detail;

BOOST_AUTO_TEST_SUITE(text_key)

BOOST_AUTO_TEST_CASE(each_byte_counts_in_texts_of_all_lengths) {
  for (std::size_t length = 0; length <= 70; ++length) {
    const std::string text(length, 'a');
    BOOST_TEST(sameText(text, std::string(text)));
    BOOST_TEST(hashText(text) == hashText(std::string(text)));
    BOOST_TEST(!sameText(text, text + 'a'));
    BOOST_TEST(hashText(text) != hashText(text + 'a'));
    for (std::size_t i = 0; i < length; ++i) {
      auto other = text;
      other[i] = 'b';
      BOOST_TEST(!sameText(text, other));
      BOOST_TEST(hashText(text) != hashText(other));
    }
  }
}

BOOST_AUTO_TEST_CASE(texts_that_differ_little_hash_apart_in_their_low_bits) {
  std::set<std::size_t> low;
  for (int i = 0; i < 1024; ++i) low.insert(hashText("sensor." + std::to_string(i) + ".value") & 0xffff);
  BOOST_TEST(low.size() > 1000u);  // at random 1016 of them
}

BOOST_AUTO_TEST_SUITE_END()
