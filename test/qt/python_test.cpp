// Qt's values to Python and back: through the bus, and in calls.

#define BOOST_TEST_MODULE qt_python
#include <QByteArray>
#include <QJsonArray>
#include <QJsonObject>
#include <QPoint>
#include <QString>
#include <QVariant>

#include <qtforge/qt/json.hpp>

#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_plugin_loader.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/json/parse.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <limits>
#include <map>
#include <memory>
#include <stdexcept>
#include <vector>

using namespace qtforge;
using qtforge::python::PythonExecutor;
using qtforge::python::PythonIntegration;
namespace json = boost::json;

namespace qt_python {

struct StartPython {
  StartPython() {
    if (auto started = PythonIntegration::initialize(); !started) throw std::runtime_error(started.error().message());
  }
};

template <class T>
T soon(std::future<T> future) {
  if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) throw std::runtime_error("nothing came");
  return future.get();
}

/// With a plugin that sends back what it gets.
struct Echo {
  Echo() {
    manager.addLoader(std::make_unique<python::PythonPluginLoader>());
    const char* folder = std::getenv("QTFORGE_TEST_PLUGINS");
    if (!folder) throw std::runtime_error("QTFORGE_TEST_PLUGINS is not set: run the tests with ./tools/dev test");
    manager.loadPlugin(std::filesystem::path(folder) / "py_echo").value()->initialize().value();
  }

  /// What comes back of `payload`, and the types that the plugin has seen.
  template <class T>
  T through(const T& payload) {
    std::promise<T> back;
    std::promise<json::value> seen;
    const auto a = bus.subscribe("echo.types", [&](const json::value& v) { seen.set_value(v.at("types")); }).value();
    const auto b = bus.subscribe("echo.out", [&](const T& value) { back.set_value(value); }).value();
    BOOST_TEST(bus.publish("echo.in", payload).value().queued == 1u);
    types = soon(seen.get_future());
    return soon(back.get_future());
  }

  MessageBus& bus = MessageBus::instance();
  PluginManager manager;
  json::value types;
};

/// With a module that says what it is given.
struct Calls {
  Calls() {
    const auto run = python.execute("def same(x): return x\n"
                                    "def kind(x): return type(x).__name__\n"
                                    "def kinds(d): return {k: type(v).__name__ for k, v in d.items()}\n"
                                    "def fails(): return {'a': [1, 2**64 - 1]}\n"
                                    "def half(): return '\\ud800'\n");
    if (!run) throw std::runtime_error(run.error().message());
  }
  PythonExecutor python;
};

bool says(const Error& error, std::string_view text) {
  const bool found = error.message().find(text) != std::string::npos;
  if (!found) BOOST_TEST_MESSAGE("\"" << text << "\" is not in: " << error.message());
  return found;
}

}  // namespace qt_python

using namespace qt_python;

BOOST_TEST_GLOBAL_FIXTURE(StartPython);

BOOST_FIXTURE_TEST_SUITE(qt_on_the_bus_with_python, Echo)

BOOST_AUTO_TEST_CASE(json_of_qt_goes_to_a_plugin_and_comes_back) {
  const QJsonObject sent{{"text", QString(QChar(0xFC))}, {"int", (qint64{1} << 53) + 1}, {"double", 1.5}, {"none", QJsonValue()},
                         {"list", QJsonArray{true, QJsonObject{{"whole", 2.0}}}}};
  BOOST_TEST((through(sent) == sent));
  BOOST_TEST(types == json::parse(R"({"text":"str","int":"int","double":"float","none":"NoneType",)"
                                  R"("list":["bool",{"whole":"int"}]})"));
}

BOOST_AUTO_TEST_CASE(variants_and_the_bytes_in_them_go_to_a_plugin_and_come_back) {
  const QVariantMap sent{{"bytes", QByteArray("a\0b", 3)}, {"whole", 2.0}, {"large", std::numeric_limits<qulonglong>::max()},
                         {"list", QVariantList{QByteArray("x"), "text"}}};
  const auto back = through(sent);
  BOOST_TEST((back == sent));
  BOOST_TEST((back["whole"].typeId() == QMetaType::Double));
  BOOST_TEST(types == json::parse(R"({"bytes":"bytes","whole":"float","large":"int","list":["bytes","str"]})"));
}

BOOST_AUTO_TEST_CASE(bytes_are_a_binary_message_for_a_plugin_and_come_back) {
  const QByteArray sent("\0\x01\xFF", 3);
  BOOST_TEST((through(sent) == sent));
  BOOST_TEST(types == json::value("BinaryMessage"));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(qt_in_calls, Calls)

BOOST_AUTO_TEST_CASE(values_of_qt_are_arguments_and_results) {
  const QJsonObject object{{"a", QJsonArray{1, 1.5}}};
  BOOST_TEST((python.callFunction<QJsonObject>("same", object).value() == object));
  BOOST_TEST((python.callFunction<QJsonArray>("same", QJsonArray{1, "x"}).value() == QJsonArray{1, "x"}));
  BOOST_TEST((python.callFunction<QJsonValue>("same", QJsonValue(1.5)).value() == QJsonValue(1.5)));
  BOOST_TEST((python.callFunction<QString>("same", QString(QChar(0xFC))).value() == QString(QChar(0xFC))));
  const QVariantMap map{{"bytes", QByteArray("\0x", 2)}, {"n", 1}};
  BOOST_TEST((python.callFunction<QVariantMap>("same", map).value() == map));
  BOOST_TEST((python.callFunction<QVariantList>("same", QVariantList{1.5, QByteArray("x")}).value() ==
              QVariantList{1.5, QByteArray("x")}));
  BOOST_TEST((python.callFunction<QByteArray>("same", QByteArray("\0x", 2)).value() == QByteArray("\0x", 2)));
  const std::map<std::string, std::vector<QByteArray>> nested{{"k", {"x", QByteArray()}}};
  BOOST_TEST((python.callFunction<std::map<std::string, std::vector<QByteArray>>>("same", nested).value() == nested));
}

BOOST_AUTO_TEST_CASE(python_sees_its_own_types) {
  const auto kind = [&](const auto& value) { return python.callFunction<std::string>("kind", value).value(); };
  BOOST_TEST(kind(QJsonObject()) == "dict");
  BOOST_TEST(kind(QJsonArray()) == "list");
  BOOST_TEST(kind(QJsonValue(1)) == "int");
  BOOST_TEST(kind(QJsonValue(1.5)) == "float");
  BOOST_TEST(kind(QJsonValue()) == "NoneType");
  BOOST_TEST(kind(QString("x")) == "str");
  BOOST_TEST(kind(QByteArray("x")) == "bytes");
  BOOST_TEST(kind(QByteArray()) == "bytes");
  const QVariantMap map{{"b", QByteArray("x")}, {"d", 2.0}, {"n", QVariant()}};
  BOOST_TEST(python.callFunction<json::value>("kinds", map).value() ==
             json::parse(R"({"b":"bytes","d":"float","n":"NoneType"})"));
}

BOOST_AUTO_TEST_CASE(what_is_asked_for_by_assignment_comes_too) {
  const QJsonObject object = python.callFunction("same", QJsonObject{{"a", 1}}).value();
  BOOST_TEST((object == QJsonObject{{"a", 1}}));
  const QByteArray bytes = python.callFunction("same", QByteArray("x")).value();
  BOOST_TEST((bytes == "x"));
  const auto any = python.callFunction("same", QVariantMap{{"b", QByteArray("x")}}).value();
  BOOST_TEST((any.as<QVariantMap>().value()["b"].toByteArray() == "x"));
  BOOST_TEST(says(any.as<QByteArray>().error(), "bytes expected, dict came"));
}

BOOST_AUTO_TEST_CASE(what_has_no_counterpart_is_an_error_with_its_place) {
  const auto result = python.callFunction<QJsonObject>("fails");
  BOOST_TEST((result.error() == Errc::ConversionFailed));
  BOOST_TEST(says(result.error(), "at \"/a/1\": 18446744073709551615"));
  BOOST_TEST((python.callFunction<QVariantMap>("fails").value()["a"].toList()[1].toULongLong() ==
              std::numeric_limits<qulonglong>::max()));
  const auto argument = python.callFunction<json::value>("same", QVariantMap{{"p", QPoint()}});
  BOOST_TEST((argument.error() == Errc::ConversionFailed));
  BOOST_TEST(says(argument.error(), "at \"/p\": a QVariant of QPoint"));
  BOOST_TEST((python.callFunction<json::value>("same", QString(QChar(0xD800))).error() == Errc::ConversionFailed));
  BOOST_TEST((python.callFunction<QString>("half").error() == Errc::ConversionFailed));
  BOOST_TEST((python.callFunction<QVariantMap>("same", 1).error() == Errc::ConversionFailed));
  BOOST_TEST((python.callFunction<QByteArray>("same", "text").error() == Errc::ConversionFailed));
}

BOOST_AUTO_TEST_SUITE_END()
