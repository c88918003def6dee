#pragma once
// The interface that fixtures implement and tests ask for.

#include <qtforge/core/interface.hpp>

namespace fixture_interfaces {

using ImageFilter =
    qtforge::Interface<"image.filter/1",
                       qtforge::Method<"apply(image, amount)", qtforge::BinaryMessage(qtforge::BinaryMessage, double)>,
                       qtforge::Method<"title()", std::string()>>;

/// One method for each kind of type, each giving back what it gets, and some that go wrong.
using Everything = qtforge::Interface<
    "test.everything/1", qtforge::Method<"nothing()", void()>, qtforge::Method<"flip(value)", bool(bool)>,
    qtforge::Method<"small(value)", std::uint8_t(std::uint8_t)>,
    qtforge::Method<"large(value)", std::uint64_t(std::uint64_t)>,
    qtforge::Method<"sum(a, b)", std::int64_t(int, std::int64_t)>, qtforge::Method<"real(value)", float(float)>,
    qtforge::Method<"text(value)", std::string(const std::string&)>,
    qtforge::Method<"length(value)", std::size_t(std::string_view)>,
    qtforge::Method<"maybe(value)", std::optional<int>(std::optional<int>)>,
    qtforge::Method<"list(value)", std::vector<std::vector<double>>(const std::vector<std::vector<double>>&)>,
    qtforge::Method<"bools(value)", std::vector<bool>(std::vector<bool>)>,
    qtforge::Method<"map(value)", std::map<std::string, int>(std::map<std::string, int>)>,
    qtforge::Method<"json(value)", boost::json::value(boost::json::value)>,
    qtforge::Method<"object(value)", boost::json::object(boost::json::object)>,
    qtforge::Method<"array(value)", boost::json::array(const boost::json::array&)>,
    qtforge::Method<"binary(value)", qtforge::BinaryMessage(const qtforge::BinaryMessage&)>,
    qtforge::Method<"fail(reason)", int(std::string)>, qtforge::Method<"thread()", std::string()>>;

}  // namespace fixture_interfaces
