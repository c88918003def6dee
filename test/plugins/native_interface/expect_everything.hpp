#pragma once
// What every plugin that implements Everything gives back.

#include "image_filter.hpp"

#include <qtforge/core/interface_handle.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace fixture_interfaces {

inline void expectEverything(const qtforge::InterfaceHandle<Everything>& all) {
  namespace json = boost::json;
  BOOST_TEST(all.call<"nothing">().has_value());
  BOOST_TEST(all.call<"flip">(false).value());
  BOOST_TEST(all.call<"small">(std::uint8_t(200)).value() == 200);
  BOOST_TEST(all.call<"large">(UINT64_MAX).value() == UINT64_MAX);
  BOOST_TEST(all.call<"sum">(-1, INT64_MAX).value() == INT64_MAX - 1);
  BOOST_TEST(all.call<"real">(0.5f).value() == 0.5f);
  BOOST_TEST(all.call<"text">("gr\xC3\xBC\xC3\x9F").value() == "gr\xC3\xBC\xC3\x9F");
  BOOST_TEST(all.call<"length">(std::string("four")).value() == 4u);
  BOOST_TEST(all.call<"length">("gr\xC3\xBC\xC3\x9F").value() == 6u);
  BOOST_TEST((all.call<"maybe">(3).value() == std::optional(3)));
  BOOST_TEST((all.call<"maybe">(std::nullopt).value() == std::nullopt));
  const std::vector<std::vector<double>> list{{1, 2}, {}, {3}};
  BOOST_TEST((all.call<"list">(list).value() == list));
  BOOST_TEST((all.call<"bools">(std::vector<bool>{true, false}).value() == std::vector<bool>{true, false}));
  BOOST_TEST((all.call<"map">(std::map<std::string, int>{{"a", 1}}).value() == std::map<std::string, int>{{"a", 1}}));
  const json::value document{{"list", {1, 2.5, nullptr, "x"}}, {"big", UINT64_MAX}};
  BOOST_TEST((all.call<"json">(document).value() == document));
  BOOST_TEST(all.call<"object">(json::object{{"k", 1}}).value().at("k").as_int64() == 1);
  BOOST_TEST((all.call<"array">(json::array{1, "x"}).value() == json::array{1, "x"}));
  const qtforge::BinaryMessage bytes{qtforge::Buffer({10, 20}), "image/raw", "|u1", {2}};
  BOOST_TEST((all.call<"binary">(bytes).value().data == bytes.data));
}

}  // namespace fixture_interfaces
