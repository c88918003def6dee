// Binary messages read as numbers: which dtypes, sizes and addresses are, and how dimensions are counted.

#include "manual_bus.hpp"

#include <qtforge/communication/array_view.hpp>

#include <boost/test/unit_test.hpp>

#include <complex>
#include <cstring>
#include <numeric>

using namespace qtforge;
using test::ManualBus;

namespace array_view {

template <class T>
BinaryMessage messageOf(std::initializer_list<T> values, std::string dtype, std::vector<std::size_t> shape = {}) {
  std::vector<std::uint8_t> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.begin(), bytes.size());
  return {Buffer(std::move(bytes)), "application/octet-stream", std::move(dtype), std::move(shape)};
}

template <class T>
std::string refusal(const BinaryMessage& message) {
  const auto viewed = message.as<T>();
  BOOST_REQUIRE(!viewed);
  BOOST_TEST((viewed.error() == Errc::PayloadMismatch));
  return viewed.error().message();
}

template <class T>
bool reads(const std::string& dtype) {
  BinaryMessage message{Buffer(std::vector<std::uint8_t>(32)), "", dtype, {}};
  const auto viewed = message.as<std::span<const T>>();
  if (viewed) BOOST_TEST(viewed->size() == 32 / sizeof(T));
  return viewed.has_value();
}

}  // namespace array_view

using namespace array_view;

BOOST_AUTO_TEST_SUITE(arrays)

BOOST_AUTO_TEST_CASE(a_span_shows_the_elements_where_they_lie) {
  const auto message = messageOf<float>({1, 2, 3, 4, 5, 6}, "<f4", {2, 3});
  const auto values = message.as<std::span<const float>>().value();
  BOOST_TEST((reinterpret_cast<const std::uint8_t*>(values.data()) == message.data.data()));
  BOOST_TEST(values.size() == 6u);
  BOOST_TEST(std::accumulate(values.begin(), values.end(), 0.0) == 21);
}

BOOST_AUTO_TEST_CASE(each_type_is_read_by_its_dtype_alone) {
  BOOST_TEST((reads<std::int8_t>("|i1") && reads<std::uint8_t>("|u1") && reads<std::int16_t>("<i2")));
  BOOST_TEST((reads<std::uint16_t>("<u2") && reads<std::int32_t>("<i4") && reads<std::uint32_t>("<u4")));
  BOOST_TEST((reads<std::int64_t>("<i8") && reads<long long>("<i8") && reads<std::uint64_t>("<u8")));
  BOOST_TEST((reads<float>("<f4") && reads<double>("<f8") && reads<long double>("<f16")));
  BOOST_TEST((reads<std::complex<float>>("<c8") && reads<std::complex<double>>("<c16")));
  BOOST_TEST((reads<float>("=f4") && reads<std::uint8_t>("<u1") && reads<std::uint8_t>("|b1")));
  for (const auto* other : {"", "<f8", ">f4", "<i4", "<u4", "f", "<f4 ", "|V4", "[('a', '<f4')]"})
    BOOST_TEST(!reads<float>(other), other);
  BOOST_TEST((!reads<std::int8_t>("|u1") && !reads<std::int8_t>("") && !reads<std::int32_t>("<u4")));
}

BOOST_AUTO_TEST_CASE(bytes_without_a_dtype_are_read_as_bytes_and_everything_as_plain_memory) {
  BOOST_TEST(reads<std::uint8_t>(""));
  for (const auto* dtype : {"", "<f8", ">f4", "[('a', '<f4')]", "made up"}) BOOST_TEST(reads<std::byte>(dtype), dtype);
}

BOOST_AUTO_TEST_CASE(another_dtype_is_refused_naming_both) {
  const auto message = messageOf<int>({1, 2}, "<i4");
  BOOST_TEST(refusal<std::span<const float>>(message) == "8 bytes of dtype \"<i4\" cannot be read as \"<f4\"");
  BOOST_TEST(refusal<ArrayView<const double>>(message) == "8 bytes of dtype \"<i4\" cannot be read as \"<f8\"");
}

BOOST_AUTO_TEST_CASE(sizes_that_contradict_are_refused) {
  BOOST_TEST(refusal<std::span<const float>>(messageOf<char>({1, 2, 3}, "<f4")) ==
             "3 bytes of dtype \"<f4\" are no whole number of elements of 4");
  const auto shaped = [](std::vector<std::size_t> shape) { return messageOf<float>({1, 2, 3}, "<f4", std::move(shape)); };
  BOOST_TEST(refusal<std::span<const float>>(shaped({5})) == "12 bytes of dtype \"<f4\" are no array of shape (5)");
  BOOST_TEST(refusal<ArrayView<const float>>(shaped({3, 2})) == "12 bytes of dtype \"<f4\" are no array of shape (3, 2)");
  refusal<ArrayView<const float>>(shaped({0, 3}));
  refusal<ArrayView<const float>>(shaped({3, std::size_t{1} << 62, 4}));
  refusal<ArrayView<const std::byte>>(messageOf<char>({1, 2, 3}, "", {2}));
  BOOST_TEST(shaped({3, 1}).as<ArrayView<const std::byte>>().value().size() == 12u);
  BOOST_TEST(shaped({1, 1, 1, 1, 1, 1, 1, 1, 3}).as<ArrayView<const std::byte>>().value().size() == 12u);  // in one dimension
}

BOOST_AUTO_TEST_CASE(bytes_at_an_odd_address_are_refused) {
  static const std::vector<std::uint8_t> memory(64);
  const BinaryMessage message{Buffer::of(std::span(memory).subspan(1, 8), 0), "", "<f4", {}};
  BOOST_TEST(refusal<std::span<const float>>(message).find("begin at an address that is no multiple of 4: copy them") !=
             std::string::npos);
  BOOST_TEST(message.as<std::span<const std::byte>>().has_value());
}

BOOST_AUTO_TEST_CASE(nothing_is_an_array_without_elements) {
  BOOST_TEST(BinaryMessage{}.as<std::span<const std::uint8_t>>().value().empty());
  const BinaryMessage none{{}, "", "<f4", {0, std::size_t{1} << 62, 8}};
  const auto view = none.as<ArrayView<const float>>().value();
  BOOST_TEST((view.rank() == 3u && view.empty() && view.span().empty()));
}

BOOST_AUTO_TEST_CASE(elements_are_found_by_their_indices) {
  const auto message = messageOf<std::int32_t>({0, 1, 2, 10, 11, 12}, "<i4", {2, 3});
  const auto view = message.as<ArrayView<const std::int32_t>>().value();
  BOOST_TEST(view.rank() == 2u);
  BOOST_TEST((view.extent(0) == 2u && view.extent(1) == 3u));
  BOOST_TEST((view.stride(0) == 3u && view.stride(1) == 1u));
  BOOST_TEST(view.size() == 6u);
  for (int i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 3; ++j) {
      BOOST_TEST(view(i, j) == 10 * i + static_cast<int>(j));
      BOOST_TEST(&view.at(i, j) == &view(i, j));
      BOOST_TEST(&view[static_cast<std::size_t>(i)](j) == &view(i, j));
    }
  BOOST_TEST((view.span().data() == view.data() && view.span().size() == 6u));
}

BOOST_AUTO_TEST_CASE(indices_outside_are_refused_where_they_are_looked_at) {
  std::vector<int> values(6);
  const ArrayView<int> view(values.data(), {2, 3});
  view.at(1, 2) = 7;
  BOOST_TEST(values[5] == 7);
  BOOST_CHECK_EXCEPTION(view.at(2, 0), Exception, [](const Exception& thrown) {
    return thrown.error() == Errc::InvalidArgument &&
           thrown.error().message() == "the array of shape (2, 3) has no element (2, 0)";
  });
  BOOST_CHECK_THROW(view.at(0, 3), Exception);
  BOOST_CHECK_THROW(view.at(-1, 0), Exception);
  BOOST_CHECK_THROW(view.at(0), Exception);
  BOOST_CHECK_THROW(view.at(0, 0, 0), Exception);
  BOOST_CHECK_THROW(ArrayView<int>().at(0), Exception);
  BOOST_TEST(ArrayView<int>(values.data(), std::span<const std::size_t>()).at() == 0);
}

BOOST_AUTO_TEST_CASE(a_message_without_a_shape_has_one_dimension) {
  const auto view = messageOf<double>({1, 2}, "<f8").as<ArrayView<const double>>().value();
  BOOST_TEST((view.rank() == 1u && view.extent(0) == 2u));
}

BOOST_AUTO_TEST_CASE(more_dimensions_than_a_view_has_are_refused) {
  const auto message = messageOf<double>({1}, "<f8", std::vector<std::size_t>(9, 1));
  BOOST_TEST(refusal<ArrayView<const double>>(message) ==
             "an array of shape (1, 1, 1, 1, 1, 1, 1, 1, 1) has more than 8 dimensions");
  BOOST_TEST(message.as<std::span<const double>>().value().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_vector_becomes_a_message_without_a_copy) {
  std::vector<float> values{1, 2, 3, 4};
  const float* data = values.data();
  const auto message = arrayMessage(std::move(values), {2, 2}).value();
  BOOST_TEST(message.dtype == "<f4");
  BOOST_TEST((message.as<ArrayView<const float>>().value().data() == data));
  BOOST_TEST((arrayMessage(std::vector<std::uint8_t>(3)).value().shape == std::vector<std::size_t>{3}));
  BOOST_TEST((arrayMessage(std::vector<std::byte>(3)).value().dtype == ""));
  BOOST_TEST((arrayMessage(std::vector<double>(), {0, 5}).value().data.empty()));
  const auto refused = arrayMessage(std::vector<float>(3), {2, 2});
  BOOST_TEST((refused.error() == Errc::InvalidArgument));
  BOOST_TEST(refused.error().message() == "3 elements are no array of shape (2, 2)");
}

BOOST_AUTO_TEST_CASE(a_received_message_is_read_where_it_lies) {
  ManualBus manual;
  std::vector<Message> got;
  const auto subscription = manual.bus.subscribe("array", [&](const Message& message) { got.push_back(message); }).value();
  manual.bus.publish("array", arrayMessage(std::vector<float>{1, 2}).value());
  manual.bus.publish("array", boost::json::value(1));
  manual.runHandlers();
  BOOST_REQUIRE(got.size() == 2u);
  BOOST_TEST((got[0].as<std::span<const float>>().value().data() ==
              reinterpret_cast<const float*>(got[0].binary()->data.data())));
  BOOST_TEST((got[0].as<BinaryMessage>().value().data.data() == got[0].binary()->data.data()));
  const auto other = got[0].as<ArrayView<const int>>();
  BOOST_TEST((other.error() == Errc::PayloadMismatch));
  BOOST_TEST(other.error().message() ==
             "the payload on \"array\" is another array: 8 bytes of dtype \"<f4\" cannot be read as \"<i4\"");
  BOOST_TEST(got[1].as<std::span<const float>>().error().message() == "the payload on \"array\" is not binary");
  BOOST_TEST((got[1].as<BinaryMessage>().error() == Errc::PayloadMismatch));
  BOOST_TEST(got[1].as<int>().value() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
