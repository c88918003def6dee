// Qt's values on the bus. Its headers come first, as in programs of Qt, whose macros those of qtforge must bear.

#include <QByteArray>
#include <QJsonArray>
#include <QJsonObject>
#include <QJsonValue>
#include <QPoint>
#include <QString>
#include <QVariant>

#include <qtforge/qt/json.hpp>

#include "../unit/manual_bus.hpp"

#include <qtforge/communication/async.hpp>
#include <qtforge/communication/filter.hpp>

#include <boost/asio/use_future.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/test/unit_test.hpp>

#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <vector>

using namespace qtforge;
using test::ManualBus;
namespace json = boost::json;

namespace qt_json {

constexpr qint64 largest = std::numeric_limits<qint64>::max();
constexpr qint64 beyondDouble = (qint64{1} << 53) + 1;

struct Bus : ManualBus {
  /// What a handler that takes T gets of `payload`; nothing: it was not called.
  template <class T, class Payload>
  std::optional<T> received(const Payload& payload) {
    std::optional<T> seen;
    const auto s = bus.subscribe("a", [&](const T& value) { seen = value; }).value();
    sent = bus.publish("a", payload);
    runHandlers();
    mismatched = s.stats().mismatched;
    return seen;
  }

  std::optional<Message> message(auto&& payload) {
    return received<Message>(payload);
  }

  expected<Delivery> sent = Error("nothing sent");
  std::uint64_t mismatched = 0;
};

bool holdsInteger(const QJsonValue& value) { return value.toVariant().typeId() == QMetaType::LongLong; }

Error errorOf(auto&& f) {
  try {
    (void)f();
  } catch (const Exception& e) {
    return e.error();
  }
  return Error();
}

bool says(const Error& error, std::string_view text) {
  const bool found = error.message().find(text) != std::string::npos;
  if (!found) BOOST_TEST_MESSAGE("\"" << text << "\" is not in: " << error.message());
  return found;
}

json::value nested(int depth) {
  json::value value = nullptr;
  for (int i = 0; i < depth; ++i) value = json::array{std::move(value)};
  return value;
}

QJsonValue nestedInQt(int depth) {
  QJsonValue value;
  for (int i = 0; i < depth; ++i) value = QJsonArray{value};
  return value;
}

}  // namespace qt_json

BOOST_FIXTURE_TEST_SUITE(qt_json, Bus)

BOOST_AUTO_TEST_CASE(qts_json_is_json_for_others_and_comes_back_the_same) {
  const QJsonObject sent{{"text", QString::fromUtf8("Gr\xC3\xBC\xC3\x9F \xF0\x9F\x99\x82")},
                         {"", QJsonObject()},
                         {"none", QJsonValue()},
                         {"list", QJsonArray{1.5, true, QJsonArray(), QJsonObject{{"n", -1}}}}};
  const auto seen = received<json::value>(sent);
  BOOST_REQUIRE(seen.has_value());
  BOOST_TEST(*seen == json::parse("{\"text\":\"Gr\xC3\xBC\xC3\x9F \xF0\x9F\x99\x82\",\"\":{},\"none\":null,"
                                  "\"list\":[1.5,true,[],{\"n\":-1}]}"));
  BOOST_TEST((received<QJsonObject>(*seen) == sent));
}

BOOST_AUTO_TEST_CASE(handlers_share_the_object_and_what_the_publisher_changes_later_is_its_own) {
  QJsonObject data{{"n", 1}};
  std::vector<const QJsonObject*> seen;
  const auto look = [&](const QJsonObject& value) { seen.push_back(&value); };
  const auto a = bus.subscribe("a", look).value(), b = bus.subscribe("a", look).value();
  BOOST_TEST(bus.publish("a", data).value().queued == 2u);
  data["n"] = 2;
  runHandlers();
  BOOST_REQUIRE(seen.size() == 2u);
  BOOST_TEST(seen[0] == seen[1]);
  const auto kept = message(data);
  BOOST_REQUIRE(kept->get<QJsonObject>() != nullptr);
  BOOST_TEST(((*kept->get<QJsonObject>())["n"] == 2));
  BOOST_TEST((kept->as<QJsonObject>().value() == data));
}

BOOST_AUTO_TEST_CASE(arrays_and_single_values_are_payloads_too) {
  BOOST_TEST(*received<json::value>(QJsonArray{1, 2.5}) == json::parse("[1,2.5]"));
  BOOST_TEST(*received<json::value>(QJsonValue("x")) == json::value("x"));
  BOOST_TEST((received<QJsonArray>(json::array{1, "x"}) == QJsonArray{1, "x"}));
  BOOST_TEST((received<QJsonValue>(json::value(true)) == QJsonValue(true)));
  BOOST_TEST((received<QJsonValue>(json::object{{"n", nullptr}}) == QJsonObject{{"n", QJsonValue()}}));
  BOOST_TEST(((*received<std::map<std::string, QJsonObject>>(json::parse(R"({"a":{"n":1}})"))).at("a") == QJsonObject{{"n", 1}}));
}

BOOST_AUTO_TEST_CASE(integers_and_doubles_stay_what_they_are_in_qt) {
  const QJsonArray numbers{beyondDouble, largest, std::numeric_limits<qint64>::min(), 1.0, 1.5, 1e18, 9.5e18, 1e300, -5e-324};
  const auto seen = received<json::value>(numbers);
  BOOST_TEST(*seen == json::array({beyondDouble, largest, std::numeric_limits<qint64>::min(), 1, 1.5, 1e18, 9.5e18, 1e300, -5e-324}));
  for (std::size_t i = 0; i < 9; ++i) {
    BOOST_TEST(seen->at(i).is_int64() == (i < 4));
    BOOST_TEST(holdsInteger(numbers[static_cast<qsizetype>(i)]) == (i < 4));
  }
  BOOST_TEST((received<QJsonArray>(*seen) == numbers));
}

BOOST_AUTO_TEST_CASE(nan_and_infinity_are_doubles_as_any) {
  const auto seen = received<json::value>(QJsonArray{std::nan(""), HUGE_VAL});
  BOOST_TEST(std::isnan(seen->at(0).as_double()));
  BOOST_TEST(std::isinf(seen->at(1).as_double()));
  const auto back = received<QJsonArray>(*seen);
  BOOST_TEST(std::isnan(back->at(0).toDouble()));
  BOOST_TEST(std::isinf(back->at(1).toDouble()));
}

BOOST_AUTO_TEST_CASE(unsigned_integers_fit_or_are_an_error_with_their_place) {
  const auto fits = received<QJsonArray>(json::array{std::uint64_t{largest}});
  BOOST_TEST((fits->at(0).toInteger() == largest && holdsInteger(fits->at(0))));
  const json::value tooLarge = json::object{{"a/b", json::array{0, std::uint64_t{largest} + 1}}};
  BOOST_TEST(!received<QJsonObject>(tooLarge).has_value());
  BOOST_TEST(mismatched == 1u);
  const auto error = message(tooLarge)->as<QJsonObject>().error();
  BOOST_TEST((error == Errc::PayloadMismatch));
  BOOST_TEST(says(error, "at \"/a~1b/1\": 9223372036854775808"));
}

BOOST_AUTO_TEST_CASE(what_json_does_not_have_is_an_error_of_whoever_wants_json) {
  const QString half(QChar(0xD800));
  const auto of = [](auto value) { return errorOf([&] { return json::value_from(value); }); };
  BOOST_TEST(says(of(QJsonValue(QJsonValue::Undefined)), "undefined"));
  BOOST_TEST(says(of(QJsonObject{{"a", QJsonArray{0, half}}}), "at \"/a/1\": text with half of a surrogate pair"));
  BOOST_TEST((of(QJsonObject{{half, 1}}) == Errc::ConversionFailed));
  const auto kept = message(QJsonObject{{"a", half}});  // who takes it as it is needs no JSON
  BOOST_TEST((kept->as<QJsonObject>().value()["a"] == half));
  BOOST_TEST(says(kept->as<std::map<std::string, int>>().error(), "at \"/a\""));
}

BOOST_AUTO_TEST_CASE(what_qt_does_not_have_is_a_mismatch_that_says_where) {
  const json::object bad{{"a", json::array{"\xFF"}}};
  BOOST_TEST(says(message(bad)->as<QJsonObject>().error(), "at \"/a/0\": text that is not UTF-8"));
  BOOST_TEST(says(message(json::object{{"\xFF", 1}})->as<QJsonObject>().error(), "not UTF-8"));
  for (const char* broken : {"a\xC3", "\xED\xA0\x80", "\xC0\x80"})
    BOOST_TEST(!received<QString>(json::value(broken)).has_value());
  BOOST_TEST(says(message(json::array())->as<QJsonObject>().error(), "an object expected, not an array"));
  BOOST_TEST(says(message(json::value("x"))->as<QJsonArray>().error(), "an array expected, not text"));
  BOOST_TEST(says(message(BinaryMessage())->as<QJsonObject>().error(), "binary"));
  BOOST_TEST(!received<QJsonObject>(BinaryMessage()).has_value());
  BOOST_TEST(mismatched == 1u);
}

BOOST_AUTO_TEST_CASE(both_ways_are_as_deep_as_messages_may_be_and_no_deeper) {
  BOOST_TEST(json::value_from(nestedInQt(maxPayloadDepth)) == nested(maxPayloadDepth));
  BOOST_TEST((json::value_to<QJsonValue>(nested(maxPayloadDepth)) == nestedInQt(maxPayloadDepth)));
  const auto error = errorOf([] { return json::value_from(nestedInQt(maxPayloadDepth + 1)); });
  BOOST_TEST((error == Errc::LimitExceeded));
  BOOST_TEST(says(error, "at \"/0/0/0"));
  BOOST_TEST((errorOf([] { return json::value_to<QJsonValue>(nested(maxPayloadDepth + 1)); }) == Errc::LimitExceeded));
  QVariant variant;
  for (int i = 0; i <= maxPayloadDepth; ++i) variant = QVariantList{variant};
  BOOST_TEST((bus.publish("a", variant.toList()).error() == Errc::LimitExceeded));
}

BOOST_AUTO_TEST_CASE(text_is_json_text) {
  BOOST_TEST(*received<json::value>(QString("x")) == json::value("x"));
  BOOST_TEST((received<QString>(json::value("\xC3\xBC")) == QString(QChar(0xFC))));
  BOOST_TEST((received<QString>(QString()) == QString()));
  for (const char16_t* text : {u"", u"\uFEFFx", u"\U0001F642", u"\uFFFD"}) {
    const auto sent = QString::fromUtf16(text);
    BOOST_TEST((received<QString>(sent) == sent));
    const QJsonObject object{{sent, sent}};
    BOOST_TEST((json::value_to<QJsonObject>(json::value_from(object)) == object));
  }
  BOOST_TEST((received<QString>(json::value(std::string_view("a\0b", 3))) == QString::fromLatin1("a\0b", 3)));
  BOOST_TEST(!received<QString>(json::value(1)).has_value());
  const auto half = bus.publish("a", QString(QChar(0xDC00)));
  BOOST_TEST((half.error() == Errc::ConversionFailed));
  BOOST_TEST(says(half.error(), "half of a surrogate pair"));
}

BOOST_AUTO_TEST_CASE(text_of_somebody_elses_memory_is_copied) {
  std::optional<QString> seen;
  const auto s = bus.subscribe("a", [&](const QString& text) { seen = text; }).value();
  {
    std::vector<QChar> letters{u'a', u'b'};
    (void)bus.publish("a", QString::fromRawData(letters.data(), 2));
    letters.assign({u'x', u'y'});
  }
  runHandlers();
  BOOST_TEST((seen == QString("ab")));
}

BOOST_AUTO_TEST_CASE(variants_are_json_with_bytes_and_come_back_the_same) {
  const QVariantMap sent{{"int", 7}, {"unsigned", std::numeric_limits<qulonglong>::max()}, {"double", 2.0}, {"bool", true},
                         {"text", "x"}, {"none", QVariant::fromValue(nullptr)}, {"bytes", QByteArray("a\0b", 3)},
                         {"list", QVariantList{1, QVariantMap{{"a/b", QByteArray("y")}}}}};
  const auto kept = message(sent);
  BOOST_REQUIRE(kept.has_value());
  BOOST_TEST(*kept->json() == json::parse(R"({"bool":true,"bytes":null,"double":2.0,"int":7,"list":[1,{"a/b":null}],)"
                                          R"("none":null,"text":"x","unsigned":18446744073709551615})"));
  BOOST_TEST(kept->json()->at("double").is_double());
  BOOST_REQUIRE(kept->attachments().size() == 2u);
  BOOST_TEST(kept->attachments()[0].place == "/bytes");
  BOOST_TEST(kept->attachments()[1].place == "/list/1/a~1b");
  const auto back = received<QVariantMap>(sent);
  BOOST_REQUIRE(back.has_value());
  BOOST_TEST((*back == sent));
  BOOST_TEST((back->value("double").typeId() == QMetaType::Double));
  BOOST_TEST((back->value("int").typeId() == QMetaType::LongLong));
  BOOST_TEST((kept->as<QVariantMap>().value() == sent));
  BOOST_TEST((received<QVariantList>(QVariantList{QByteArray("z"), 1}) == QVariantList{QByteArray("z"), 1}));
}

BOOST_AUTO_TEST_CASE(variants_hold_numbers_of_all_widths_and_qts_other_containers) {
  const QVariantList sent{QVariant::fromValue<short>(-1), QVariant::fromValue<uchar>(2), 3U, QVariant::fromValue(4L),
                          QVariant::fromValue(5UL), 0.5F, QVariant(),
                          QStringList{"a"}, QVariantHash{{"k", 1}}, QJsonObject{{"n", 1.5}}, QJsonArray{1}, QJsonValue(false)};
  BOOST_TEST(*received<json::value>(sent) == json::parse(R"([-1,2,3,4,5,0.5,null,["a"],{"k":1},{"n":1.5},[1],false])"));
}

BOOST_AUTO_TEST_CASE(a_variant_of_another_type_is_an_error_of_the_publisher_that_says_where) {
  const auto error = bus.publish("a", QVariantMap{{"at", QVariantList{1, QPoint(1, 2)}}}).error();
  BOOST_TEST((error == Errc::ConversionFailed));
  BOOST_TEST(says(error, "at \"/at/1\": a QVariant of QPoint"));
  const auto answering = bus.respond("q", [](const json::value&) { return QVariantMap{{"p", QPoint()}}; },
                                     {.delivery = DeliveryMode::Direct}).value();
  BOOST_TEST(says(bus.request("q", 1).error(), "at \"/p\": a QVariant of QPoint"));
  BOOST_TEST(says(message(json::array())->as<QVariantMap>().error(), "an object expected, not an array"));
}

BOOST_AUTO_TEST_CASE(bytes_are_shared_into_the_message) {
  QByteArray bytes(1000, 'x');
  const auto* where = bytes.constData();
  const auto kept = message(bytes);
  BOOST_REQUIRE(kept->binary() != nullptr);
  BOOST_TEST(reinterpret_cast<const char*>(kept->binary()->data.data()) == where);
  BOOST_TEST(kept->binary()->contentType == "application/octet-stream");
  bytes[0] = 'y';  // of a copy now
  BOOST_TEST(kept->binary()->data[0] == 'x');
  BOOST_TEST((kept->as<QByteArray>().value() == QByteArray(1000, 'x')));
}

BOOST_AUTO_TEST_CASE(bytes_of_somebody_elses_memory_are_copied) {
  std::vector<char> memory{'a', 'b', 'c'};
  const auto kept = message(QByteArray::fromRawData(memory.data(), 3));
  memory.assign({'x', 'y', 'z'});
  BOOST_TEST((kept->as<QByteArray>().value() == "abc"));
}

BOOST_AUTO_TEST_CASE(a_handler_of_bytes_keeps_them_beyond_the_message) {
  std::optional<QByteArray> seen;
  {
    BinaryMessage binary;
    binary.data = std::vector<std::uint8_t>{0, 1, 255};
    seen = received<QByteArray>(binary);
  }
  BOOST_TEST((seen == QByteArray("\0\x01\xFF", 3)));
  BOOST_TEST((received<QByteArray>(QByteArray()) == QByteArray()));
  BOOST_TEST(!received<QByteArray>(json::value("x")).has_value());
  BOOST_TEST(mismatched == 1u);
}

BOOST_AUTO_TEST_CASE(requests_answers_filters_and_coroutines_take_them) {
  const auto answering = bus.respond("q", [](const QVariantMap& question) { return question["bytes"].toByteArray(); },
                                     {.delivery = DeliveryMode::Direct}).value();
  const auto answer = bus.request("q", QVariantMap{{"bytes", QByteArray("x")}});
  BOOST_REQUIRE(answer.has_value());
  BOOST_TEST((answer->as<QByteArray>().value() == "x"));

  int seen = 0;
  const auto s = bus.subscribe("a", filter([](const QJsonObject& o) { return o["n"].toInt() > 0; },
                                           [&](const QJsonObject& o) { seen += o["n"].toInt(); })).value();
  for (const int n : {-1, 2, 3}) (void)bus.publish("a", QJsonObject{{"n", n}});
  auto later = bus.asyncPublish("a", QJsonObject{{"n", 4}}, {}, boost::asio::use_future);
  auto refused = bus.asyncPublish("a", QVariantMap{{"p", QPoint()}}, {}, boost::asio::use_future);
  auto bytes = bus.asyncPublish("b", QVariantMap{{"b", QByteArray("x")}}, {}, boost::asio::use_future);
  runHandlers();
  BOOST_TEST(later.get().value().queued == 1u);
  BOOST_TEST(says(refused.get().error(), "at \"/p\""));
  BOOST_TEST(bytes.get().has_value());
  BOOST_TEST(seen == 9);
}

BOOST_AUTO_TEST_SUITE_END()
