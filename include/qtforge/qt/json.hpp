#pragma once
// qtforge/qt/json.hpp: Qt's values in messages and in calls of Python; with qtforge/qt/executor.hpp, for handlers in the
// threads of QObjects. Needs Qt 6 Core.
//
// | Qt | on the bus | in Python |
// |---|---|---|
// | `QJsonObject`, `QJsonArray`, `QJsonValue` | JSON; handlers in the same binary share the object itself | `dict`, `list`, ... |
// | `QString` | JSON text | `str` |
// | `QVariantMap`, `QVariantList` | JSON, each `QByteArray` in it as bytes | `dict`, `list`, `bytes` |
// | `QByteArray` | a BinaryMessage that shares its bytes | `bytes`; on the bus a `BinaryMessage` |
//
// All of them may be published, answered with and taken by handlers, as arguments and results of callFunction also in
// containers. Boost.JSON's value_from and value_to know the first two rows. A handler that takes a QByteArray gets a copy
// of the bytes; one that takes a BinaryMessage gets none.
//
// Numbers stay what they are. A QJsonValue that is made of a whole double holds an integer (Qt's rule: 1.0 is 1 then, up
// to 2^53), and JSON's integers and doubles become QJsonValues by the same rule; a QVariant keeps its double. NaN and the
// infinities are doubles as any. What the other side does not have is an error with its place, never another value:
//   - Errc::ConversionFailed   half of a surrogate pair in a QString, an undefined QJsonValue, a QVariant of another type
//   - Errc::LimitExceeded      nested deeper than maxPayloadDepth
//   - Errc::PayloadMismatch    in handlers and Message::as: JSON of another shape, integers beyond qint64 for a
//                              QJsonValue, text that is not UTF-8
// publish returns those of QString, QVariantMap and QVariantList. Qt's JSON becomes Boost's when somebody first asks for
// that, who then gets the error. As Python's bytes have no place in Qt's JSON, null is there.

#include <qtforge/python/python_value.hpp>
#include <qtforge/qt/detail/variants.hpp>
#include <qtforge/qt/executor.hpp>
#include <qtforge/utils/detail/caught_error.hpp>

#include <boost/json/value_from.hpp>
#include <boost/json/value_to.hpp>

#include <concepts>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::qt::detail {

template <class T>
concept JsonType = std::same_as<T, QJsonObject> || std::same_as<T, QJsonArray> || std::same_as<T, QJsonValue> ||
                   std::same_as<T, QString>;

template <class T>
concept VariantType = std::same_as<T, QVariantMap> || std::same_as<T, QVariantList>;

/// Spelled out: Boost 1.81 converts no value of which an Error could be made too.
inline expected<QByteArray> copied(const Buffer& bytes) {
  return expected<QByteArray>(boost::system::in_place_value, copyOf(bytes));
}

/// What `f` returns, or throws.
template <class F>
auto asExpected(F&& f) -> expected<decltype(f())> {
  try {
    return f();
  } catch (...) {
    return qtforge::detail::caughtError();
  }
}

template <VariantType T>
expected<JsonWithBytes> fromVariants(const T& value) {
  return asExpected([&] {
    JsonWithBytes made;
    FromVariants(made.attachments).convert(value, made.json, Place());
    return made;
  });
}

template <VariantType T>
expected<T> toVariants(const boost::json::value& json, const Attachments& attachments) {
  return asExpected([&] {
    T made;
    ToVariants(attachments).convert(json, made, Place());
    return made;
  });
}

}  // namespace qtforge::inline QTFORGE_ABI::qt::detail

// In the namespace of Qt's types, where Boost.JSON looks for them. Templates, since QJsonValue is made of much implicitly.
template <qtforge::qt::detail::JsonType T>
void tag_invoke(const boost::json::value_from_tag&, boost::json::value& to, const T& from) {
  qtforge::qt::detail::convert(from, to, qtforge::qt::detail::Place());
}

template <qtforge::qt::detail::JsonType T>
T tag_invoke(const boost::json::value_to_tag<T>&, const boost::json::value& from) {
  T made;
  qtforge::qt::detail::convert(from, made, qtforge::qt::detail::Place());
  return made;
}

// Never shared as it is: QString::fromRawData gives one whose text is somebody else's.
template <>
struct qtforge::detail::PayloadForm<QString> {
  using Form = JsonWithBytes;
  static expected<Form> make(const QString& text) {
    return qt::detail::asExpected([&] { return JsonWithBytes{boost::json::value_from(text), {}}; });
  }
  static expected<QString> read(const boost::json::value& json, const Attachments&) { return valueOf<QString>(json); }
};

template <qtforge::qt::detail::VariantType T>
struct qtforge::detail::PayloadForm<T> {
  using Form = JsonWithBytes;
  static expected<Form> make(const T& value) { return qt::detail::fromVariants(value); }
  static expected<T> read(const boost::json::value& json, const Attachments& attachments) {
    return qt::detail::toVariants<T>(json, attachments);
  }
};

template <>
struct qtforge::detail::PayloadForm<QByteArray> {
  using Form = BinaryMessage;
  static expected<Form> make(const QByteArray& bytes) {
    BinaryMessage made;
    made.data = qt::detail::bufferOf(bytes);
    return made;
  }
  static expected<QByteArray> read(const BinaryMessage& message) { return qt::detail::copied(message.data); }
};

template <>
struct qtforge::python::PythonConversion<QString> {
  static std::string toPython(const QString& text) {
    return std::string(qt::detail::viewOf(qt::detail::toUtf8(text, qt::detail::Place())));
  }
  static QString fromPython(const std::string& text) { return qt::detail::toQString(text, qt::detail::Place()); }
};

template <qtforge::qt::detail::VariantType T>
struct qtforge::python::PythonConversion<T> {
  static PythonValue toPython(const T& value) {
    auto made = qt::detail::fromVariants(value).value();
    return PythonValue(std::move(made.json), std::move(made.attachments));
  }
  static expected<T> fromPython(const PythonValue& value) {
    if (value.binary()) return Error(Errc::ConversionFailed, "a dict or list expected, not a buffer");
    return qt::detail::toVariants<T>(value.json(), value.attachments());
  }
};

template <>
struct qtforge::python::PythonConversion<QByteArray> {
  static PythonValue toPython(const QByteArray& bytes) {
    return PythonValue(nullptr, {{std::string(), qt::detail::bufferOf(bytes)}});
  }
  static expected<QByteArray> fromPython(const Buffer& bytes) { return qt::detail::copied(bytes); }
};
